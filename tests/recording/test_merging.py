"""Merged recordings hold the states of their parts, and only such as belong together."""

import numpy as np
import pytest

import tiny
import transformer_dynamics as td
from transformer_dynamics.errors import RecordingError
from transformer_dynamics.recording import Recording
from transformer_dynamics.recording.disk import chunks
from transformer_dynamics.recording.joining.merging import merge_folders

LISTS = tiny.token_lists(21)
PARTS = (LISTS[:9], LISTS[9:14], LISTS[14:])
WORDS = [tiny.words(part) for part in PARTS]
HALF = td.RecordingOptions(storage="float16")
RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def model():
    return tiny.model("llama")


@pytest.fixture(scope="module")
def base(model):
    return td.record(model, WORDS[0])


@pytest.fixture
def small_chunks(monkeypatch):
    """Four samples in a chunk of the tiny model's states."""
    monkeypatch.setattr(chunks, "CHUNK_BYTES", 4 * 7 * 16 * 4)


@pytest.fixture
def parts(model, tmp_path, small_chunks):
    paths = [tmp_path / f"{name}.zarr" for name in "abc"]
    for path, words in zip(paths, WORDS, strict=True):
        td.record(model, words, "all", out=path)
    return paths


def test_states_and_labels_are_those_of_the_parts_in_turn(parts, model, tmp_path):
    seen = []
    merged = td.merge_recordings(
        parts, tmp_path / "m.zarr", on_progress=lambda done, total: seen.append((done, total))
    )
    opened = [td.open_recording(part) for part in parts]
    np.testing.assert_array_equal(merged.values, np.concatenate([each.values for each in opened]))
    whole = td.record(model, tiny.words(LISTS), "all")
    assert merged.texts == whole.texts
    assert merged.token_lists == whole.token_lists
    for name in ("text", "position", "token_id", "token"):
        np.testing.assert_array_equal(merged.dataset[name], whole.dataset[name])
    for name in ("tokens", "texts_sha256", "n_texts", "model", "weights", "sites"):
        assert merged.provenance[name] == whole.provenance[name]
    assert [each["n_texts"] for each in merged.provenance["merged"]] == [9, 5, 7]
    assert seen[-1] == (merged.shape[0], merged.shape[0])
    assert len(list((tmp_path / "m.zarr" / "activation").glob("c/*/0/0"))) > 1
    assert sorted(path.name for path in tmp_path.glob("[!.]*")) == [
        "a.zarr", "b.zarr", "c.zarr", "m.zarr"
    ]  # fmt: skip


def test_a_merged_recording_is_merged_again_and_measured(parts, tmp_path):
    first = td.merge_recordings(parts[:2], tmp_path / "ab.zarr")
    merged = td.merge_recordings([first, parts[2]], tmp_path / "abc.zarr")
    at_once = td.merge_recordings(parts, tmp_path / "m.zarr")
    np.testing.assert_array_equal(merged.values, at_once.values)
    assert [each["n_texts"] for each in merged.provenance["merged"]] == [9, 5, 7]
    result = td.paths.kinematics(merged)
    halves = [td.paths.kinematics(each)["speed"] for each in (first, td.open_recording(parts[2]))]
    np.testing.assert_array_equal(result["speed"], np.concatenate(halves))


def test_a_block_at_a_time_is_in_memory(parts, tmp_path, monkeypatch):
    sizes = []
    original = Recording._read
    monkeypatch.setattr(
        Recording,
        "_read",
        lambda self, rows: (sizes.append(rows.stop - rows.start), original(self, rows))[1],
    )
    monkeypatch.setattr(Recording, "values", property(lambda self: pytest.fail("all in memory")))
    td.merge_recordings(parts, tmp_path / "m.zarr")
    assert max(sizes) == 4


def test_groups_are_joined_by_name(model, tmp_path):
    one = td.record(model, WORDS[0], groups=["moon"] * 8 + [""])
    two = td.record(model, WORDS[1], groups=["sun", "moon", "", "sun", "sun"])
    none = td.record(model, WORDS[2])
    merged = td.merge_recordings([one, two, none], tmp_path / "m.zarr")
    assert merged.text_groups == ("moon",) * 8 + ("", "sun", "moon", "", "sun", "sun") + ("",) * 7
    assert len(set(merged.groups)) == 2 + 1 + 1 + 7


REFUSED = {
    "another model": (
        lambda base, model: td.record(tiny.model("llama", seed=1), WORDS[1]),
        "weights: ",
    ),
    "other sites": (lambda base, model: td.record(tiny.model("gpt2"), WORDS[1]), "architecture: "),
    "other positions": (
        lambda base, model: td.record(model, WORDS[1], "all"),
        "positions: last and all",
    ),
    "another precision": (lambda base, model: td.record(model, WORDS[1], options=HALF), "float16"),
    "fewer sites": (lambda base, model: td.record(model, WORDS[1]).sublayers, "sites: "),
    "some units": (lambda base, model: td.record(model, WORDS[1]).sel(unit=[1, 2]), "units: "),
    "a text twice": (
        lambda base, model: td.record(model, [WORDS[1][0], WORDS[0][3]]),
        r"1 texts .* text 3 of recording 0 \('w.*is text 1 of recording 1",
    ),
    "the same twice": (lambda base, model: base, "hold the same texts"),
    "no labels": (
        lambda base, model: Recording.from_array(base.values),
        "not recordings of one model",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_does_not_belong_together_is_refused(case, base, model, tmp_path):
    other, message = REFUSED[case]
    with pytest.raises(RecordingError, match=message):
        td.merge_recordings([base, other(base, model)], tmp_path / "m.zarr")
    with pytest.raises(RecordingError, match="fewer than two"):
        td.merge_recordings([base], tmp_path / "m.zarr")
    assert list(tmp_path.iterdir()) == []


def test_duplicates_are_kept_on_demand(base, model, tmp_path):
    again = td.record(model, WORDS[0][:2])
    merged = td.merge_recordings([base, again], tmp_path / "m.zarr", keep_duplicates=True)
    assert merged.shape[0] == 11
    np.testing.assert_array_equal(merged.values[9:], again.values)


def test_arrays_are_merged_too(tmp_path):
    values = RNG.standard_normal((5, 3, 4))
    one, two = (Recording.from_array(part, provenance={"system": "s"})
                for part in (values[:2], values[2:]))  # fmt: skip
    merged = td.merge_recordings([one, two], tmp_path / "m.zarr")
    np.testing.assert_array_equal(merged.values, values)
    assert merged.text_index.tolist() == [0, 1, 2, 3, 4]
    assert merged.provenance["system"] == "s"


def test_a_broken_part_leaves_nothing(parts, tmp_path):
    chunk = parts[1] / "activation" / "c" / "0" / "0" / "0"
    content = bytearray(chunk.read_bytes())
    content[40] ^= 4
    chunk.write_bytes(content)
    with pytest.raises(RecordingError, match="altered"):
        td.merge_recordings(parts, tmp_path / "m.zarr")
    assert not [path for path in tmp_path.iterdir() if "m.zarr" in path.name]
    with pytest.raises(RecordingError, match=r"ends in \.zarr"):
        td.merge_recordings(parts, tmp_path / "m")
    with pytest.raises(RecordingError, match="exists already"):
        td.merge_recordings(parts, parts[0])


def test_moments_of_parts_are_those_of_all(model, tmp_path):
    # A text alone has the same bits in every recording, and so lies in the same bins.
    alone = td.RecordingOptions(batch_tokens=1)
    first = td.record(model, WORDS[0], keep="moments", options=alone, out=tmp_path / "a.zarr")
    on_bins = td.RecordingOptions(batch_tokens=1, grid=first)
    td.record(model, WORDS[1], keep="moments", options=on_bins, out=tmp_path / "b.zarr")
    merged = merge_folders([tmp_path / "a.zarr", tmp_path / "b.zarr"], tmp_path / "m.zarr")
    both = td.Moments.of(td.record(model, WORDS[0] + WORDS[1], options=alone), grid=first)
    assert merged.n_samples == 14
    np.testing.assert_allclose(merged.dataset["mean"], both.dataset["mean"], atol=1e-6)
    np.testing.assert_allclose(
        merged.dataset["within"], both.dataset["within"], rtol=1e-4, atol=1e-4
    )
    np.testing.assert_array_equal(
        td.open_moments(tmp_path / "m.zarr").dataset["joint"], both.dataset["joint"]
    )
    other = tiny.model("llama", seed=1)
    td.record(other, WORDS[2], keep="moments", options=on_bins, out=tmp_path / "o.zarr")
    for folders, message in (
        (["a.zarr", "o.zarr"], "weights: "),
        (["m.zarr", "b.zarr"], "hold the same texts"),
    ):
        with pytest.raises(RecordingError, match=message):
            merge_folders([tmp_path / each for each in folders], tmp_path / "n.zarr")
    td.record(model, WORDS[2], out=tmp_path / "s.zarr")
    with pytest.raises(RecordingError, match="holds moments and"):
        merge_folders([tmp_path / "a.zarr", tmp_path / "s.zarr"], tmp_path / "n.zarr")
