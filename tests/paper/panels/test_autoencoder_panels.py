"""Panel 3A: widths of the layers."""

import numpy as np

from transformer_dynamics.paper import Condition
from transformer_dynamics.paper.panels.autoencoder import panel_3a
from transformer_dynamics.recording.recording import Recording


def model_alone(recording):
    return [Condition("model", recording)]


def test_3a_has_the_widths_of_the_paper():
    recording = Recording.from_array(np.random.default_rng(0).standard_normal((9, 4, 576)))
    widths = panel_3a(model_alone(recording))["width"].values
    half = [576, 307, 164, 87, 46, 25, 13, 7, 4]
    assert widths.tolist() == [*half, 2, *half[::-1]]
