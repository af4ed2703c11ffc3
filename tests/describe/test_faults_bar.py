"""A server of whose replies three in ten go wrong, asked by the protocols of one call and of several."""

import json
import random
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from fake_server import completion, error, serving
from PIL import Image

from describe.estimate import _answer
from describe.stage import describe_run
from flawscribe.records import Sample
from flawscribe.runs import Run

SOON = {"retry-after-ms": "10"}


class Faulty:
    """Answers that there is a defect; which replies go wrong, and how, depends on what is asked how often."""

    def __init__(self) -> None:
        self.sorts = Counter[str]()
        self._asked = Counter[str]()
        self._lock = threading.Lock()

    def __call__(self, body: dict[str, Any], n: int) -> tuple[Any, ...]:
        same = json.dumps([body["messages"], body.get("seed")])
        with self._lock:
            self._asked[same] += 1
            chance = random.Random(f"{same} {self._asked[same]}")
        text = json.dumps(_answer(body["response_format"]["json_schema"]["schema"], defective=True))
        whole = json.dumps(completion(text)).encode()
        if n == 0 or chance.random() > 0.3:
            return 200, whole
        sort = chance.choice(["429", "500", "reset", "slow", "cut", "truncated", "garbage"])
        self.sorts[sort] += 1
        match sort:
            case "429":
                return 429, error("slow down"), SOON
            case "500":
                return 500, error("boom"), SOON
            case "reset":  # the connection closes before the promised end
                return 200, iter([whole]), {"Content-Length": str(len(whole) + 10), "Connection": "close"}
            case "slow":
                time.sleep(1.5)
                return 200, whole
            case "cut":
                return 200, whole[: len(whole) // 2]
            case "truncated":
                return 200, completion(text[: len(text) // 2], "length")
        return 200, b"<html>busy</html>"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("asked", "rows", "calls"),
    [
        ({"protocol": "single"}, 500, 1),
        ({"protocol": "single", "samples": 3, "temperature": 0.7}, 150, 3),
        ({"protocol": "staged"}, 200, 3),
    ],
    ids=["single", "samples", "staged"],
)
def test_of_three_faults_in_ten_few_rows_notice(
    asked: dict[str, Any], rows: int, calls: int, tmp_path: Path
) -> None:
    samples = []
    for i in range(rows):
        path = tmp_path / f"{i}.png"
        Image.new("RGB", (8, 8), (i % 256, i // 256, 0)).save(path)
        samples.append(Sample(id=str(i), image=str(path), prompt=f"cat {i}"))
    run = Run.create(tmp_path / "run")
    run.set_samples("test", samples)
    faulty = Faulty()
    with serving(faulty) as server:
        counts = describe_run(run, model="m", base_url=server.url, timeout=1, window=32, quiet=True, **asked)
        requests = len(server.bodies)
    assert len(faulty.sorts) == 7
    found = run.latest("describe")
    assert len(found) == rows and counts.ok + counts.failed == rows
    assert all(row.ok or row.failure for row in found.values())
    failures = [row.failure.kind.value for row in found.values() if row.failure]
    assert counts.ok >= 0.99 * rows, Counter(failures)
    assert requests <= 2.2 * calls * rows
