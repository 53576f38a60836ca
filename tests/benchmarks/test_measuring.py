# SPDX-License-Identifier: Apache-2.0
"""The benchmarks run as they are described, here with little: every scenario is played, and its numbers are told."""

import subprocess
import sys
from pathlib import Path

import msgspec

from benchmarks.report import Report, Row

_HERE = Path(__file__).parents[2]
_LITTLE = ("--seconds", "0.2", "--connections", "2", "--jobs", "300", "--components", "200", "--cases", "3000")


def run(module: str, *options: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", module, *options], cwd=_HERE, capture_output=True, text=True, timeout=250
    )


def measured(tmp_path: Path, *options: str) -> dict[str, Row]:
    numbers = tmp_path / "numbers.json"
    ran = run("benchmarks", *_LITTLE, "--json", str(numbers), *options)
    assert ran.returncode == 0, ran.stderr
    report = msgspec.json.decode(numbers.read_bytes(), type=Report)
    assert all(f"| {row.scenario} " in ran.stdout for row in report.rows)
    return {row.scenario: row for row in report.rows}


def test_files_go_to_a_directory_and_back(tmp_path: Path) -> None:
    rows = measured(tmp_path, "--only", ", 2 KiB", "--only", ", 3 MiB", "--big", "3")

    assert set(rows) == {"file, 2 KiB", "file, 3 MiB", "download, 2 KiB", "download, 3 MiB"}
    assert all(row.plays and row.mebibytes_per_second and row.growth_mebibytes is not None for row in rows.values())
    assert all(row.store_cpu_us is None for row in rows.values())


def test_files_go_to_a_bucket_and_back_through_us_or_from_there(tmp_path: Path) -> None:
    rows = measured(tmp_path, "--store", "s3", "--only", ", 1 MiB", "--big", "0")

    assert set(rows) == {"file, 1 MiB", "download, 1 MiB", "redirect, 1 MiB", "redirect and download, 1 MiB"}
    assert all(row.plays and row.store_cpu_us is not None for row in rows.values())
    assert rows["redirect, 1 MiB"].mebibytes_per_second is None
    assert rows["redirect and download, 1 MiB"].mebibytes_per_second


def test_lists_are_read_over_seeded_cases(tmp_path: Path) -> None:
    rows = measured(tmp_path, "--only", "history of a case", "--only", "jobs, limit=20", "--big", "0")

    assert {"history of a case", "history of a case, of 50 teams", "jobs, limit=20"} <= set(rows)
    assert all(row.plays for row in rows.values())


def test_growth_of_memory_is_told_and_fails_above_the_limit() -> None:
    little = ("--size", "2", "--at-once", "2")

    ran = run("benchmarks.memory", *little)
    refused = run("benchmarks.memory", *little, "--most-growth", "0")

    assert ran.returncode == 0, ran.stderr
    told = [line.split("|")[1:3] for line in ran.stdout.splitlines()[2:]]
    steps = ("upload", "download", "JUnit, 497 cases")
    assert [(name.strip(), int(at_once)) for name, at_once in told] == [(name, n) for n in (1, 2) for name in steps]
    assert refused.returncode == 1
    assert "the server grew" in refused.stderr


def test_followers_hear_of_every_event_and_their_cost_is_told() -> None:
    little = ("--followers", "20", "--rounds", "1", "--seconds", "0.2", "--idle-seconds", "0.2", "--events", "2")

    ran = run("benchmarks.events", *little)

    assert ran.returncode == 0, ran.stderr
    assert "| with events, 20 follow " in ran.stdout
    told = [[cell.strip() for cell in line.split("|")[1:-1]] for line in ran.stdout.splitlines()]
    assert ["events that a follower did not hear of", "0"] in told


def test_what_runs_leave_behind_is_told_by_table() -> None:
    ran = run("benchmarks.sizes", "--runs", "2")

    assert ran.returncode == 0, ran.stderr
    told = {line.split("|")[1].strip(): line.split("|")[2].strip() for line in ran.stdout.splitlines() if "|" in line}
    assert (told["jobs"], told["jobstates"], told["files"], told["cases"]) == ("1.0", "3.0", "21.0", "2,000.0")
