"""Division of states among passes: every state once, no pass too large."""

from hypothesis import given
from hypothesis import strategies as st

from transformer_dynamics.model.passes.joint import even_slices, joint_passes


@given(st.lists(st.integers(1, 40), min_size=1, max_size=12), st.integers(1, 24))
def test_every_state_travels_once(sizes, most):
    starts = {f"start {layer}": (size, layer) for layer, size in enumerate(sizes)}
    seen = {start: [] for start in starts}
    for batch in joint_passes(starts, len(sizes), most):
        names = [start for start, _ in batch]
        assert len(set(names)) == len(names)
        assert sum(rows.stop - rows.start for _, rows in batch) <= most
        for start, rows in batch:
            seen[start] += range(rows.start, rows.stop)
    assert {start: len(rows) for start, rows in seen.items()} == {
        start: size for start, (size, _) in starts.items()
    }
    assert all(rows == list(range(len(rows))) for rows in seen.values())


def test_a_start_far_behind_has_a_pass_of_its_own():
    near = list(joint_passes({"a": (50, 0), "b": (50, 1)}, 10, 128))
    far = list(joint_passes({"a": (50, 0), "b": (50, 9)}, 10, 128))
    assert [[start for start, _ in batch] for batch in near] == [["a", "b"]]
    assert [[start for start, _ in batch] for batch in far] == [["a"], ["b"]]


@given(st.integers(0, 200), st.integers(1, 50))
def test_slices_are_even_and_cover_the_range(n, most):
    slices = list(even_slices(n, most))
    assert [index for rows in slices for index in range(rows.start, rows.stop)] == list(range(n))
    lengths = [rows.stop - rows.start for rows in slices]
    assert not lengths or (max(lengths) <= most and max(lengths) - min(lengths) <= 1)
