"""The command `tdyn`: it parses, calls and prints, and computes nothing."""
