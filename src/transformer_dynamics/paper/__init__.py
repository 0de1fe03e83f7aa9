"""Every panel of the figures of arXiv 2502.12131, and the numbers that the paper reports.

    conditions = paper_conditions(recording, {"untrained": twin}, model=model)
    result = registry.PANELS.get("paper.1B").function(conditions)
    numbers = paper_table(conditions)

The names `paper.1B` to `paper.4D` and `paper.table` are those of the results, of the registry and
of the report.
"""

from transformer_dynamics.paper.conditions import Condition, paper_conditions
from transformer_dynamics.paper.preset import PAPER, PaperTexts, paper_texts
from transformer_dynamics.paper.table import CONTROLS, paper_table, table_rows

__all__ = [
    "CONTROLS",
    "PAPER",
    "Condition",
    "PaperTexts",
    "paper_conditions",
    "paper_table",
    "paper_texts",
    "table_rows",
]
