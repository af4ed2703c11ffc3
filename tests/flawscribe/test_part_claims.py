"""How many processes of one run keep out of each other's way, and out of the next command's."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from recorded import make_run

from flawscribe import claims
from flawscribe.claims import Claims
from flawscribe.errors import UserError
from flawscribe.records import Failure, FailureKind, Row
from flawscribe.runs import Run
from flawscribe.shards import Tail

HOLDING = """
import sys, time
from pathlib import Path
from flawscribe.claims import Claims
claims = Claims(Path(sys.argv[1]), sys.argv[2])
with claims.part(3, lambda: 0):
    print(claims.seat, flush=True)
    while claims.current():
        time.sleep(0.05)
    time.sleep(1)
"""


def holding(run: Run, token: str) -> "subprocess.Popen[str]":
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDING, str(run.path), token], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None and process.stdout.readline() == "0\n"
    return process


def test_a_run_is_locked_until_the_workers_of_a_dead_command_have_stopped(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    worker = holding(run, claims.begin(run.path))
    with pytest.raises(UserError, match="workers of an earlier command"):
        claims.wait_for_workers(run.path, seconds=0.3)
    with run.lock():
        assert worker.wait(0.5) == 0
    worker.communicate()


def test_a_part_is_waited_for_and_a_killed_holder_leaves_it(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    token = claims.begin(run.path)
    worker = holding(run, token)
    mine = Claims(run.path, token)
    assert mine.seat == 1
    os.kill(worker.pid, 9)
    worker.communicate()
    rows = 0
    for attempts in (1, 2, 3):
        with mine.part(3, lambda: rows) as fruitless:
            assert fruitless == attempts
    rows = 5
    with mine.part(3, lambda: rows) as fruitless:
        assert fruitless == 0
    assert mine.current()
    claims.withdraw(run.path)  # in this process it also gives up `mine`'s locks
    time.sleep(claims.LOOK)
    assert not mine.current()


def test_writers_side_by_side_take_numbers_of_their_own(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    (run.path / "describe").mkdir()
    (run.path / "describe" / "9999.jsonl").write_text("")
    failure = Failure(stage="describe", kind=FailureKind.TIMEOUT, message="late")
    since = run.last_shard("describe")
    tail = Tail(run.path / "describe", since)
    with run.writer("describe") as one, run.writer("describe") as other:
        one(Row(id="a", key="1", failure=failure))
        other(Row(id="b", key="1", failure=failure))
        assert sorted(head.id for head in tail.heads()) == ["a", "b"]
        other(Row(id="a", key="2", failure=failure))
    assert [head.id for head in tail.heads()] == ["a"] and not list(tail.heads())
    assert sorted(path.name for path in run.path.glob("describe/1*")) == ["10000.jsonl", "10001.jsonl"]
    assert run.latest("describe")["a"].key == "2"  # 10001 comes after 9999
