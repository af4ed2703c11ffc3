"""Describing on Ray clusters that are real, and that break: nothing is lost, nothing doubled, little paid twice."""

import os
import signal
import subprocess
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from clustered import WINDOW, answering, command, make_run, paid, rows, same, start, until, workers
from fake_server import error, serving

from flawscribe.runs import Run

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.skipif(not find_spec("ray"), reason="Ray is not installed"),
]
SAMPLES = 300


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A plain run on the same samples."""
    run = make_run(tmp_path_factory.mktemp("plain") / "run", SAMPLES)
    with serving(answering(0)) as server:
        assert start(command(run, server)).wait() == 1  # one picture is missing
    return run


def ended(process: "subprocess.Popen[str]", code: int, run: Run) -> str:
    told = process.communicate(timeout=300)[0]
    assert process.returncode == code, told
    assert "Traceback" not in told, told
    assert not workers(run)
    return told


@pytest.fixture
def two_nodes() -> Iterator[Any]:
    from ray.cluster_utils import Cluster

    store = {"object_store_memory": 80_000_000, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, **store})
    try:
        yield cluster, [cluster.add_node(num_cpus=1, object_store_memory=80_000_000) for _ in range(2)]
    finally:
        cluster.shutdown()


def test_a_worker_and_a_machine_die(tmp_path: Path, undisturbed: Run, two_nodes: Any) -> None:
    """The machine does not come back: after a while the other has the rest to itself."""
    cluster, nodes = two_nodes
    run = make_run(tmp_path / "run", SAMPLES)
    with serving(answering(0.3)) as server:
        process = start(command(run, server, "--cluster", cluster.address, "--workers", "2"))
        until(lambda: len(workers(run)) == 2 and rows(run) > 20)
        os.kill(workers(run)[0], signal.SIGKILL)
        until(lambda: rows(run) > 80)
        cluster.remove_node(nodes[1], allow_graceful=False)
        ended(process, 1, run)
        assert paid(server) <= 2 * WINDOW
    same(run, undisturbed)


def test_interrupted_and_gone_on_with_otherwise(tmp_path: Path, undisturbed: Run) -> None:
    """Three workers of this machine, one, and none: each takes over where the one before was stopped."""
    run = make_run(tmp_path / "run", SAMPLES)
    with serving(answering(0.1)) as server:
        for n, how in ((3, signal.SIGINT), (1, signal.SIGTERM)):
            before = rows(run)
            process = start(command(run, server, "--cluster", "--workers", str(n)))
            until(lambda before=before: rows(run) > before + 50)  # type: ignore[misc]
            assert len(workers(run)) == n
            process.send_signal(how)
            told = ended(process, 128 + how, run)
            assert (
                told.strip().endswith("goes on where it stopped")
                and "finishing the requests in flight" in told
            )
        ended(start(command(run, server)), 1, run)
        assert paid(server) == 0
        asked = len(server.bodies)
        ended(start(command(run, server, "--cluster")), 1, run)
        assert len(server.bodies) == asked
    same(run, undisturbed)


def test_what_ends_a_worker_ends_the_run_in_one_line(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", 200)
    with serving(lambda body, n: (401, error("no such key"))) as server:
        told = ended(start(command(run, server, "--cluster", "--workers", "2")), 3, run)
    assert told.strip().splitlines()[-1].startswith(f"flawscribe: {server.url} refused")
    assert not list(run.path.glob("describe/*.jsonl")) or rows(run) <= 1  # the one without a picture


def test_redo_keeps_the_old_rows_until_there_are_new_ones(tmp_path: Path, undisturbed: Run) -> None:
    run = make_run(tmp_path / "run", SAMPLES)
    with serving(answering(0)) as server:
        ended(start(command(run, server)), 1, run)
        again = command(run, server, "--cluster", "--redo", "--max-tokens", "100")
    ended(start(again), 3, run)  # the server is not there
    assert rows(run) == SAMPLES
    with serving(answering(0)) as server:
        both = f"{server.url},{server.url}"
        ended(start([both if a.startswith("http") else a for a in again]), 1, run)
        assert len(server.bodies) == SAMPLES - 1
    assert len(list(run.rows("describe"))) == SAMPLES
    stage = run.info()["stages"]["describe"]
    assert stage["settings"]["max_tokens"] == 100 and stage["engine"]["workers"] == 2
