"""Options of the commands: declared once, from the command line, a file and a preset."""

import inspect
import json
from pathlib import Path
from typing import get_args

import pytest
import yaml

from transformer_dynamics.cli.inputs import names_in
from transformer_dynamics.cli.main import EXIT_STATUSES, app
from transformer_dynamics.cli.options.configuration import allowed_keys, configuration
from transformer_dynamics.cli.options.flags import OutputFlags, PerturbFlags, RecordFlags, RunFlags
from transformer_dynamics.cli.options.presets import PRESETS
from transformer_dynamics.cli.options.signature import parameters_of
from transformer_dynamics.errors import TdynError
from transformer_dynamics.experiment import Settings, select
from transformer_dynamics.paper import preset as paper


class Captured:
    """Stands for a run: keeps what it was given and does nothing."""

    given = None

    def __init__(self, *given):
        Captured.given = given

    def run(self):
        return []


@pytest.fixture
def settings_of_run(monkeypatch, tdyn, folder, text_file):
    """Model, texts, folder and settings of `tdyn run` with options."""
    monkeypatch.setattr("transformer_dynamics.experiment.Experiment", Captured)

    def run(*words):
        status, _, errors = tdyn("run", folder, "--texts", text_file, *words)
        assert status == 0, errors
        return Captured.given

    return run


@pytest.fixture
def printed(tdyn):
    """Configuration that `tdyn run --print-config` prints."""

    def config(*words):
        status, out, errors = tdyn("run", *words, "--print-config")
        assert status == 0, errors
        return yaml.safe_load(out)

    return config


def refusal(tdyn, *words):
    status, _, errors = tdyn(*words)
    assert status == 1
    return " ".join(errors.split())


def written(path, text):
    path.write_text(text)
    return path


def test_shared_options_are_declared_once():
    signatures = [
        {each.name: each for each in parameters_of(kind)}
        for kind in (RecordFlags, PerturbFlags, RunFlags)
    ]
    shared = set.intersection(*map(set, signatures)) - {"out"}
    assert {"model", "texts", "positions", "sites", "storage", "quiet", "log"} <= shared
    for name in shared:
        assert len({get_args(each[name].annotation)[1].help for each in signatures}) == 1
        assert len({each[name].default for each in signatures}) == 1


def test_commands_keep_name_and_docstring():
    names = {each.name or each.callback.__name__ for each in app.registered_commands}
    assert names >= {"run", "record", "measure", "perturb", "compare", "report", "sites", "list"}
    for each in app.registered_commands:
        assert inspect.getdoc(each.callback)


def test_help_shows_exit_statuses_and_the_cache(tdyn):
    status, text, _ = tdyn("--help")
    text = " ".join(text.split())
    assert status == 0
    for number, meaning in EXIT_STATUSES.items():
        assert f"{number} ({meaning})" in text
    assert "TDYN_CACHE" in text
    assert "--install-completion" in text


def test_version(tdyn):
    from transformer_dynamics import __version__

    assert tdyn("--version")[:2] == (0, f"transformer-dynamics {__version__}\n")


def test_completion_of_presets(tdyn, monkeypatch):
    monkeypatch.setenv("_TDYN_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", "tdyn run --preset q")
    monkeypatch.setenv("COMP_CWORD", "3")
    assert tdyn()[1].split() == ["quick"]


def test_names_are_separated_by_commas_or_repeated():
    assert names_in(None) is None
    assert names_in(["C1, C2", "C7", "C1"]) == ("C1", "C2", "C7")
    assert names_in(["none"]) == ()


def test_every_option_reaches_the_experiment(settings_of_run, tmp_path):
    sites = {"0.pre_attn": "layers.0:input", "final": "layers.2:output"}
    file = written(tmp_path / "sites.json", json.dumps(sites))
    words = ("--samples", 5, "--seed", 3, "--nulls", 7, "--bootstrap", 9, "--twins", 2)
    words += ("--perturbed", 4, "--positions", "random:2", "--storage", "float16", "--panels")
    words += ("--claims", "C4,C7", "--claims", "C1", "--measures", "paths.kinematics")
    words += ("--perturbations", "none", "--sites", file, "--out", tmp_path / "r")
    words += ("--bos", "always", "--too-long", "truncate", "--batch-tokens", 64)
    words += ("--dtype", "float64", "--attention", "eager", "--device", "cpu")
    model, texts, out, settings, _ = settings_of_run(*words)
    assert tuple(site.label for site in model.found_sites.sites) == tuple(sites)
    assert (model.dtype, model.attention_implementation) == ("float64", "eager")
    assert len(texts) == 5
    assert out == tmp_path / "r"
    assert (settings.seed, settings.n_null, settings.n_bootstrap) == (3, 7, 9)
    assert (settings.n_twins, settings.n_perturbed, settings.panels) == (2, 4, True)
    assert settings.claims == ("C4", "C7", "C1")
    assert settings.measures == ("paths.kinematics",)
    assert settings.perturbations == ()
    assert settings.positions == "random:2"
    recording = settings.recording
    assert (recording.storage, recording.seed, recording.bos) == ("float16", 3, "always")
    assert (recording.too_long, recording.batch_tokens) == ("truncate", 64)
    assert settings.config["samples"] == 5
    assert settings.config["out"] == str(tmp_path / "r")


def test_every_option_of_a_model_reaches_its_loader(tdyn, monkeypatch):
    given = {}

    def loader(name, **options):
        given.update(options, name=name)
        raise TdynError("enough")

    monkeypatch.setattr("transformer_dynamics.model.loading.load_model", loader)
    words = ("--revision", "v1", "--trust-remote-code", "--offline", "--device", "cuda:1")
    assert "enough" in refusal(tdyn, "run", "some/model", *words)
    rare = given.pop("options")
    assert rare.trust_remote_code
    expected = {"revision": "v1", "offline": True, "device": "cuda:1", "dtype": "float32"}
    assert given == {"name": "some/model", "sites": None, **expected}


def test_every_option_of_the_texts_has_its_effect(settings_of_run, tdyn, folder, tmp_path):
    lines = [f"{'w1 ' * (3 + number)},{number // 2}" for number in range(8)]
    file = written(tmp_path / "t.csv", "\n".join(["doc,page", *lines]))
    words = ("--texts", file, "--column", "doc", "--group", "page", "--cut", "none")
    texts = settings_of_run(*words, "--min-chars", 12, "--max-chars", 20)[1]
    assert [len(text) for text in texts] == [14, 17, 20]
    assert list(texts.groups) == ["1", "1", "2"]
    words = (*words, "--texts-revision", "main")
    assert "belongs to a dataset of the hub" in refusal(tdyn, "run", folder, *words)


def test_the_folder_is_named_by_model_and_preset(settings_of_run):
    assert settings_of_run()[2] == Path("runs/tiny-llama")
    assert settings_of_run("--preset", "quick", "--samples", 5)[2] == Path("runs/tiny-llama-quick")


def test_without_options_the_settings_are_the_defaults(settings_of_run):
    settings = settings_of_run()[3]
    expected = Settings()
    for name in ("seed", "recording", "n_null", "n_twins", "n_bootstrap", "n_perturbed"):
        assert getattr(settings, name) == getattr(expected, name)
    for name in ("positions", "claims", "measures", "perturbations", "panels"):
        assert getattr(settings, name) == getattr(expected, name)


def test_the_seed_changes_a_recording_only_where_positions_are_drawn(settings_of_run):
    assert settings_of_run("--seed", 3)[3].recording == settings_of_run()[3].recording


def test_command_line_over_file_over_preset_over_default(printed, tmp_path):
    file = written(tmp_path / "run.yaml", "preset: quick\nsamples: 20\nmin-chars: 5\n")
    config = printed("--config", file, "--samples", "30")
    quick = PRESETS["quick"].values
    assert config["samples"] == 30
    assert config["min_chars"] == 5
    assert config["twins"] == quick["twins"]
    assert config["bootstrap"] == quick["bootstrap"]
    assert config["texts"] == "wikipedia-sample"
    assert printed("--config", file)["samples"] == 20
    assert printed("--config", file, "--preset", "standard")["twins"] == 5
    assert printed("--preset", "quick")["samples"] == quick["samples"]


@pytest.mark.parametrize("preset", PRESETS)
def test_a_printed_configuration_is_read_again(preset, printed, tmp_path):
    config = printed("--preset", preset, "--claims", "C1,C2", "--out", "ä b", "--offline")
    assert config["preset"] == preset
    assert set(config) == set(allowed_keys())
    for name, value in PRESETS[preset].values.items():
        assert config[name] == value
    file = written(tmp_path / "again.yaml", yaml.safe_dump(config))
    assert printed("--config", file) == config
    assert printed("--config", file, "--no-offline")["offline"] is False


def test_an_empty_file_changes_nothing(printed, tmp_path):
    assert printed("--config", written(tmp_path / "e.yaml", "")) == configuration(RunFlags())


def test_printing_the_configuration_loads_no_model(tdyn, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    status, out, errors = tdyn("run", "no-such/model", "--print-config", "--json", "--quiet")
    assert status == 0
    assert errors == ""
    assert json.loads(out)["config"]["model"] == "no-such/model"
    assert list(tmp_path.iterdir()) == []


FILES = {
    "sampels: 3": "names 'sampels'; allowed are: attention, batch_tokens,",
    "quiet: true": "names 'quiet'; allowed are:",
    "samples: many": "samples is 'many' of type str; allowed is a whole number or null",
    "samples: 2.5": "samples is 2.5 of type float; allowed is a whole number or null",
    "samples: true": "samples is True of type bool; allowed is a whole number or null",
    "twins: null": "twins is None of type NoneType; allowed is a whole number",
    "twins: 1": "twins: Input should be greater than or equal to 2",
    "offline: 1": "offline is 1 of type int; allowed is true or false",
    "revision: 123": 'revision is 123 of type int; allowed is text or null: revision: "123"',
    "claims: [C1, 2]": "claims is ['C1', 2] of type list; allowed is a list or null",
    "out: 3": "out is 3 of type int; allowed is a path or null",
    "seed: 1\nseed: 2": "gives seed twice",
    "min_chars: 1\nmin-chars: 2": "gives min_chars twice",
    "- samples": "holds ['samples']; allowed is one option per line: samples: 64",
    "a: [": "is not valid YAML",
    "preset: nature": "no preset 'nature'; there are: quick, standard, paper, full",
    "claims: C99": "no claim 'C99'; there are: C1,",
}


@pytest.mark.parametrize("text", FILES)
def test_wrong_files_are_one_message(text, tdyn, tmp_path):
    file = written(tmp_path / "run.yaml", text)
    assert FILES[text] in refusal(tdyn, "run", "--config", file)


def test_a_missing_file_is_one_message(tdyn, tmp_path):
    message = refusal(tdyn, "run", "--config", tmp_path / "none.yaml")
    assert "No such file" in message
    assert "tdyn run --print-config >" in message


def test_lists_of_a_file_may_be_names_with_commas(settings_of_run, tmp_path):
    text = "claims: C4,C7\nmeasures: [paths.kinematics]\nperturbations: none\n"
    settings = settings_of_run("--config", written(tmp_path / "run.yaml", text))[3]
    assert settings.claims == ("C4", "C7")
    assert settings.measures == ("paths.kinematics",)
    assert settings.perturbations == ()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--claims", "C99"), "no claim 'C99'; there are: C1,"),
        (("--measures", "magic"), "no measure 'magic'; there are: dimension.autoencoder,"),
        (("--perturbations", "push"), "no perturbation 'push'; there are: perturbation.basin,"),
        (("--claims", "C8", "--perturbations", "none"), "--perturbations perturbation.recovery"),
        (("--preset", "nature"), "no preset 'nature'; there are: quick, standard, paper, full"),
    ],
)
def test_unknown_names_are_refused_before_the_model_is_loaded(words, message, tdyn):
    assert message in refusal(tdyn, "run", "no-such/model", *words)


def test_presets_hold_options_of_the_run_and_ascend_in_cost():
    assert list(PRESETS) == ["quick", "standard", "paper", "full"]
    for preset in PRESETS.values():
        RunFlags(**preset.values)
        assert set(preset.values) <= set(allowed_keys())
    assert PRESETS["standard"].values == {}
    samples = [PRESETS[name].values["samples"] for name in ("quick", "paper", "full")]
    assert samples[0] < 512 < samples[1] < samples[2]


def test_the_first_look_leaves_out_the_claims_on_layers_alone():
    values = PRESETS["quick"].values
    names = {name: values[name] for name in ("measures", "perturbations")}
    chosen = select(Settings(**names))
    assert set(chosen.measures) == set(values["measures"])
    assert set(chosen.left_out) == {"C9", "C10", "C11"}
    command = PRESETS["quick"].command
    names = "perturbation.logit_lens,perturbation.recovery,perturbation.teleport"
    assert f"--perturbations {names}" in command
    assert "--samples 64" in command


def test_the_preset_of_the_paper_is_that_of_its_texts():
    values = PRESETS["paper"].values
    assert values["texts"] == paper.WIKITEXT
    assert values["samples"] == paper.N_TEXTS
    assert {name: values[name] for name in paper.SELECTION} == paper.SELECTION


def test_preset_of_the_paper_takes_what_is_given(monkeypatch, tdyn, folder, tmp_path):
    path = tmp_path / "mine.txt"
    path.write_text("\n".join("w1 " * (40 + number) for number in range(8)))
    monkeypatch.setattr("transformer_dynamics.experiment.Experiment", Captured)
    status, _, errors = tdyn("run", folder, "--preset", "paper", "--texts", path, "--samples", "5")
    assert status == 0, errors
    assert "as given" in errors
    _, texts, _, settings, _ = Captured.given
    assert len(texts) == 5
    assert texts.selection["min_chars"] == 100
    assert settings.preset["name"] == "paper"
    assert settings.panels
    assert "mine.txt" in settings.preset["note"]


def test_lists_of_one_kind(tdyn):
    status, text, _ = tdyn("list", "presets")
    assert status == 0
    for preset in PRESETS.values():
        assert preset.name in text
        assert (preset.cost or "not measured") in text
    assert "random_walk" not in text
    assert "random_walk" in tdyn("list", "nulls")[1]
    assert "there are: measures, comparisons," in refusal(tdyn, "list", "models")


def test_options_of_the_messages_are_not_part_of_a_configuration():
    assert not set(allowed_keys()) & set(vars(OutputFlags()))
