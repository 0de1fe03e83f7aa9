"""One self-contained page of a run."""

from transformer_dynamics.report.page import write_report

__all__ = ["write_report"]
