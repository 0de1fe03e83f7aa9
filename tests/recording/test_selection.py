"""Selection of samples, sites and units by label and by position."""

import numpy as np
import pytest

from transformer_dynamics.errors import InputError
from transformer_dynamics.recording import Recording, open_recording

SITES = ["0.pre_attn", "0.pre_mlp", "final"]


def labeled():
    """Six samples of three texts in two groups, three sites, four units."""
    values = np.arange(72, dtype=np.float32).reshape(6, 3, 4)
    coords = {
        "text": [0, 0, 1, 1, 2, 2],
        "position": [0, 1, 0, 1, 0, 1],
        "token": np.array([" a", " b", " a", " c", " d", " b"], dtype=object),
    }
    recording = Recording.from_array(values, sites=SITES, coords=coords, provenance={"by": "hand"})
    return recording.with_groups(["x", "y", "x"])


SELECTIONS = {
    "one site": ({"site": "final"}, range(6), [2], range(4)),
    "sites": ({"site": ["0.pre_mlp", "final"]}, range(6), [1, 2], range(4)),
    "slice of sites": ({"site": slice("0.pre_attn", "0.pre_mlp")}, range(6), [0, 1], range(4)),
    "slice to the last site": ({"site": slice("0.pre_mlp", None)}, range(6), [1, 2], range(4)),
    "units and a text": ({"unit": [1, 2], "text": 1}, [2, 3], range(3), [1, 2]),
    "a unit from the end": ({"unit": -1}, range(6), range(3), [3]),
    "texts": ({"text": [2, 0]}, [0, 1, 4, 5], range(3), range(4)),
    "slice of texts": ({"text": slice(1, 3)}, [2, 3, 4, 5], range(3), range(4)),
    "a token": ({"token": " a"}, [0, 2], range(3), range(4)),
    "tokens at a position": ({"token": [" a", " b"], "position": 1}, [1, 5], range(3), range(4)),
    "a group": ({"group": "x"}, [0, 1, 4, 5], range(3), range(4)),
    "samples in order": (
        {"sample": [5, 0, 1], "text": [0, 2]},
        [5, 0, 1],
        range(3),
        range(4),
    ),
    "a mask": ({"sample": np.arange(6) > 3, "position": 0}, [4], range(3), range(4)),
    "numpy's labels": ({"text": np.array([1]), "unit": np.int64(2)}, [2, 3], range(3), [2]),
}


@pytest.mark.parametrize("name", SELECTIONS)
@pytest.mark.parametrize("stored", [False, True], ids=["in memory", "on disk"])
def test_selection_by_label(name, stored, tmp_path):
    whole, (given, *expected) = labeled(), SELECTIONS[name]
    recording = whole
    if stored:
        whole.save(tmp_path / "a.zarr")
        recording = open_recording(tmp_path / "a.zarr")
    selected = recording.sel(**given)
    assert selected.in_memory is not stored
    samples, sites, units = map(list, expected)
    np.testing.assert_array_equal(selected.values, whole.values[np.ix_(samples, sites, units)])
    assert selected.sites == tuple(whole.sites[site] for site in sites)
    np.testing.assert_array_equal(selected.text_index, whole.text_index[samples])
    np.testing.assert_array_equal(selected.groups, whole.groups[samples])
    assert ("units" in selected.provenance) == ("unit" in given)
    again = selected.isel(sample=[0], site=slice(0, 1))
    np.testing.assert_array_equal(again.values, selected.values[:1, :1])


def test_selections_of_units_name_the_units_of_the_whole_recording():
    recording = labeled()
    selected = recording.sel(unit=slice(1, None)).sel(unit=[2, 0])
    assert selected.provenance == {**recording.provenance, "units": [3, 1]}
    np.testing.assert_array_equal(selected.values, recording.values[:, :, [3, 1]])
    assert recording.sel(unit=slice(None)).provenance == recording.provenance


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"site": "9.pre_mlp"},
            r"no site '9\.pre_mlp' .*0\.pre_attn to final: recording\.sel",
        ),
        ({"site": slice(0, 2)}, "no site 0 in this recording"),
        ({"site": 3}, "got site=3; give one label, a list or a slice"),
        (
            {"layer": 3},
            "'layer'; .* site, unit, sample, text, position, token, group: recording.sel",
        ),
        ({"unit": 4}, r"got unit=4; positions along unit are whole numbers from 0 to 3"),
        ({"unit": ["a"]}, r"got unit=\['a'\]"),
        ({"sample": [True, False]}, "positions along sample"),
        ({"text": 7}, r"no sample has text=7; .* 0, 1, 2: recording\.sel\(text=0\)"),
        ({"token": " moon"}, r"token=' moon'; the recording has ' a', ' b', ' c', ' d'"),
        ({"token": slice("a", "b")}, "a slice selects numbers"),
        ({"token": " d", "position": 1}, r"got token=' d', position=1, which selects no state"),
        ({"sample": []}, r"which selects no state.*recording\.sel\(text=0\)"),
    ],
)
def test_selections_that_are_refused(given, message):
    with pytest.raises(InputError, match=message):
        labeled().sel(**given)
    with pytest.raises(InputError, match="positions along sample are whole numbers from 0 to 5"):
        labeled().isel(sample=6)
