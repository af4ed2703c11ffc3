import sys
from pathlib import Path
from typing import Any

import pytest

from flawscribe.records import FailureKind
from flawscribe.runs import Run

sys.path.insert(0, str(Path(__file__).parent))  # the helpers beside the tests

from handmade import NO, YES, Builder, box, failure, prediction, says, verdicts


@pytest.fixture
def build(tmp_path: Path) -> Builder:
    return Builder(tmp_path)


def _small(folder: Path) -> Builder:
    """Four defective and four clean images, one of each failed; the tests hold its figures by hand."""
    builder = Builder(folder)
    full, half = box(0, 0, 20, 20), box(0, 0, 10, 20)
    builder.add(
        "hit",
        YES.model_copy(update={"quality": 2.0}),
        says(True, 0.9),
        prediction(half, 0.8, 2.5),
        verdicts(2, 1),
        full,
    )
    builder.add(
        "hit2",
        YES.model_copy(update={"quality": 1.0}),
        says(True, 0.6),
        prediction(full, 0.7, 1.5),
        verdicts(1, None),
        full,
    )
    builder.add(
        "miss",
        YES.model_copy(update={"quality": 3.0}),
        says(False, 0.3),
        prediction(full, 0.2, 3.5),
        verdicts(0, 0),
        full,
    )
    builder.add("lost", YES, failure("describe"), prediction(full, 0.9), None, full)
    builder.add("clean", NO, says(False, 0.1), prediction(None, 0.1))
    builder.add("clean2", NO, says(False, 0.2), prediction(half, 0.3))
    builder.add("alarm", NO, says(True, 0.7), prediction(full, 0.4))
    builder.add(
        "broken",
        NO,
        failure("describe", FailureKind.BROKEN_IMAGE),
        failure("segment", FailureKind.BROKEN_IMAGE),
    )
    builder.add("free", None, says(True, 0.5), prediction(half))
    builder.bad_row("manifest.jsonl:10")
    return builder


@pytest.fixture
def small(tmp_path: Path) -> Builder:
    return _small(tmp_path)


@pytest.fixture(scope="session")
def small_run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return _small(tmp_path_factory.mktemp("small")).run()


@pytest.fixture(scope="session")
def small_metrics(small_run: Run) -> dict[str, Any]:
    """The figures of the small run, computed once."""
    from report.evaluate import evaluate

    return evaluate(small_run)
