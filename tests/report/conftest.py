import sys
from pathlib import Path

import pytest

from flawscribe.records import FailureKind

sys.path.insert(0, str(Path(__file__).parent))  # the helpers beside the tests

from handmade import NO, YES, Builder, box, failure, prediction, says, verdicts


@pytest.fixture
def build(tmp_path: Path) -> Builder:
    return Builder(tmp_path)


@pytest.fixture
def small(build: Builder) -> Builder:
    """Four defective and four clean images, one of each failed; the tests hold its figures by hand."""
    full, half = box(0, 0, 20, 20), box(0, 0, 10, 20)
    build.add(
        "hit",
        YES.model_copy(update={"quality": 2.0}),
        says(True, 0.9),
        prediction(half, 0.8, 2.5),
        verdicts(2, 1),
        full,
    )
    build.add(
        "hit2",
        YES.model_copy(update={"quality": 1.0}),
        says(True, 0.6),
        prediction(full, 0.7, 1.5),
        verdicts(1, None),
        full,
    )
    build.add(
        "miss",
        YES.model_copy(update={"quality": 3.0}),
        says(False, 0.3),
        prediction(full, 0.2, 3.5),
        verdicts(0, 0),
        full,
    )
    build.add("lost", YES, failure("describe"), prediction(full, 0.9), None, full)
    build.add("clean", NO, says(False, 0.1), prediction(None, 0.1))
    build.add("clean2", NO, says(False, 0.2), prediction(half, 0.3))
    build.add("alarm", NO, says(True, 0.7), prediction(full, 0.4))
    build.add(
        "broken",
        NO,
        failure("describe", FailureKind.BROKEN_IMAGE),
        failure("segment", FailureKind.BROKEN_IMAGE),
    )
    build.add("free", None, says(True, 0.5), prediction(half))
    build.bad_row("manifest.jsonl:10")
    return build
