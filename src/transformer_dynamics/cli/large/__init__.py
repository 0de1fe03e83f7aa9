"""Commands for large recordings: plan, status, verify, merge, SLURM."""
