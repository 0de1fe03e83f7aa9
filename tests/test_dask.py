"""Workers of Dask: the same numbers as in one process, also when a worker dies or freezes."""

import json
import os
import signal
import threading
import warnings
from contextlib import nullcontext, suppress
from pathlib import Path

import distributed
import numpy as np
import pytest

import tiny
import transformer_dynamics as td
import workers
from transformer_dynamics.claims import ClaimOptions
from transformer_dynamics.claims.truths import TRUTHS
from transformer_dynamics.errors import InputError, ModelError, RecordingError, UndefinedWarning
from transformer_dynamics.experiment import Settings, select
from transformer_dynamics.experiment.stages.measurements import measured
from transformer_dynamics.numerics.dask_clients import connected
from transformer_dynamics.numerics.parallel import task_pool
from transformer_dynamics.recording import open_recording
from transformer_dynamics.registry import MEASURES

OPTIONS = ClaimOptions(n_null=5, n_bootstrap=19, n_threads=1)
MEASURED = ("paths.kinematics", "units.density", "units.correlation", "dimension.pca")


@pytest.fixture(scope="module")
def client():
    with workers.cluster() as client:
        yield client


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """A recording on disk, in several chunks."""
    path = tmp_path_factory.mktemp("stored") / "recording.zarr"
    TRUTHS["C7"].recording(0).save(path)
    return open_recording(path)


def twins():
    return [TRUTHS["C7"].twin(1000 + seed) for seed in range(2)]


@pytest.mark.parametrize("kind", ["on disk", "in memory"])
def test_claims_have_the_bits_of_one_process(client, stored, kind):
    recording = stored if kind == "on disk" else TRUTHS["C7"].recording(0)
    given = {
        "claims": ["C1", "C2"],
        "options": OPTIONS,
        "model_nulls": {"untrained": twins()},
    }
    here, there = (td.evaluate_claims(recording, client=each, **given) for each in (None, client))
    assert json.dumps(here[0].as_json()) == json.dumps(there[0].as_json())
    for one, other in zip(here, there, strict=True):
        assert one.as_json() == other.as_json()
        assert one.evidence.identical(other.evidence), one.id


def test_measures_equal_those_of_one_process(client, stored):
    require_equal_measures(client, stored, MEASURED)


def require_equal_measures(client, recording, names):
    """Measure here and on the workers, and compare to 1e-9."""
    here, there = (list(measured(recording, names, client=each)) for each in (None, client))
    assert [name for name, _, _ in there] == list(names)
    for (_, own, _), (name, other, _) in zip(here, there, strict=True):
        assert own.attrs == other.attrs
        for variable in own.variables:
            ours, theirs = own[variable].values, other[variable].values
            if ours.dtype.kind == "f":
                np.testing.assert_allclose(theirs, ours, rtol=1e-9, atol=1e-12, err_msg=name)
            else:
                np.testing.assert_array_equal(theirs, ours, err_msg=name)


def test_workers_of_draws_and_measures_do_not_import_torch(stored):
    with workers.cluster(1, method="spawn") as client:
        td.evaluate_claims(stored, claims=["C2"], options=OPTIONS, client=client)
        assert len(list(measured(stored, MEASURED, client=client))) == len(MEASURED)
        # A lambda travels by value; a function of this module would import all that it imports.
        assert not any(client.run(lambda: "torch" in __import__("sys").modules).values())


def files(path):
    """Content of each file of the states of a recording, by its place."""
    folder = path / "activation" / "c"
    return {each.relative_to(folder): each.read_bytes() for each in folder.rglob("*/0/0")}


@pytest.fixture(scope="module")
def saved(folder, tmp_path_factory):
    """Texts, options of many shards, and a recording of one process."""
    texts = tiny.words(tiny.token_lists(40))
    options = td.RecordingOptions(shard_samples=4)
    out = tmp_path_factory.mktemp("saved") / "here.zarr"
    td.record(td.load_model(folder), texts, out=out, options=options)
    return texts, options, out


def test_a_recording_of_a_model_in_memory_has_the_bits_of_one_process(client, saved, tmp_path):
    texts, options, here = saved
    done = []
    td.record(
        tiny.model("llama"),
        texts,
        out=tmp_path / "there.zarr",
        options=options,
        client=client,
        on_progress=lambda *tokens: done.append(tokens),
    )
    assert files(tmp_path / "there.zarr") == files(here)
    assert len(done) == 10
    assert done[-1][0] == done[-1][1]
    assert [each.name for each in tmp_path.iterdir()] == ["there.zarr"]


def test_moments_are_those_of_one_process_up_to_rounding(client, folder, saved, tmp_path):
    texts, options, _ = saved
    model = td.load_model(folder)
    given = {"keep": "moments", "options": options}
    here = td.record(model, texts, **given)
    there = td.record(model, texts, out=tmp_path / "there.zarr", client=client, **given)
    assert there.provenance == here.provenance
    assert there.n_samples == here.n_samples
    for variable in here.dataset.variables:
        own, other = here.dataset[variable].values, there.dataset[variable].values
        if own.dtype.kind == "f":
            np.testing.assert_allclose(other, own, rtol=1e-9, atol=1e-9, err_msg=variable)
        else:
            np.testing.assert_array_equal(other, own, err_msg=variable)


def test_states_on_workers_need_a_folder_and_a_model_that_can_be_sent(client, folder, saved):
    texts, options, _ = saved
    with pytest.raises(RecordingError, match="got a client and no folder"):
        td.record(td.load_model(folder), texts, options=options, client=client)
    model = tiny.model("llama")
    model.hf_model.unsent = threading.Lock()
    with pytest.raises(ModelError, match="cannot be sent to the workers"):
        td.record(model, texts, keep="moments", options=options, client=client)


def test_the_example_of_the_documentation_runs(client, folder, tmp_path, monkeypatch):
    page = (Path(__file__).parents[1] / "docs" / "dask.md").read_text(encoding="utf-8")
    (example,) = (part for part in page.split("```") if "import Client, LocalCluster" in part)
    example = example.removeprefix("python")
    words = repr(tiny.words(tiny.token_lists(12)))
    for given, taken in (
        ('"smollm2-135m"', repr(str(folder))),
        ('td.load_texts("wikipedia-sample", n=64)', words),
        ('claims=["C1", "C2"]', 'claims=["C2"], options=td.ClaimOptions(n_null=1, n_bootstrap=2)'),
    ):
        assert given in example
        example = example.replace(given, taken)
    monkeypatch.setattr(distributed, "LocalCluster", lambda **_: nullcontext(client.cluster))
    monkeypatch.chdir(tmp_path)
    names = {"__name__": "__main__"}
    exec(compile(example, "dask.md", "exec"), names)
    assert names["recording"].shape[0] == names["moments"].n_samples == 12
    assert open_recording(tmp_path / "demo" / "recording.zarr").digest == names["recording"].digest


def test_the_command_measures_and_records_on_workers(client, stored, folder, tmp_path, tdyn):
    address = client.scheduler.address
    path = stored.activation.encoding["source"]
    words = ["--measures", "units.density", "--dask", address]
    status, out, err = tdyn("measure", path, "--out", tmp_path / "results.zarr", *words)
    assert (status, "units.density" in out) == (0, True), err
    texts = tmp_path / "texts.txt"
    texts.write_text("\n".join(tiny.words(tiny.token_lists(6))))
    words = ["--texts", texts, "--out", tmp_path / "made.zarr", "--device", "cpu"]
    status, _, err = tdyn("record", folder, *words, "--dask", address)
    assert status == 0, err
    td.record(td.load_model(folder), td.load_texts(texts, 6), out=tmp_path / "here.zarr")
    assert files(tmp_path / "made.zarr") == files(tmp_path / "here.zarr")
    status, _, err = tdyn("record", folder, *words, "--dask", "host")
    assert status == 1
    assert "tcp://host:8786" in err
    status, _, err = tdyn("record", folder, *words, "--dask", address, "--worker")
    assert "--worker and --dask exclude each other" in err


def test_another_keyword_is_refused():
    with pytest.raises(TypeError, match="unexpected keyword argument 'clients'"):
        td.record("no model", "a text", clients=None)
    with pytest.raises(TypeError, match="unexpected keyword argument 'clients'"):
        td.evaluate_claims(TRUTHS["C2"].recording(0), clients=None)


def test_a_shared_value_is_made_once_in_each_process(client):
    for each in (None, client):
        with task_pool(2, each) as pool:
            shared = pool.share(np.arange(400_000.0))
            once = pool.once(workers.process_and_sum, shared)
            results = pool.map(workers.same, [once] * 8)
            assert {total for _, _, total in results} == {np.arange(400_000.0).sum()}
            made = {(process, made) for process, made, _ in results}
            assert len(made) == len({process for process, _ in made})


def test_warnings_and_errors_of_a_worker_arrive(client):
    with task_pool(client=client) as pool:
        with pytest.warns(UndefinedWarning, match="of no use") as caught:
            pool.map(workers.warn, range(6))
        assert len(caught) == 6
        with warnings.catch_warnings():
            warnings.simplefilter("error", UndefinedWarning)
            with pytest.raises(UndefinedWarning):
                pool.map(workers.warn, [0])
        with pytest.raises(InputError, match="refused 3"):
            pool.map(workers.refuse, [3])


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("local:0", "local:4"),
        ("host:8786", "tcp://host:8786"),
        ("nowhere.json", "there is no file nowhere.json"),
    ],
)
def test_an_address_that_cannot_be_is_refused(address, message):
    with pytest.raises(InputError, match=message), connected(address):
        pass


def test_something_that_is_no_client_is_refused(client):
    recording = TRUTHS["C2"].recording(0)
    for given in ("local:4", client.scheduler):
        with pytest.raises(InputError, match=r"allowed is a distributed\.Client"):
            td.evaluate_claims(recording, client=given)


# Last, since each starts a worker anew.
def test_a_worker_killed_while_it_records_loses_its_shard_alone(client, folder, saved, tmp_path):
    texts, options, here = saved
    out, stopped = tmp_path / "there.zarr", []
    growing = tmp_path / "there.zarr.partial"

    def stop(done, total):
        """Kill a worker when the first shard is done, and note the files that are there."""
        if not stopped:
            process = workers.recording(growing, client)
            finished = (growing / "recording.zarr").rglob("c/*/0/0")
            before = {path: path.stat().st_ino for path in finished}
            os.kill(process, signal.SIGKILL)
            stopped.append(before)

    made = td.record(
        td.load_model(folder), texts, out=out, options=options, client=client, on_progress=stop
    )
    assert files(out) == files(here)
    assert made.dataset.drop_encoding().identical(open_recording(here).dataset.drop_encoding())
    assert stopped[0]
    for path, number in stopped[0].items():  # renamed with their folder, never written again
        assert (out / path.relative_to(growing / "recording.zarr")).stat().st_ino == number


def test_all_measures_of_a_default_run_equal_those_of_one_process(client, tmp_path):
    td.synthetic.random_walk(n_samples=40, n_sites=7, n_units=12).save(tmp_path / "walk.zarr")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UndefinedWarning)
        walk = open_recording(tmp_path / "walk.zarr")
        require_equal_measures(client, walk, select(Settings()).measures)


@pytest.fixture
def stopped_measure():
    with workers.registered() as name:
        yield name


@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGSTOP])
def test_a_worker_that_dies_or_freezes_changes_no_number(client, tmp_path, sign, stopped_measure):
    values = np.random.default_rng(0).standard_normal((6, 4, 3))
    recording = td.Recording.from_array(values, provenance={"folder": str(tmp_path)})
    names = ["paths.kinematics", stopped_measure, "units.density"]
    found = []
    run = threading.Thread(target=lambda: found.extend(measured(recording, names, client=client)))
    run.start()
    process = workers.waiting(tmp_path)
    os.kill(process, sign)
    for _ in range(240):
        run.join(timeout=1)
        if not run.is_alive():
            break
        if sign == signal.SIGSTOP:
            workers.give_up_silent(client)
    assert not run.is_alive()
    if sign == signal.SIGSTOP:
        with suppress(ProcessLookupError):  # its nanny replaced it
            os.kill(process, signal.SIGCONT)
    assert [name for name, _, _ in found] == names
    np.testing.assert_array_equal(found[1][1]["sum"], values[:, 0].sum(axis=0))
    expected = MEASURES.get("units.density").function(recording)
    assert found[2][1].identical(expected)
