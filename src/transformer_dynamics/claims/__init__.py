"""The claims under test: one module each, found through the registry."""

from transformer_dynamics.claims.claim import Claim, Verdict
from transformer_dynamics.claims.verdicts import evaluate_claims

__all__ = ["Claim", "Verdict", "evaluate_claims"]
