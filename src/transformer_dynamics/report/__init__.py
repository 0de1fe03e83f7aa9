"""One self-contained page of results and verdicts."""

from transformer_dynamics.report.report import Report, write_report

__all__ = ["Report", "write_report"]
