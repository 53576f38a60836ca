# SPDX-License-Identifier: Apache-2.0
"""What was measured, as a table to read and as JSON to compare."""

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from benchmarks.load import Load
from benchmarks.processes import CpuSeconds
from benchmarks.scenarios import MEBIBYTE, Scenario


class Row(msgspec.Struct, frozen=True):
    """One scenario. CPU is per play in microseconds; None where the processes are not known."""

    scenario: str
    plays: int
    requests: int
    seconds: float
    plays_per_second: float
    mebibytes_per_second: float | None
    p50_ms: float
    p95_ms: float
    p99_ms: float
    server_cpu_us: float | None
    postgres_cpu_us: float | None
    store_cpu_us: float | None
    generator_cpu_us: float
    peak_mebibytes: float | None
    growth_mebibytes: float | None


class Report(msgspec.Struct, frozen=True):
    base_url: str
    connections: int
    workers: int | None
    store: str | None
    seeded_jobs: int
    idle_mebibytes: float | None
    rows: list[Row]


class Span(NamedTuple):
    """What the processes had used before the load and after it."""

    before: CpuSeconds
    after: CpuSeconds
    bytes_before: int | None
    peak_bytes: int | None


def row_of(scenario: Scenario, load: Load, span: Span) -> Row:
    plays = len(load.latencies)
    latencies = sorted(load.latencies)
    before, after = span.before, span.after
    growth = None
    if span.bytes_before is not None and span.peak_bytes is not None:
        growth = max(0, span.peak_bytes - span.bytes_before)
    transferred = scenario.transferred_bytes * plays / MEBIBYTE
    return Row(
        scenario=scenario.name,
        plays=plays,
        requests=plays * scenario.requests_per_play,
        seconds=load.seconds,
        plays_per_second=plays / load.seconds,
        mebibytes_per_second=transferred / load.seconds if transferred else None,
        p50_ms=percentile(latencies, 50) * 1000,
        p95_ms=percentile(latencies, 95) * 1000,
        p99_ms=percentile(latencies, 99) * 1000,
        server_cpu_us=_each(before.server, after.server, plays),
        postgres_cpu_us=_each(before.postgres, after.postgres, plays),
        store_cpu_us=_each(before.store, after.store, plays),
        generator_cpu_us=load.generator_cpu_seconds / plays * 1e6,
        peak_mebibytes=in_mebibytes(span.peak_bytes),
        growth_mebibytes=in_mebibytes(growth),
    )


def percentile(ordered: Sequence[float], percent: int) -> float:
    """The smallest value that at least `percent` of all do not exceed."""
    return ordered[max(0, -(-len(ordered) * percent // 100) - 1)]


def in_mebibytes(count: int | None) -> float | None:
    return None if count is None else count / MEBIBYTE


def _each(before: float | None, after: float | None, plays: int) -> float | None:
    return None if before is None or after is None else (after - before) / plays * 1e6


def table(report: Report) -> str:
    """In Markdown, so that it can be put where it is read."""
    has_store = any(row.store_cpu_us is not None for row in report.rows)
    head = (
        "scenario", "requests", "plays/s", "MiB/s", "p50 ms", "p95 ms", "p99 ms", "server CPU µs", "PostgreSQL CPU µs",
        *(("store CPU µs",) if has_store else ()), "generator CPU µs", "peak MiB", "growth MiB",
    )  # fmt: skip
    idle = "unknown" if report.idle_mebibytes is None else f"{report.idle_mebibytes:.0f} MiB"
    rows = [_cells(row, has_store=has_store) for row in report.rows]
    return "\n".join([markdown(head, rows), "", f"Idle memory of the server, without PostgreSQL: {idle}"])


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """The first column is words, the others are numbers."""
    widths = [max(len(line[column]) for line in (head, *rows)) for column in range(len(head))]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    return "\n".join(_line(line, widths) for line in (head, rule, *rows))


def _cells(row: Row, *, has_store: bool) -> tuple[str, ...]:
    return (
        row.scenario,
        f"{row.requests:,}",
        f"{row.plays_per_second:,.1f}",
        _number(row.mebibytes_per_second, 1),
        f"{row.p50_ms:,.2f}",
        f"{row.p95_ms:,.2f}",
        f"{row.p99_ms:,.2f}",
        _number(row.server_cpu_us),
        _number(row.postgres_cpu_us),
        *((_number(row.store_cpu_us),) if has_store else ()),
        _number(row.generator_cpu_us),
        _number(row.peak_mebibytes),
        _number(row.growth_mebibytes),
    )


def _number(value: float | None, digits: int = 0) -> str:
    return "" if value is None else f"{value:,.{digits}f}"


def _line(cells: Sequence[str], widths: list[int]) -> str:
    numbers = [cell.rjust(width) for cell, width in zip(cells[1:], widths[1:], strict=True)]
    return f"| {' | '.join([cells[0].ljust(widths[0]), *numbers])} |"
