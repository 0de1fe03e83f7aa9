"""Bars, log lines, JSON and tables: what each says of a stage, with a clock that the test sets."""

import io
import json
import threading
import warnings

import pytest
import typer
from rich.console import Console

from transformer_dynamics.cli.options.flags import OutputFlags
from transformer_dynamics.cli.output.bars import Bars
from transformer_dynamics.cli.output.choice import output_of
from transformer_dynamics.cli.output.events import Events, FinalEvent
from transformer_dynamics.cli.output.form import Result
from transformer_dynamics.cli.output.lines import Lines, LogFile
from transformer_dynamics.cli.output.messages import Messages
from transformer_dynamics.cli.output.output import Output
from transformer_dynamics.cli.output.stage import Stage
from transformer_dynamics.errors import TdynError

NEVER = 1e6  # seconds between two reports of a thread that stays silent in a test


class Clock:
    """A clock that stands still until it is set."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def said(stream):
    """Lines without date and time."""
    return [line.split(" ", 2)[2] for line in stream.getvalue().splitlines()]


def events(stream):
    """Events without their time."""
    return [
        {key: value for key, value in json.loads(line).items() if key != "time"}
        for line in stream.getvalue().splitlines()
    ]


def threads():
    return [thread for thread in threading.enumerate() if thread.name == "tdyn-progress"]


def test_the_rate_is_that_of_the_last_marks():
    stage = Stage("record", "tokens", now=100.0)
    assert stage.rate(110.0) is None
    assert stage.seconds_left(110.0) is None
    stage.advance(900, 1000)  # found done in a folder
    stage.mark(101.0)
    for second in range(1, 6):
        stage.advance(900 + 10 * second, 1000)
        stage.mark(101.0 + 10 * second)
    assert stage.rate(151.0) == pytest.approx(1.0)
    assert stage.seconds_left(151.0) == pytest.approx(50.0)


def test_time_left_is_not_told_before_a_share_is_done():
    stage = Stage("claims", "draws", now=0.0)
    stage.advance(4, 9000)  # after preparations that no later draw needs
    assert stage.rate(30.0) is not None
    assert stage.seconds_left(30.0) is None
    stage.advance(180, 9000)
    assert stage.seconds_left(40.0) == pytest.approx(8820 / 4.5)


def test_a_stage_that_stands_still_keeps_its_mean_rate():
    stage = Stage("test", "draws", now=0.0)
    stage.advance(50, 100)
    for second in range(10, 70, 10):
        stage.mark(float(second))
    assert stage.rate(100.0) == pytest.approx(0.5)


def test_lines_of_a_stage_from_begin_to_end(clock):
    stream = io.StringIO()
    lines = Lines(stream, clock=clock, interval=NEVER)
    with lines, lines.stage("shuffled_tokens", "tokens") as advance:
        clock.now = 20.0
        lines.beat()
        clock.now = 40.0
        advance(400, 1000)
        lines.beat()
        clock.now = 100.0
    assert said(stream) == [
        "shuffled tokens: begins",
        "shuffled tokens: working for 0:20",
        "shuffled tokens: 40%, 400 of 1000 tokens, 10 tokens/s, 1:00 left",
        "shuffled tokens: done in 1:40",
    ]


def test_lines_between_stages_and_of_what_is_left_out(clock):
    stream = io.StringIO()
    lines = Lines(stream, clock=clock, interval=NEVER)
    with lines:
        clock.now = 65.0
        lines.beat()
        lines.skipped("shuffled_tokens")
        lines.refused("perturbation.basin", "not causal,\nan encoder")
        lines.warned("unit 3 does not vary")
    assert said(stream) == [
        "between stages for 1:05",
        "shuffled tokens: done before",
        "perturbation.basin: left out: not causal, an encoder",
        "warning: unit 3 does not vary",
    ]


def test_a_thread_reports_a_stage_whose_progress_is_not_called():
    heard = threading.Event()

    class Heard(Lines):
        def running(self, stage, now):
            heard.set()

    with Heard(io.StringIO(), interval=0.01) as lines, lines.stage("test", "draws"):
        assert heard.wait(timeout=60)
    assert not threads()


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_an_error_ends_the_stage_and_the_thread(error, clock):
    stream, written = io.StringIO(), io.StringIO()
    forms = [
        Lines(stream, clock=clock, interval=NEVER),
        Events(written, "run", clock=clock, interval=NEVER),
    ]

    def fail():
        with Output(forms) as output, output.stage("test", "draws"):
            clock.now = 7.0
            raise error

    with pytest.raises(error):
        fail()
    assert said(stream)[-1] == "test: stopped after 0:07"
    end = {"event": "stage_end", "stage": "test", "seconds": 7.0, "finished": False}
    assert events(written)[-1] == end
    assert not threads()


def test_a_closed_stream_ends_the_thread_silently():
    stream = io.StringIO()
    lines = Lines(stream, interval=0.01)
    with lines:
        stream.close()
        lines._thread.join(timeout=60)
        assert not lines._thread.is_alive()


def test_events_are_one_json_object_per_line(clock):
    stream = io.StringIO()
    with Events(stream, "run", clock=clock, interval=NEVER) as form:
        with form.stage("record", "tokens") as advance:
            clock.now = 10.0
            form.beat()
            advance(50, 200)
            form.beat()
        form.skipped("untrained")
        form.refused("C8", "its perturbation is not chosen")
        form.note("texts as given")
        form.warned("a unit does not vary")
        clock.now = 13.0
        form.beat()
    first, *others = events(stream)
    assert first["event"] == "command"
    assert first["command"] == "run"
    progress = {"event": "stage_progress", "stage": "record", "unit": "tokens", "seconds": 10.0}
    assert others == [
        {"event": "stage_begin", "stage": "record", "unit": "tokens"},
        {**progress, "done": 0, "total": None, "rate": None, "seconds_left": None},
        {**progress, "done": 50, "total": 200, "rate": 5.0, "seconds_left": 30.0},
        {"event": "stage_end", "stage": "record", "seconds": 10.0, "finished": True},
        {"event": "stage_skipped", "stage": "untrained"},
        {"event": "stage_refused", "stage": "C8", "why": "its perturbation is not chosen"},
        {"event": "note", "text": "texts as given"},
        {"event": "warning", "text": "a unit does not vary"},
        {"event": "between_stages", "seconds": 3.0},
    ]


def test_the_final_event_is_the_result_the_error_or_the_interruption(tmp_path):
    stream = io.StringIO()
    final = FinalEvent(stream, "run")
    final.result(Result(["a table"], {"verdicts": [1, 2]}, {"report": tmp_path}))
    final.failed("no such model")
    final.interrupted("tdyn run")
    assert events(stream) == [
        {
            "event": "result",
            "command": "run",
            "verdicts": [1, 2],
            "paths": {"report": str(tmp_path)},
        },
        {"event": "error", "command": "run", "message": "no such model"},
        {"event": "interrupted", "command": "run", "continue_with": "tdyn run"},
    ]


def test_bars_show_name_share_and_rate_on_a_terminal():
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=True, width=120, no_color=True)
    with Bars(console) as bars:
        with bars.stage("shuffled_tokens", "tokens") as advance:
            advance(5, 20)
            advance(20, 20)
        with bars.stage("report", "pages"):
            pass
        bars.skipped("untrained")
        bars.refused("C8", "not chosen [at all]")
        bars.result(Result())
        shown = stream.getvalue()
    assert "shuffled tokens" in shown
    assert "20/20" in shown
    assert "1/1" in shown
    assert "tokens/s" in shown
    assert "untrained: done before" in shown
    assert "C8: left out: not chosen [at all]" in shown


def test_a_log_file_is_appended_with_command_files_and_errors(tmp_path, clock):
    path = tmp_path / "new folder" / "run.log"
    for message in ("first", "second"):
        with LogFile(path, f"tdyn {message}", clock=clock, interval=NEVER) as log:
            with log.stage("record", "tokens"):
                pass
            log.result(Result([], {}, {"report": tmp_path / "report.html"}))
            log.failed("out of disk")
            log.interrupted(f"tdyn {message}")
    said_twice = said(io.StringIO(path.read_text()))
    assert said_twice[:6] == [
        "tdyn first",
        "record: begins",
        "record: done in 0:00",
        f"finished: {tmp_path / 'report.html'}",
        "error: out of disk",
        "interrupted; finished parts are kept. To go on: tdyn first",
    ]
    assert said_twice[6] == "tdyn second"
    with pytest.raises(TdynError, match=r"cannot write the log .*--log runs/demo\.log"):
        LogFile(tmp_path, "tdyn run")


def test_messages_print_tables_then_paths(tmp_path):
    standard, errors = io.StringIO(), io.StringIO()
    messages = Messages(Console(file=standard), Console(file=errors))
    messages.result(Result(["a text"], {}, {"report": tmp_path / "[a].html"}))
    messages.failed("[b]bold[/b]")
    assert standard.getvalue() == f"a text\n{tmp_path / '[a].html'}\n"
    assert errors.getvalue() == "error: [b]bold[/b]\n"
    Messages(None, Console(file=errors)).result(Result(["a text"]))
    assert "a text" not in errors.getvalue()


def test_details_are_notes_of_verbose_output_alone(clock):
    for verbose in (False, True):
        stream = io.StringIO()
        lines = Lines(stream, clock=clock, interval=NEVER)
        with Output([lines], verbose=verbose, clock=clock) as output:
            for seconds in (2.0, 1.5):
                with output.stage("report", "pages"):
                    clock.now += seconds
            output.detail("torch 2")
            output.result(Result())
        details = ["torch 2", "seconds by stage: report 3.5"]
        assert said(stream)[4:] == (details if verbose else [])


def test_forms_by_options(monkeypatch, capsys):
    def kinds(**flags):
        return [type(form).__name__ for form in output_of(OutputFlags(**flags), "run")._forms]

    assert kinds() == ["Lines", "Messages"]
    assert kinds(quiet=True) == ["Messages"]
    assert kinds(json=True) == ["Lines", "Events", "FinalEvent", "Messages"]
    assert kinds(json=True, quiet=True) == ["FinalEvent", "Messages"]
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert kinds() == ["Bars", "Messages"]
    monkeypatch.setenv("TERM", "dumb")
    assert kinds() == ["Lines", "Messages"]
    with pytest.raises(typer.BadParameter, match="exclude each other"):
        output_of(OutputFlags(quiet=True, verbose=True), "run")


def test_colors_are_off_on_request(monkeypatch, capsys):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.delenv("NO_COLOR", raising=False)
    for flags, colored in ((OutputFlags(), True), (OutputFlags(no_color=True), False)):
        with output_of(flags, "run") as output:
            output.result(Result(["[red]verdict[/red]"]))
            output.failed("no such model")
        captured = capsys.readouterr()
        assert ("\x1b[31m" in captured.out) == colored
        assert ("31m" in captured.err) == colored
    monkeypatch.setenv("NO_COLOR", "1")
    with output_of(OutputFlags(), "run") as output:
        output.result(Result(["[red]verdict[/red]"]))
    assert "\x1b[31m" not in capsys.readouterr().out


def test_warnings_become_messages(capsys):
    from transformer_dynamics.cli.invocation import _ending

    with output_of(OutputFlags(), "run") as output, _ending(output):
        warnings.warn("unit 3 does not vary", stacklevel=1)
    assert said(io.StringIO(capsys.readouterr().err)) == ["warning: unit 3 does not vary"]
