"""Runs of tiny models of two depths and widths, over the same texts and over others."""

import transformers

import tiny
from transformer_dynamics.experiment import Experiment, Settings
from transformer_dynamics.model.language_model import Model

SETTINGS = Settings(
    n_null=9,
    n_bootstrap=19,
    n_twins=2,
    claims=("C1", "C2", "C3", "C4", "C11"),
    measures=("paths.kinematics", "units.correlation", "units.density"),
    perturbations=("perturbation.skip_and_swap",),
    n_perturbed=4,
    command="tdyn run tiny",
)
N_TEXTS = 12


def deeper():
    """A tiny model of another depth and width than `tiny.model()`."""
    config = tiny.config("gpt2")
    config.n_layer, config.n_embd = 5, 24
    return Model(transformers.AutoModelForCausalLM.from_config(config), tiny.tokenizer(), "tiny-5")


def make_runs(folder):
    """Make the runs `a`, `b` of another depth and width, and `other` of other texts."""
    texts = tiny.words(tiny.token_lists(N_TEXTS))
    others = tiny.words(tiny.token_lists(N_TEXTS + 2, seed=9))
    made = {"a": (tiny.model(), texts), "b": (deeper(), texts), "other": (tiny.model(), others)}
    for name, (model, given) in made.items():
        Experiment(model, given, folder / name, SETTINGS).run()
    return folder
