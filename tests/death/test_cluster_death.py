"""Workers and their driver killed all through one run on two workers: nothing lost, nothing doubled, little paid twice.

`KILLS=50 python -m pytest tests/death/test_cluster_death.py` kills 50 times in 2,000 rows.
"""

import os
import random
import signal
from importlib.util import find_spec
from pathlib import Path

import pytest
from clustered import WINDOW, answering, command, make_run, paid, rows, same, start, until, workers
from fake_server import serving

KILLS = int(os.environ.get("KILLS", "4"))
SAMPLES = 40 * KILLS
DRIVER = 8 if KILLS > 10 else 4  # one kill in so many is the driver's

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(3600),
    pytest.mark.skipif(not find_spec("ray"), reason="Ray is not installed"),
]


def test_killed_all_the_time(tmp_path: Path) -> None:
    undisturbed, run = make_run(tmp_path / "plain", SAMPLES), make_run(tmp_path / "run", SAMPLES)
    with serving(answering(0)) as server:
        assert start(command(undisturbed, server)).wait() == 1  # one picture is missing
    chance, killed = random.Random(7), 0
    with serving(answering(0.05)) as server:
        arguments = command(run, server, "--cluster", "--workers", "2")
        process = start(arguments)
        for kill in range(KILLS):
            until(lambda kill=kill: workers(run) and rows(run) >= (kill + 0.5) * SAMPLES / KILLS)  # type: ignore[misc]
            assert process.poll() is None
            if kill % DRIVER == DRIVER - 1:
                process.kill()
                process.communicate()
                process = start(arguments)
            else:
                os.kill(chance.choice(workers(run)), signal.SIGKILL)
            killed += 1
        told = process.communicate()[0]
        assert process.returncode == 1, told
        print(f"{killed} kills, {len(server.bodies)} requests for {SAMPLES - 1}, {paid(server)} paid twice")
        # A worker has at most a window in flight, and two die with their driver.
        assert paid(server) <= (KILLS + KILLS // DRIVER) * WINDOW
    same(run, undisturbed)
