"""The claims under test: one module each, found through the registry."""

from transformer_dynamics.claims.claim import Claim
from transformer_dynamics.claims.evaluation import evaluate_claims
from transformer_dynamics.claims.options import ClaimOptions
from transformer_dynamics.claims.run_comparison import compare_claims
from transformer_dynamics.claims.verdict import Verdict
from transformer_dynamics.claims.verdicts import Verdicts

__all__ = ["Claim", "ClaimOptions", "Verdict", "Verdicts", "compare_claims", "evaluate_claims"]
