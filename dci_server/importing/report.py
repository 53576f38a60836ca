# SPDX-License-Identifier: Apache-2.0
"""What an import did, what it changed and why, and what it left behind: for a person, and as JSON."""

from collections.abc import Iterator, Sequence

import msgspec
from msgspec import Struct

from dci_server.foundation.database.connection import fetch_rows
from dci_server.importing.contents import OF_COMPONENTS, OF_JOBS, Kind, tally
from dci_server.importing.source import LeftBehind, Source
from dci_server.importing.steps import Kind as ChangeKind
from dci_server.importing.target import Target


class StepReport(Struct, frozen=True):
    """Rows of a table of the source. A step named table.column set a link, or a secret, in rows that were there."""

    step: str
    read: int
    written: int


class ChangeReport(Struct, frozen=True):
    step: str
    kind: ChangeKind
    reason: str
    rows: int
    examples: list[str]


class LeftReport(Struct, frozen=True):
    what: str
    rows: int
    why: str


class FilesReport(Struct, frozen=True):
    """`missing`: files whose bytes are not here, `missing_bytes` as their rows have it."""

    kind: str
    total: int
    brought: int
    missing: int
    missing_bytes: int
    examples: list[str]
    looked_for: bool
    """Whether the source's store was given; if not, nothing was missed, only not brought."""


class Report(Struct, frozen=True):
    source: str
    steps: list[StepReport]
    changes: list[ChangeReport]
    left_behind: list[LeftReport]
    files: list[FilesReport]


_HEADINGS: dict[ChangeKind, str] = {
    "skipped": "Not brought over",
    "changed": "Changed",
    "added": "Added",
    "noted": "To be known",
}


async def read_report(
    target: Target, source: Source, left_behind: Sequence[LeftBehind], looked_for: dict[str, bool]
) -> Report:
    steps = await fetch_rows(
        target, "select name, rows_read, rows_written from import_steps where rows_read > 0 order by finished_at, name"
    )
    changes = await fetch_rows(
        target, "select step, kind, reason, total, examples from import_changes order by step, kind, reason"
    )
    return Report(
        source.name,
        [StepReport(row["name"], row["rows_read"], row["rows_written"]) for row in steps],
        [ChangeReport(*row) for row in changes],
        [LeftReport(left.what, left.rows, left.why) for left in left_behind],
        [await _files(target, kind, looked_for[kind.name]) for kind in (OF_JOBS, OF_COMPONENTS)],
    )


async def _files(target: Target, kind: Kind, looked_for: bool) -> FilesReport:
    found = await tally(target, kind)
    brought = found.total - found.pending
    return FilesReport(
        kind.name, found.total, brought, found.pending, found.pending_bytes, list(found.examples), looked_for
    )


def as_json(report: Report) -> bytes:
    return msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n"


def as_text(report: Report) -> str:
    return "\n".join(_lines(report))


def _lines(report: Report) -> Iterator[str]:
    yield f"Imported from {report.source}"
    yield ""
    yield f"  {'table':<28}{'read':>12}{'brought over':>16}"
    for step in report.steps:
        yield f"  {step.step:<28}{step.read:>12}{step.written:>16}"
    for kind, heading in _HEADINGS.items():
        found = [change for change in report.changes if change.kind == kind]
        if found:
            yield ""
            yield heading
        for change in found:
            examples = f" ({', '.join(change.examples)}{', …' if change.rows > len(change.examples) else ''})"
            yield f"  {change.step}: {change.rows} x {change.reason}{examples if change.examples else ''}"
    if report.left_behind:
        yield ""
        yield "Left behind in the source"
        for left in report.left_behind:
            yield f"  {left.what}: {left.rows} rows; {left.why}"
    yield ""
    yield "Bytes of files"
    for files in report.files:
        yield f"  {files.kind}: {files.brought} of {files.total} are here"
        if files.missing and files.looked_for:
            yield f"    {files.missing} are not in the source's store ({', '.join(files.examples)}, …); their rows are here"
        elif files.missing:
            yield f"    {files.missing} ({files.missing_bytes} bytes) must still be brought: {_HOW[files.kind]}"


_HOW = {
    "files": "run again with --files, or copy the container dci-files to files/ of this hub's store",
    "component_files": "run again with --components, or copy the container dci-components to components/ of this hub's store",
}
