"""The main job: record, run the nulls, measure, perturb, test the claims, report."""

from transformer_dynamics.experiment.experiment import Experiment
from transformer_dynamics.experiment.figures import SavedFigures, save_figures
from transformer_dynamics.experiment.page import report_run
from transformer_dynamics.experiment.reporter import Reporter, Silent
from transformer_dynamics.experiment.settings import Selection, Settings, select
from transformer_dynamics.experiment.verdicts import load_verdicts

__all__ = [
    "Experiment",
    "Reporter",
    "SavedFigures",
    "Selection",
    "Settings",
    "Silent",
    "load_verdicts",
    "report_run",
    "save_figures",
    "select",
]
