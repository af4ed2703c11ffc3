import json
from pathlib import Path

import numpy as np
import pytest
from handmade import NO, SIZE, YES, Builder, box, failure, prediction, says, verdicts
from PIL import Image

from flawscribe.records import Description, Golden, MaskPrediction
from flawscribe.runs import Run
from report.evaluate import evaluate
from report.export import export
from report.join import join
from report.tables import as_text


def figure(entry: dict) -> tuple:
    return entry["value"], entry["n"], entry["failed"]


def near(value: float) -> object:
    return pytest.approx(value, abs=1e-6)


def test_detection_by_hand(small_metrics: dict) -> None:
    detection = small_metrics["detection"]
    assert detection["auc_from"] == "probability"
    assert figure(detection["auc"]) == (near(7 / 9), 6, 2)
    assert figure(detection["auc_yes_no"]) == (near(2 / 3), 6, 2)
    assert figure(detection["f1"]) == (near(2 / 3), 6, 2)
    assert figure(detection["precision"]) == (near(2 / 3), 3, 2)
    assert figure(detection["recall"]) == (near(2 / 3), 3, 1)
    assert figure(detection["false_positive_rate"]) == (near(1 / 3), 3, 1)
    assert figure(detection["accuracy"]) == (near(2 / 3), 6, 2)
    assert figure(detection["auc_mask"]) == (near(10 / 12), 7, 1)
    assert detection["roc"][0] == [0, 0] and detection["roc"][-1] == [1, 1]
    assert detection["auc"]["low"] <= detection["auc"]["value"] <= detection["auc"]["high"]


def test_masks_by_hand(small_metrics: dict) -> None:
    masks = small_metrics["masks"]
    names = ("giou", "ciou", "pixel_f1")
    assert {name: figure(masks["raw"][name]) for name in names} == {
        "giou": (near(0.875), 4, 0),
        "ciou": (near(0.875), 4, 0),
        "pixel_f1": (near((2 / 3 + 3) / 4), 4, 0),
    }
    assert {name: figure(masks["gated"][name]) for name in names} == {
        "giou": (near(0.5), 3, 1),
        "ciou": (near(0.5), 3, 1),
        "pixel_f1": (near((2 / 3 + 1) / 3), 3, 1),
    }
    assert masks["empty"]["giou"]["value"] == 0
    assert masks["full"]["giou"]["value"] == near(1 / 3)
    assert figure(masks["clean_marked"]["raw"]) == (near(2 / 3), 3, 1)
    assert figure(masks["clean_marked"]["gated"]) == (near(1 / 3), 3, 1)


def test_texts_and_quality_by_hand(small_metrics: dict) -> None:
    metrics, texts = small_metrics, small_metrics["texts"]
    assert (*figure(texts["completeness"]), texts["completeness"]["unscored"]) == (1.0, 3, 1, 0)
    assert (*figure(texts["precision"]), texts["precision"]["unscored"]) == (0.5, 2, 1, 1)
    assert figure(texts["explanation_score"]) == (0.75, 3, 1)
    assert texts["unscored_reasons"] == {"the answer did not validate": 1}
    assert figure(metrics["quality"]["srcc"]) == (near(1), 3, 0)
    assert figure(metrics["quality"]["plcc"]) == (near(1), 3, 0)


def test_counts_and_failures(small_run: Run, small_metrics: dict) -> None:
    metrics = small_metrics
    assert metrics["counts"] == {
        "samples": 10,
        "ok": 7,
        "failed": 3,
        "golden_defective": 4,
        "golden_clean": 4,
        "called_defective": 4,
        "outcomes": {
            "true positive": 2,
            "false positive": 1,
            "miss": 1,
            "true negative": 2,
            "failed": 3,
            "no golden": 1,
            "not described": 0,
        },
    }
    assert metrics["failures"] == {
        "describe": {"timeout": 1, "broken_image": 1},
        "segment": {"broken_image": 1},
        "samples": {"bad_row": 1},
    }
    assert json.loads((small_run.path / "metrics.json").read_text()) == metrics
    table = as_text(metrics)
    assert "10 samples: 7 ok, 3 failed" in table and "1 unscored" in table


def test_yes_no_auc_says_so(build: Builder) -> None:
    build.add("a", YES, says(True, 0.9))
    build.add("b", NO, says(False))
    metrics = evaluate(build.run())
    assert metrics["detection"]["auc_from"] == "yes/no"
    assert metrics["detection"]["without_probability"] == 1
    assert any("yes/no" in note for note in metrics["notes"])


def test_bad_golden_masks_are_counted_and_crash_nothing(build: Builder) -> None:
    good = box(0, 0, 20, 20)
    build.add("good", YES, says(True), prediction(good), gold_mask=good)
    build.add("small", YES, says(True), prediction(good), gold_mask=np.ones((5, 5), bool))
    build.add("small, nothing marked", YES, says(True), prediction(None), gold_mask=np.ones((5, 5), bool))
    build.add(
        "torn", YES.model_copy(update={"mask": str(build.folder / "torn.png")}), says(True), prediction(good)
    )
    (build.folder / "torn.png").write_bytes(b"\x89PNG\r\n\x1a\nno picture")
    build.add(
        "gone", YES.model_copy(update={"mask": str(build.folder / "gone.png")}), says(True), prediction(good)
    )
    build.add("no mask", YES, says(True), prediction(good))
    metrics = evaluate(build.run())
    assert figure(metrics["masks"]["raw"]["giou"]) == (1.0, 1, 4)
    assert sum(metrics["masks"]["golden_mask_failures"].values()) == 4
    assert metrics["masks"]["without_golden_mask"] == 1
    assert sum(metrics["failures"]["golden masks"].values()) == 4
    assert metrics["counts"]["failed"] == 0


def test_a_damaged_prediction_is_a_failure(build: Builder) -> None:
    good = box(0, 0, 20, 20)
    damaged = MaskPrediction.model_validate(
        {"rle": {"size": [SIZE[1], SIZE[0]], "counts": "0o9999"}, "area": 0.1}
    )
    build.add("damaged", YES, says(True), damaged, gold_mask=good)
    build.add("good", YES, says(True), prediction(good), gold_mask=good)
    assert figure(evaluate(build.run())["masks"]["raw"]["giou"]) == (1.0, 1, 1)


def test_nothing_golden(build: Builder) -> None:
    build.add("a", None, says(True, 0.5), prediction(box(0, 0, 5, 5)))
    metrics = evaluate(build.run())
    assert all("absent" in metrics[name] for name in ("detection", "masks", "texts", "quality"))
    assert "absent: no sample has a golden label" in as_text(metrics)


def test_one_class_has_no_auc_and_no_crash(build: Builder) -> None:
    build.add("a", YES, says(True, 0.5), prediction(None, 0.5))
    build.add("b", YES, says(False, 0.4), prediction(None, 0.5))
    detection = evaluate(build.run())["detection"]
    assert detection["auc"]["value"] is None and detection["roc"] == []
    assert detection["recall"]["value"] == 0.5
    assert detection["false_positive_rate"]["note"]


def test_a_stage_that_never_reached_a_sample_is_a_failure(build: Builder) -> None:
    build.add("a", YES, says(True, 0.5))
    build.add("b", NO)
    metrics = evaluate(build.run())
    assert metrics["failures"] == {"describe": {"missing_answer": 1}}


def test_the_last_row_counts_and_strangers_do_not(build: Builder) -> None:
    build.add("a", YES, says(False, 0.1))
    again = build.rows["describe"][0].model_copy(update={"record": says(True, 0.9).model_dump(mode="json")})
    stranger = again.model_copy(update={"id": "left the manifest"})
    build.rows["describe"] += [again, stranger]
    metrics = evaluate(build.run())
    assert metrics["counts"]["outcomes"]["true positive"] == metrics["counts"]["samples"] == 1


def test_verdicts_of_a_description_that_is_gone_do_not_count(build: Builder) -> None:
    lost = Description(defective=False)
    build.add("a", YES, lost, judge=verdicts(0, 0))
    build.add("b", YES, None, judge=verdicts(2, 2))
    texts = evaluate(build.run())["texts"]
    assert figure(texts["completeness"]) == (0.0, 1, 1)


def test_gating_needs_a_description(build: Builder) -> None:
    mask = box(0, 0, 20, 20)
    build.add("a", YES, None, prediction(mask), gold_mask=mask)
    metrics = evaluate(build.run())
    assert metrics["masks"]["gated"]["giou"]["value"] == 1.0
    assert metrics["masks"]["gated_by"] is None
    assert metrics["counts"]["outcomes"]["not described"] == 1


def test_golden_mask_after_exif_turn(build: Builder) -> None:
    """A picture turned by EXIF has its masks at the turned size, when nothing was predicted too."""
    build.add("turned", Golden(defective=True), says(False), prediction(None), gold_mask=np.ones(SIZE, bool))
    sample = build.entries[0]
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", SIZE).save(build.folder / "turned.jpg", exif=exif)
    build.entries[0] = sample.model_copy(update={"image": str(build.folder / "turned.jpg")})  # type: ignore[union-attr]
    masks = evaluate(build.run())["masks"]
    assert figure(masks["raw"]["giou"]) == (0.0, 1, 0)


def test_the_description_decides_which_quality_counts(build: Builder, tmp_path: Path) -> None:
    """Of the head's two scores the description's probability, or its yes or no, picks."""

    def head(quality: float, intended: float | None) -> MaskPrediction:
        return MaskPrediction(quality=quality, quality_if_intended=intended)

    def golden(quality: float) -> Golden:
        return Golden(defective=False, quality=quality)

    build.add("sure", golden(4.0), says(False, 0.25), head(1.0, 5.0))
    build.add("yes", golden(2.0), says(True), head(2.0, 4.5))
    build.add("no", golden(4.5), says(False), head(1.5, 4.5))
    build.add("one score", golden(3.0), says(True, 0.5), head(3.0, None))
    build.add("undescribed", golden(2.5), failure("describe"), head(2.5, 5.0))
    build.add("lost", golden(5.0), says(True), failure("segment"))
    run = build.run()
    rows = {j.id: j for j in join(run)}
    assert {id: j.quality for id, j in rows.items()} == {
        "sure": 4.0,
        "yes": 2.0,
        "no": 4.5,
        "one score": 3.0,
        "undescribed": 2.5,
        "lost": None,
    }
    quality = evaluate(run)["quality"]
    assert figure(quality["srcc"]) == figure(quality["plcc"]) == (near(1), 5, 1)
    assert quality["srcc_raw"]["value"] < 0 and quality["srcc_raw"]["n"] == 5
    assert "SRCC, raw" in as_text(evaluate(run))
    export(run, "jsonl", tmp_path / "rows.jsonl")
    exported = [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text().splitlines()]
    assert [(row["quality"], row["quality_raw"]) for row in exported[:2]] == [(4.0, 1.0), (2.0, 2.0)]
