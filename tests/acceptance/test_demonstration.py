# SPDX-License-Identifier: Apache-2.0
"""What `make run` does: a server, one complete run through the published client, told step by step and shown."""

import signal
import subprocess
import time
from pathlib import Path

import psutil

from tests.server_process import BIN, environment, free_port

STEPS = (
    "who am I", "find the topic by name", "list its newest components", "create a job", "state pre-run", "state running",
    "upload a log", "upload a JUnit report", "state success",
)  # fmt: skip
_SECONDS = 180


def run_until_it_serves(data: Path, port: int, log: Path) -> str:
    """What it prints from its start to Ctrl-C, which leaves nothing of it running."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            [BIN / "dci-server", "demo", "--serve"], env=environment(data, port), stdout=output, stderr=output
        )
    end = time.monotonic() + _SECONDS
    while "Ctrl-C stops it" not in log.read_text():
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < end, log.read_text()
        time.sleep(0.1)
    children = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 0, log.read_text()
    _, alive = psutil.wait_procs(children, timeout=_SECONDS)
    assert alive == []
    return log.read_text()


def test_a_run_is_played_shown_and_found_again(tmp_path: Path) -> None:
    data, port = tmp_path / "data", free_port()

    first = run_until_it_serves(data, port, tmp_path / "first.log")
    second = run_until_it_serves(data, port, tmp_path / "second.log")

    assert [step for step in STEPS if f"✓ {step}" not in first] == []
    assert "success after" in first
    assert f"http://127.0.0.1:{port}/docs" in first
    assert "demo.rc" in first
    assert "✓" not in second
    assert "success after" in second
    assert "smoke" in second
