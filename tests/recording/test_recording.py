"""The Recording type: selection, origin, saving, and what is refused."""

import numpy as np
import pytest
import xarray as xr

from transformer_dynamics.errors import RecordingError
from transformer_dynamics.recording import Recording, open_recording

VALUES = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
SITES = ["0.pre_attn", "0.pre_mlp", "final"]


def test_sites_and_steps_are_named():
    recording = Recording.from_array(VALUES, sites=SITES)
    assert recording.sites == tuple(SITES)
    assert list(recording.step_kinds) == ["attention", "mlp"]
    assert list(recording.dataset["layer"].values) == [0, 0, -1]
    assert list(recording.activation.dims) == ["sample", "site", "unit"]


def test_sublayers_leave_out_the_final_site_alone():
    assert Recording.from_array(VALUES, sites=SITES).sublayers.sites == tuple(SITES[:2])
    assert Recording.from_array(VALUES).sublayers.shape == (2, 3, 4)


def test_saved_recording_opens_equal_and_xarray_reads_it_alone(tmp_path):
    recording = Recording.from_array(VALUES, sites=SITES, provenance={"system": "count"})
    recording.save(tmp_path / "a.zarr")
    opened = open_recording(tmp_path / "a.zarr")
    np.testing.assert_array_equal(opened.values, VALUES)
    assert opened.sites == recording.sites
    assert opened.provenance == {"system": "count"}
    assert opened.digest == recording.digest
    plain = xr.open_zarr(tmp_path / "a.zarr", consolidated=False)
    assert plain["activation"].sel(site="final").shape == (2, 4)
    with pytest.raises(RecordingError, match="exists already"):
        recording.save(tmp_path / "a.zarr")


def test_a_flipped_bit_is_noticed_on_reading(tmp_path):
    Recording.from_array(VALUES).save(tmp_path / "a.zarr")
    chunk = next(
        path for path in (tmp_path / "a.zarr" / "activation" / "c").rglob("0") if path.is_file()
    )
    content = bytearray(chunk.read_bytes())
    content[5] ^= 1
    chunk.write_bytes(content)
    with pytest.raises(RecordingError, match="altered"):
        open_recording(tmp_path / "a.zarr").values  # noqa: B018


def test_with_values_keeps_everything_but_the_states():
    recording = Recording.from_array(VALUES, sites=SITES, provenance={"system": "count"})
    null = recording.with_values(-VALUES, null="negated", seed=3)
    assert null.provenance == {"system": "count", "null": "negated", "seed": 3}
    np.testing.assert_array_equal(recording.values, VALUES)
    with pytest.raises(RecordingError, match="got states of shape"):
        recording.with_values(VALUES[:1])


@pytest.mark.parametrize(
    ("values", "sites", "message"),
    [
        (VALUES[0], None, "three|takes a non-empty array"),
        (VALUES.astype(int), None, "array of floats"),
        (VALUES[:0], None, "non-empty"),
        (VALUES, SITES[:2], "2 site labels"),
        (VALUES, ["final", "final", "0.state"], "2 distinct"),
    ],
)
def test_arrays_that_are_no_recordings_are_refused(values, sites, message):
    with pytest.raises(RecordingError, match=message):
        Recording.from_array(values, sites=sites)


def test_labels_that_name_no_site_are_refused():
    with pytest.raises(ValueError, match="is not a site label"):
        Recording.from_array(VALUES, sites=["a", "b", "c"])


def test_folders_that_are_no_recordings_are_refused(tmp_path):
    with pytest.raises(RecordingError, match="there is no recording at"):
        open_recording(tmp_path / "none.zarr")
    (tmp_path / "empty.zarr").mkdir()
    with pytest.raises(RecordingError, match="is not a Zarr store"):
        open_recording(tmp_path / "empty.zarr")
    (tmp_path / "run" / "recording.zarr").mkdir(parents=True)
    with pytest.raises(RecordingError, match=r"folder of a run, whose recording is .*run/rec"):
        open_recording(tmp_path / "run")
    (tmp_path / "r.zarr.partial").mkdir()
    with pytest.raises(RecordingError, match="unfinished recording: run the same command again"):
        open_recording(tmp_path / "r.zarr.partial")
    xr.Dataset({"a": ("x", [1.0])}).to_zarr(tmp_path / "other.zarr", consolidated=False)
    with pytest.raises(RecordingError, match="no recording"):
        open_recording(tmp_path / "other.zarr")
