"""Output of a command: several forms of messages at once."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager

from transformer_dynamics.cli.output.form import Form, Result, spoken
from transformer_dynamics.experiment.reporter import Progress


class Output(Form):
    """Forms that all receive the same, as bars on a terminal and lines in a file.

    Args:
        forms: The forms.
        verbose: Whether details are notes.
        clock: Function that returns seconds.
    """

    def __init__(
        self,
        forms: Sequence[Form],
        *,
        verbose: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._forms, self._verbose, self._clock = list(forms), verbose, clock
        self._open = ExitStack()
        self.seconds: dict[str, float] = {}

    def __enter__(self) -> Output:
        """Begin all forms."""
        for form in self._forms:
            self._open.enter_context(form)
        return self

    def add(self, form: Form) -> None:
        """Begin one more form."""
        self._open.enter_context(form)
        self._forms.append(form)

    def __exit__(self, *error: object) -> None:
        """End all forms."""
        self._open.close()

    @contextmanager
    def stage(self, name: str, unit: str) -> Iterator[Progress]:
        """Begin a stage in all forms, and add up the seconds of its name."""
        began = self._clock()
        with ExitStack() as stages:
            progresses = [stages.enter_context(form.stage(name, unit)) for form in self._forms]

            def advance(done: int, total: int) -> None:
                for progress in progresses:
                    if progress is not None:
                        progress(done, total)

            yield advance
        # The page and the measures come in several pieces.
        self.seconds[name] = self.seconds.get(name, 0.0) + self._clock() - began

    def skipped(self, name: str) -> None:
        """Report a stage that was done before."""
        for form in self._forms:
            form.skipped(name)

    def refused(self, name: str, why: str) -> None:
        """Report a stage that is left out."""
        for form in self._forms:
            form.refused(name, why)

    def note(self, text: str) -> None:
        """Tell the user something that is no stage."""
        for form in self._forms:
            form.note(text)

    def detail(self, text: str) -> None:
        """Tell the user something that `--verbose` asks for."""
        if self._verbose:
            self.note(text)

    def warned(self, text: str) -> None:
        """Report a warning."""
        for form in self._forms:
            form.warned(text)

    def result(self, result: Result) -> None:
        """Report the final result, and the seconds of the stages as a detail."""
        spent = [f"{spoken(name)} {seconds:.1f}" for name, seconds in self.seconds.items()]
        self.detail(f"seconds by stage: {', '.join(spent) or 'none'}")
        for form in self._forms:
            form.result(result)

    def failed(self, message: str) -> None:
        """Report the error that ended the command."""
        for form in self._forms:
            form.failed(message)

    def interrupted(self, command: str) -> None:
        """Report an interruption."""
        for form in self._forms:
            form.interrupted(command)
