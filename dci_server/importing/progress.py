# SPDX-License-Identifier: Apache-2.0
"""How far it is: a bar on a terminal, a line now and then elsewhere."""

import time
from contextlib import AbstractContextManager
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

_SECONDS_BETWEEN_LINES = 10


class Progress(AbstractContextManager["Progress"]):
    def __init__(self, console: Console) -> None:
        self._console = console
        self._bars = (
            Bars(
                TextColumn("{task.description:<24}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
                console=console,
            )
            if console.is_terminal
            else None
        )  # fmt: skip
        self._bar: TaskID | None = None
        self._name = ""
        self._done = 0
        self._total: int | None = None
        self._said_at = 0.0

    def __enter__(self) -> "Progress":
        if self._bars is not None:
            self._bars.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._bars is not None:
            self._bars.stop()

    def begin(self, name: str, total: int | None, done: int = 0) -> None:
        """`total` may be an estimate; `done` is what an earlier run did."""
        self._name, self._total, self._done, self._said_at = name, total, done, time.monotonic()
        if self._bars is not None:
            self._bar = self._bars.add_task(name, total=total, completed=done)

    def advance(self, count: int) -> None:
        self._done += count
        if self._bars is not None and self._bar is not None:
            self._bars.advance(self._bar, count)
        elif time.monotonic() - self._said_at >= _SECONDS_BETWEEN_LINES:
            self._said_at = time.monotonic()
            of = f" of about {self._total}" if self._total else ""
            self._say(f"{self._name}: {self._done}{of}")

    def end(self) -> None:
        if self._bars is not None and self._bar is not None:
            self._bars.update(self._bar, total=self._done, completed=self._done)
        else:
            self._say(f"{self._name}: {self._done}")

    def _say(self, line: str) -> None:
        self._console.print(line, highlight=False, markup=False, soft_wrap=True)
