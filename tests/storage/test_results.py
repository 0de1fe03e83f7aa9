"""Attrs are text and numbers on disk, and what they were given as in Python."""

import numpy as np
import pytest
import xarray as xr

import stored
import toy
import transformer_dynamics as td
from transformer_dynamics.recording.moments.moments import Moments
from transformer_dynamics.storage.attributes import attribute, plain_attributes

WALK = np.random.default_rng(0).standard_normal((12, 6, 4)).cumsum(axis=1)


@pytest.mark.parametrize(
    ("given", "on_disk"),
    [
        ({"seed": 0, "lags": [1, 2]}, '{"seed": 0, "lags": [1, 2]}'),
        ([], "[]"),
        (["µ", None], '["µ", null]'),
        (True, "true"),
        (None, "null"),
        (np.array([4, 11]), "[4, 11]"),
        (np.bool_(False), "false"),
        ("nats", "nats"),
        ("[in braces", "[in braces"),
        (3, 3),
        (np.float32(0.5), 0.5),
    ],
)
def test_attributes_are_text_or_numbers_and_read_back(given, on_disk):
    attrs = plain_attributes({"entry": given})
    assert attrs == {"entry": on_disk}
    back = attribute(xr.Dataset(attrs=attrs), "entry")
    np.testing.assert_array_equal(back, given)
    assert attribute(xr.Dataset(attrs=attrs), "other", ()) == ()


def test_recordings_and_moments_come_back_from_netcdf(tmp_path):
    origin = {"model": "a walk", "layers": (1, 2), "nested": {"on": True, "none": None}}
    recording = td.Recording.from_array(WALK, provenance=origin)
    changed = recording.with_values(WALK + 1, note="shifted")
    for place, each in enumerate([recording, changed, Moments.of(recording)]):
        (tmp_path / str(place)).mkdir()
        stored.comes_back(each.dataset, tmp_path / str(place))
        assert {**origin, "layers": [1, 2]}.items() <= each.provenance.items()
    assert changed.provenance["note"] == "shifted"


def test_evidence_comes_back_from_netcdf(tmp_path):
    with toy.registered():
        recording = td.Recording.from_array(WALK)
        options = td.ClaimOptions(n_null=5, n_bootstrap=5)
        (verdict,) = td.evaluate_claims(recording, claims=["T1"], options=options)
    stored.comes_back(verdict.evidence, tmp_path)
    assert attribute(verdict.evidence, "deciding") == ["random_walk"]
