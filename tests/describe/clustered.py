"""Clusters to break: their commands, and the processes that work on a run, found by the locks that they hold."""

import fcntl
import json
import os
import re
import signal
import struct
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fake_server import FakeServer, completion

from flawscribe.records import Sample
from flawscribe.runs import Run
from report.export import rows as exported

WINDOW = 4
PICTURE = Path(__file__).parents[2] / "demo" / "images" / "000008.png"
_SEATS, _MANY = 2**40, 64


def make_run(folder: Path, samples: int) -> Run:
    """One picture, and a prompt of its own for each sample, so that each question is another; one has no picture."""
    folder.mkdir(parents=True, exist_ok=True)
    run = Run.create(folder)
    images = [str(PICTURE)] * (samples - 1) + [str(PICTURE.with_name("missing.png"))]
    run.set_samples(
        "test", [Sample(id=f"s{i}", image=image, prompt=f"cat {i}") for i, image in enumerate(images)]
    )
    return run


def answering(seconds: float) -> Callable[[dict[str, Any], int], tuple[Any, ...]]:
    """A server whose answers, after so many seconds, tell what was asked."""

    def respond(body: dict[str, Any], n: int) -> tuple[Any, ...]:
        time.sleep(seconds)
        number = re.search(r"cat (\d+)", json.dumps(body["messages"][-1]["content"][-1]))
        assert number
        defects = [f"Defect {number[1]}."] if int(number[1]) % 3 else []
        return 200, completion(json.dumps({"Defective": bool(defects), "Description": defects}))

    return respond


def heed_ctrl_c() -> None:
    """The tests themselves may run in a shell's background, where Ctrl-C is ignored."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def command(run: Run, server: FakeServer, *more: str) -> list[str]:
    asked = [
        "describe",
        str(run.path),
        "--model",
        "m",
        "--base-url",
        server.url,
        "--window",
        "4",
        "--wait",
        "5",
    ]
    return [sys.executable, "-m", "flawscribe.cli", *asked, *more]


def start(arguments: list[str]) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, preexec_fn=heed_ctrl_c
    )


def until(met: Callable[[], Any], seconds: float = 240) -> None:
    deadline = time.monotonic() + seconds
    while not met():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def workers(run: Run) -> list[int]:
    """The process of each seat that is taken."""
    file = run.path / "workers"
    if not file.exists():
        return []
    found = []
    with file.open("rb+") as f:
        for seat in range(_MANY):
            asked = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, _SEATS + seat, 1, 0)
            kind, _, _, _, pid = struct.unpack("hhqqi4x", fcntl.fcntl(f, fcntl.F_GETLK, asked))
            if kind != fcntl.F_UNLCK:
                found.append(pid)
    return found


def rows(run: Run) -> int:
    """Whole rows on disk."""
    return sum(path.read_bytes().count(b"\n") for path in run.path.glob("describe/*.jsonl"))


def paid(server: FakeServer) -> int:
    """Requests beyond one for each question."""
    asked = Counter(json.dumps(body["messages"]) for body in server.bodies)
    return len(server.bodies) - len(asked)


def same(run: Run, undisturbed: Run) -> None:
    """Nothing lost, nothing doubled (what failed is tried again by each command), the same export."""
    good = Counter(row.id for row in run.rows("describe") if row.ok)
    assert max(good.values()) == 1
    assert list(exported(run)) == list(exported(undisturbed))
