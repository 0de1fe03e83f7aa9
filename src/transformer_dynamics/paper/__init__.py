"""Every panel of the figures of arXiv 2502.12131, and the numbers that the paper reports.

    conditions = td.paper.paper_conditions(recording, controls, model=model)
    results = make_panels(conditions)          # "paper.1B" ... "paper.4D", and "paper.table"

The names `paper.<panel>` are those of the results, of the registry and of the report.
"""

from transformer_dynamics.paper.conditions import Condition, paper_conditions
from transformer_dynamics.paper.preset import PAPER, PaperTexts, paper_texts
from transformer_dynamics.paper.table import paper_table, table_rows

__all__ = [
    "PAPER",
    "Condition",
    "PaperTexts",
    "paper_conditions",
    "paper_table",
    "paper_texts",
    "table_rows",
]
