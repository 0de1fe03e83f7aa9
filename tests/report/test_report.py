"""A report is put together result by result, and refuses what it cannot show by name."""

import numpy as np
import pytest
import xarray as xr

import transformer_dynamics as td
from transformer_dynamics.claims import Verdict
from transformer_dynamics.errors import InputError
from transformer_dynamics.report import Report

WALK = td.synthetic.random_walk(n_samples=5, n_sites=8, n_units=4, seed=0)
VERDICT = Verdict(
    "X1", "It <b>is</b>.", "number (1)", 1.0, (0.5, 2.0), {}, "undecided", "Because.", xr.Dataset()
)


def test_results_and_verdicts_are_added_one_by_one(tmp_path):
    kinematics = td.paths.kinematics(WALK)
    path = Report(WALK).add(kinematics).add([VERDICT]).add(kinematics).save(tmp_path / "a.html")
    page = path.read_text()
    assert 'id="measure-paths.kinematics"' in page
    assert 'id="measure-paths.kinematics (2)"' in page
    assert "It &lt;b&gt;is&lt;/b&gt;." in page
    assert '<a href="https://arxiv.org/abs/2502.12131">' in page


def test_the_page_is_that_of_write_report(tmp_path):
    kinematics = td.paths.kinematics(WALK)
    one = Report(WALK, run={"model": "m"}).add(VERDICT).add(kinematics).save(tmp_path / "a.html")
    name = "paths.kinematics"
    other = td.write_report(
        tmp_path / "b.html", {name: kinematics}, [VERDICT], recording=WALK, run={"model": "m"}
    )
    assert one.read_text() == other.read_text()


@pytest.mark.parametrize(
    ("item", "message"),
    [
        (xr.Dataset({"a": ("x", np.ones(2))}), "name the measure None"),
        (xr.Dataset(attrs={"measure": "paths.unknown"}), "name the measure 'paths.unknown'"),
        (WALK.activation, "got a DataArray"),
        ("kinematics", "got a str"),
        ([VERDICT, 3], "got a int"),
        ({"a": VERDICT}, "got a dict"),
        (WALK, "got a Recording"),
    ],
)
def test_other_items_are_refused_by_name(item, message):
    report = Report(WALK)
    with pytest.raises(InputError, match=message) as error:
        report.add(item)
    assert "td.Report(recording).add(" in str(error.value)


def test_a_recording_is_a_recording():
    with pytest.raises(InputError, match="got a ndarray as the recording"):
        Report(WALK.values)
