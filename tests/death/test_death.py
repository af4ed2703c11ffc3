"""Runs that are killed in the middle: what is started again ends as if nothing had happened.

`KILLS=60 python -m pytest tests/death` kills more often than the test suite has time for.
"""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flawscribe.records import RLE, Row
from flawscribe.runs import STAGES, Run
from scenes.dataset import write_scenes
from segment.rle import decode

KILLS = int(os.environ.get("KILLS", "2"))
SCENES, BROKEN = 50 if KILLS > 10 else 15, 6  # base scenes of six rows each, and rows that must fail
DYING = Path(__file__).with_name("dying.py")
FILES = ("describe.parquet", "segment.parquet", "judge.parquet", "metrics.json", "report.html", "run.json")

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]


def moments() -> list[tuple[str, int]]:
    """Where the processes die: at rows spread over the stages, and just before files are put in place."""
    rows = SCENES * 6 + BROKEN
    ends = {"describe": rows, "segment": rows, "judge": rows // 2 - 10}
    every = [(stage, 1 + round(i * (end - 2) / 16)) for i in range(17) for stage, end in ends.items()]
    every += [(name, 1) for name in FILES] + [("run.json", k) for k in (2, 3, 5)]
    random.Random(380).shuffle(every)  # the first few are of every sort
    return every[:KILLS]


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """90 scenes, or 300, and six rows that fail: missing, broken and empty pictures."""
    path = write_scenes(tmp_path_factory.mktemp("scenes") / "scenes", SCENES, seed=5, pairs=True)
    (path.parent / "broken.png").write_bytes(b"no picture")
    (path.parent / "empty.png").write_bytes(b"")
    names = ["missing.png", "broken.png", "empty.png"]
    rows = [json.dumps({"id": f"bad-{i}", "image": names[i % 3], "prompt": "a dog"}) for i in range(BROKEN)]
    lines = path.read_text(encoding="utf-8").splitlines()
    for i, row in enumerate(rows):
        lines.insert(15 * i + 7, row)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def command(manifest: Path, run: Path) -> list[str]:
    return ["run", str(manifest), "-o", str(run), "--engine", "transformers"]


def heed_ctrl_c() -> None:
    """The tests themselves may run in a shell's background, where Ctrl-C is ignored."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def start(arguments: list[str], dying: tuple[str, int] | None = None) -> "subprocess.Popen[str]":
    program = [str(DYING), dying[0], str(dying[1])] if dying else ["-m", "flawscribe.cli"]
    return subprocess.Popen(
        [sys.executable, *program, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=heed_ctrl_c,
    )


def outcome(run: Path) -> dict[str, dict[str, Row]]:
    return {stage: Run.open(run).latest(stage) for stage in STAGES}


@pytest.fixture(scope="module")
def undisturbed(manifest: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("runs") / "undisturbed"
    process = start(command(manifest, run))
    told = process.communicate()[0]
    assert process.returncode == 1, told  # some rows fail
    return run


def check(run: Path, undisturbed: Path) -> None:
    """Nothing lost, nothing doubled, and the same answers."""
    found, wanted = outcome(run), outcome(undisturbed)
    for stage in STAGES:
        assert found[stage].keys() == wanted[stage].keys()
        good = Counter(row.id for row in Run.open(run).rows(stage) if row.ok)
        assert stage == "samples" or not good or max(good.values()) == 1
        for name, row in found[stage].items():
            same(row, wanted[stage][name], stage)
    figures, before = (json.loads((r / "metrics.json").read_text()) for r in (run, undisturbed))
    assert figures["counts"] == before["counts"] and figures["failures"] == before["failures"]
    assert figures["detection"]["auc"]["value"] == pytest.approx(
        before["detection"]["auc"]["value"], abs=0.01
    )
    assert (run / "report.html").stat().st_size > 10_000
    assert not list(run.rglob("*.tmp"))


def same(a: Row, b: Row, stage: str) -> None:
    assert a.ok == b.ok and a.key == b.key
    if a.failure and b.failure:
        assert (a.failure.stage, a.failure.kind) == (b.failure.stage, b.failure.kind)
        return
    assert a.record is not None and b.record is not None
    if stage == "describe":
        assert abs(a.record["p_defective"] - b.record["p_defective"]) <= 1e-3
        # Batches are put together otherwise after a resume, so a text on the edge may tip over.
        assert a.record["defective"] == b.record["defective"] or abs(a.record["p_defective"] - 0.5) < 1e-3
    if stage == "segment":
        assert overlap(a.record["rle"], b.record["rle"]) >= 0.999


def overlap(a: dict[str, Any] | None, b: dict[str, Any] | None) -> float:
    if a is None or b is None:
        return float(a is b)
    x, y = decode(RLE.model_validate(a)), decode(RLE.model_validate(b))
    return float(np.sum(x & y) / np.sum(x | y))


@pytest.mark.parametrize(("moment", "k"), moments())
def test_killed_and_started_again(
    manifest: Path, undisturbed: Path, tmp_path: Path, moment: str, k: int
) -> None:
    run = tmp_path / "run"
    process = start(command(manifest, run), (moment, k))
    told = process.communicate()[0]
    assert process.returncode == -signal.SIGKILL, told
    again = start(command(manifest, run))
    told = again.communicate()[0]
    assert again.returncode == 1, told
    check(run, undisturbed)


def test_killed_again_and_again(manifest: Path, undisturbed: Path, tmp_path: Path) -> None:
    """One run that dies in each of its stages, each time further on."""
    run = tmp_path / "run"
    for moment in (("describe", 30), ("describe", 41), ("segment", 40), ("judge", 13), ("report.html", 1)):
        process = start(command(manifest, run), moment)
        told = process.communicate()[0]
        assert process.returncode == -signal.SIGKILL, (moment, told)
    assert start(command(manifest, run)).wait() == 1
    check(run, undisturbed)


def test_one_at_a_time_the_words_are_the_same(tmp_path: Path) -> None:
    """Without batches, which a resume puts together otherwise, no text on an edge can tip over."""
    manifest, first, other = (
        write_scenes(tmp_path / "s", 4, seed=5, pairs=True),
        tmp_path / "a",
        tmp_path / "b",
    )
    assert start([*command(manifest, first), "--window", "1"]).wait() == 0
    assert start([*command(manifest, other), "--window", "1"], ("describe", 9)).wait() == -signal.SIGKILL
    assert start([*command(manifest, other), "--window", "1"]).wait() == 0
    words, again = (
        {id: row.record for id, row in outcome(run)["describe"].items()} for run in (first, other)
    )
    for id, record in words.items():
        assert again[id] is not None and record is not None
        assert {k: v for k, v in record.items() if k != "p_defective"} == {
            k: v for k, v in again[id].items() if k != "p_defective"
        }


def stop(manifest: Path, run: Path, how: signal.Signals) -> None:
    """Start the command, stop it once some rows are described, and see that it says so."""
    process = start(command(manifest, run))
    before, deadline = described(run), time.monotonic() + 240
    while described(run) <= before + 2:
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(how)
    told = process.communicate()[0]
    assert process.returncode == 128 + how, told
    assert told.strip().splitlines()[-1].endswith("goes on where it stopped") and "Traceback" not in told


def described(run: Path) -> int:
    return sum(path.read_bytes().count(b"\n") for path in run.glob("describe/*.jsonl"))


def test_asked_to_stop_while_the_clock_jumps(manifest: Path, undisturbed: Path, tmp_path: Path) -> None:
    """Files from far in the past and the future make nothing be done again or be left out."""
    run = tmp_path / "run"
    for how in (signal.SIGINT, signal.SIGTERM):
        stop(manifest, run, how)
        for i, path in enumerate(sorted(run.rglob("*"))):
            os.utime(path, (i % 2 * 4e9, i % 2 * 4e9))
    assert start(command(manifest, run)).wait() == 1
    check(run, undisturbed)
    failed = sum(not row.ok for row in Run.open(run).rows("describe"))
    assert described(run) == SCENES * 6 + failed  # failed rows alone are tried again


def test_an_emptied_last_shard(manifest: Path, undisturbed: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    process = start(command(manifest, run), ("segment", 50))
    process.communicate()
    for stage in ("describe", "segment"):
        max((run / stage).glob("*.jsonl")).write_bytes(b"")
    assert start(command(manifest, run)).wait() == 1
    check(run, undisturbed)
