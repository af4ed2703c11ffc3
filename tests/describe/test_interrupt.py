"""Ctrl-C while a server is asked: what is in flight is waited for once, and what came is on disk."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fake_server import FakeServer, completion, serving
from recorded import FALSE, make_run

from flawscribe.runs import Run

pytestmark = pytest.mark.slow


def slow(seconds: float) -> Callable[[dict[str, Any], int], tuple[Any, ...]]:
    """A server whose ninth and later answers take so many seconds."""

    def respond(body: dict[str, Any], n: int) -> tuple[Any, ...]:
        time.sleep(0.05 if n < 8 else seconds)
        return 200, completion(FALSE)

    return respond


def heed_ctrl_c() -> None:
    """The tests themselves may run in a shell's background, where Ctrl-C is ignored."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def describing(run: Run, server: FakeServer) -> "subprocess.Popen[str]":
    """A run in whose middle four requests are in flight."""
    command = ["describe", str(run.path), "--model", "m", "--base-url", server.url, "--window", "4"]
    process = subprocess.Popen(
        [sys.executable, "-m", "flawscribe.cli", *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=heed_ctrl_c,
    )
    while len(server.bodies) < 12:
        assert process.poll() is None
        time.sleep(0.05)
    return process


def test_what_is_in_flight_is_waited_for(tmp_path: Path) -> None:
    run = make_run(tmp_path, [f"s{i}" for i in range(60)])
    with serving(slow(3)) as server:
        process = describing(run, server)
        process.send_signal(signal.SIGINT)
        told = process.communicate(timeout=60)[0]
        asked = len(server.bodies)
    assert process.returncode == 130, told
    assert "finishing the 4 in flight" in told and told.strip().endswith("goes on where it stopped")
    assert len(list(run.rows("describe"))) == asked == 12


def test_a_second_one_stops_at_once(tmp_path: Path) -> None:
    run = make_run(tmp_path, [f"s{i}" for i in range(60)])
    with serving(slow(15)) as server:
        process = describing(run, server)
        began = time.monotonic()
        for _ in range(2):
            process.send_signal(signal.SIGINT)
            time.sleep(0.5)
        told = process.communicate(timeout=60)[0]
        assert process.returncode == 130 and time.monotonic() - began < 12, told
    assert "Traceback" not in told
    assert len(list(run.rows("describe"))) == 8
