"""The masks of a run by defect size, category and generator, beside the baselines; failures count in their group."""

from pathlib import Path
from typing import Any

import pytest
from handmade import NO, SIZE, YES, Builder, box, failure, prediction, says

from flawscribe.records import MaskPrediction
from report.evaluate import evaluate
from report.html import write_report
from report.mask_tables import grids
from report.tables import as_text

SMALL, MIDDLE, LARGE = box(0, 0, 3, 3), box(25, 10, 31, 15), box(0, 0, 20, 20)
"""9, 30 and 400 of 1200 pixels: .75, 2.5 and 33 %."""


def near(value: float) -> object:
    return pytest.approx(value, abs=1e-6)


def figure(entry: dict[str, Any]) -> tuple[Any, int, int]:
    return entry["value"], entry["n"], entry["failed"]


@pytest.fixture
def masks(build: Builder) -> dict[str, Any]:
    def defective(category: str | None) -> Any:
        return YES.model_copy(update={"category": category})

    add = build.add
    add("s", defective("faces"), says(True), prediction(SMALL), gold_mask=SMALL, generator="a")
    add("m", defective("faces"), says(True), prediction(LARGE), gold_mask=MIDDLE, generator="a")
    add("both", defective("body"), says(False), prediction(LARGE), gold_mask=LARGE | MIDDLE, generator="b")
    add("lost", defective("body"), says(True), failure("segment"), gold_mask=SMALL, generator="b")
    add("mute", defective(None), failure("describe"), prediction(SMALL), gold_mask=SMALL)
    add("clean", NO, says(True), prediction(box(0, 0, 40, 15)), generator="a")
    add("clean2", NO, says(False), prediction(LARGE), generator="b")
    add("clean3", NO, says(False), failure("segment"))
    add("damaged", NO, says(True), MaskPrediction.model_validate(_damaged()))
    return evaluate(build.run())["masks"]


def _damaged() -> dict[str, Any]:
    return {"rle": {"size": [SIZE[1], SIZE[0]], "counts": "0o9999"}, "area": 0.1}


def test_by_size(masks: dict[str, Any]) -> None:
    found = masks["by_size"]
    assert {name: group["n"] for name, group in found.items()} == {"under_1": 3, "1_to_5": 1, "over_5": 1}
    assert figure(found["under_1"]["raw"]["giou"]) == (1, 2, 1)
    assert figure(found["under_1"]["gated"]["giou"]) == (1, 1, 2)
    assert figure(found["1_to_5"]["raw"]["giou"]) == (0, 1, 0)
    assert figure(found["over_5"]["raw"]["ciou"]) == (near(400 / 430), 1, 0)
    assert figure(found["over_5"]["gated"]["giou"]) == (0, 1, 0)
    assert found["over_5"]["full"]["giou"]["value"] == near(430 / 1200)
    assert found["under_1"]["empty"]["giou"]["value"] == 0


def test_by_category_and_generator(masks: dict[str, Any]) -> None:
    assert {name: group["n"] for name, group in masks["by_category"].items()} == {"body": 2, "faces": 2}
    assert figure(masks["by_category"]["body"]["raw"]["giou"]) == (near(400 / 430), 1, 1)
    assert figure(masks["by_category"]["faces"]["raw"]["giou"]) == (0.5, 2, 0)
    assert {name: group["n"] for name, group in masks["by_generator"].items()} == {"a": 2, "b": 2}


def test_regions_count_by_their_own_size(masks: dict[str, Any]) -> None:
    raw = masks["raw"]
    assert figure(raw["region_recall_50_under_1"]) == (1, 2, 1)
    assert figure(raw["region_recall_50_1_to_5"]) == (0, 2, 1)
    assert figure(raw["region_recall_50_over_5"]) == (1, 1, 1)
    assert figure(raw["region_recall_50_cumulative"]) == (near(3 / 5), 5, 1)
    assert figure(raw["region_recall_50"]) == (near((1 + 0 + 0.5 + 1) / 4), 4, 1)


def test_clean_images(masks: dict[str, Any]) -> None:
    """600 and 400 of 1200 pixels are marked; the description blanks the latter; two have no mask that can be read."""
    area = masks["false_area"]
    assert figure(area["raw"]) == (near((600 + 400) / 2400), 2, 2)
    assert figure(area["gated"]) == (near(600 / 2400), 2, 2)
    assert figure(area["full"]) == (1, 2, 0) and figure(area["empty"]) == (0, 2, 0)
    assert figure(masks["clean_marked"]["gated"]) == (0.5, 2, 2)
    assert figure(masks["raw"]["giou_all"]) == (near((1 + 0 + 400 / 430 + 1) / 6), 6, 3)
    assert masks["empty"]["giou_all"]["value"] == near(2 / 6)


def test_what_a_run_cannot_give_says_why(masks: dict[str, Any]) -> None:
    assert "not probabilities" in masks["probabilities"]["absent"]


def test_baselines_stand_beside_every_table(masks: dict[str, Any]) -> None:
    shown = {grid.title: grid for grid in grids(masks)}
    assert list(shown) == [
        "Masks, every figure",
        "Golden regions found, by their size",
        "Masks by defect size",
        "Masks by category",
        "Masks by generator",
    ]
    for grid in shown.values():
        assert any("full" in column for column in grid.columns)
    assert [name for name, *_ in shown["Masks by defect size"].rows] == ["under 1 %", "1 to 5 %", "over 5 %"]


def test_names_from_outside_stay_text(build: Builder) -> None:
    name = "<script>alert(1)</script>\u202e"
    build.add("a", YES, says(True), prediction(SMALL), gold_mask=SMALL, generator=name)
    run = build.run()
    metrics = evaluate(run)
    page = Path(write_report(run, metrics=metrics)).read_text(encoding="utf-8")
    assert "<script>alert" not in page and "\u202e" not in page and "Masks by generator" in page
    assert "Boundary F, gated" in as_text(metrics)


def test_size_of_the_golden_mask_is_known_without_a_prediction(build: Builder) -> None:
    """A failed row counts in its group where its golden mask can be read, and in none where it cannot."""
    build.add("a", YES, says(True), failure("segment"), gold_mask=LARGE)
    build.add("b", YES, says(True), failure("segment"), gold_mask=box(0, 0, 5, 5, (7, 7)))
    found = evaluate(build.run())["masks"]
    assert figure(found["raw"]["giou"]) == (None, 0, 2)
    assert figure(found["by_size"]["over_5"]["raw"]["giou"]) == (None, 0, 1)


def test_a_run_of_masks_alone_shows_neither_dashes_nor_doubles(build: Builder) -> None:
    build.add("a", YES, None, prediction(SMALL), gold_mask=SMALL)
    build.add("b", NO, None, prediction(LARGE))
    run = build.run()
    metrics = evaluate(run)
    text, page = as_text(metrics), Path(write_report(run, metrics=metrics)).read_text(encoding="utf-8")
    assert "none described" in text and "called defective" not in text
    assert "AUC of the mask head" in text and "AUC of the description" not in text
    assert "gated" not in text and ", raw" not in text and text.count("  gIoU  ") == 1
    assert "The masks and quality scores come from nano's head" in text
    assert "of the mask head" in page and ">gated<" not in page and ">predicted<" in page
