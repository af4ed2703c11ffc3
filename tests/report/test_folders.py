"""Two folders of masks or heatmaps compared by hand: pairs, failures, figures, Markdown and JSON."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from handmade import box
from PIL import Image

from flawscribe.errors import UserError
from report.folders import evaluate_folders
from report.markdown import page
from report.metrics_command import metrics


def save(path: Path, array: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Found by half, missed, without a file, of another size; one clean image marked, one not, one without a file."""
    full, half = box(0, 0, 20, 20), box(0, 0, 10, 20)
    predicted, golden = tmp_path / "predicted", tmp_path / "golden"
    for name, mask in {
        "a/half": full,
        "a/missed": full,
        "b/gone": full,
        "b/small": full,
        "a/clean": ~full & full,
        "b/alarm": ~full & full,
        "b/unknown": ~full & full,
    }.items():
        save(golden / f"{name}.png", mask)
    for name, mask in {
        "a/half.bmp": half,
        "a/missed.png": ~full & full,
        "b/small.png": np.ones((5, 5), bool),
        "a/clean.png": ~full & full,
        "b/alarm.png": half,
        "b/stranger.png": half,
    }.items():
        save(predicted / name, mask)
    (predicted / ".hidden.png").write_bytes(b"nothing")
    (predicted / "notes.txt").write_text("no picture")
    return predicted, golden


def figure(entry: dict[str, Any]) -> tuple[Any, int, int]:
    return entry["value"], entry["n"], entry["failed"]


def test_masks_by_hand(folders: tuple[Path, Path]) -> None:
    rows: list[dict[str, Any]] = []
    found = evaluate_folders("segment", *folders, tell=rows.append)
    assert found["counts"] == {
        "pairs": 7,
        "failed": 3,
        "empty_golden": 3,
        "predictions_without_golden": 1,
    }
    assert found["failures"] == {"missing_answer": 2, "bad_mask": 1}
    masks = found["masks"]
    assert figure(masks["predicted"]["giou"]) == (0.25, 2, 2)
    assert figure(masks["predicted"]["ciou"]) == (0.25, 2, 2)
    assert figure(masks["predicted"]["giou_all"]) == (pytest.approx((0.5 + 0 + 1 + 0) / 4), 4, 3)
    assert figure(masks["empty"]["giou"]) == (0, 2, 0)
    assert figure(masks["full"]["giou"]) == (pytest.approx(1 / 3, abs=1e-6), 2, 0)
    assert figure(masks["clean_marked"]["predicted"]) == (0.5, 2, 1)
    assert figure(masks["false_area"]["predicted"]) == (pytest.approx(1 / 12, abs=1e-6), 2, 1)
    assert figure(masks["false_area"]["full"]) == (1, 2, 0)
    assert {name: group["n"] for name, group in masks["by_folder"].items()} == {"a": 2, "b": 2}
    assert figure(masks["by_folder"]["b"]["predicted"]["giou"]) == (None, 0, 2)
    assert list(masks["by_size"]) == ["over_5"]
    assert "--soft" in found["probabilities"]["absent"]
    by_id = {row["id"]: row for row in rows}
    assert by_id["a/half"]["iou"] == 0.5 and by_id["b/alarm"]["false_area"] == pytest.approx(1 / 6)
    assert by_id["b/gone"]["failure_kind"] == "missing_answer"
    assert "5 x 5" in by_id["b/small"]["failure_message"] and "40 x 30" in by_id["b/small"]["failure_message"]


def test_probabilities(folders: tuple[Path, Path]) -> None:
    predicted, golden = folders
    soft = predicted.parent / "soft"
    values = np.where(box(0, 0, 20, 20), 0.6, 0.2).astype(np.float32)
    (soft / "a").mkdir(parents=True)
    np.save(soft / "a/half.npy", values)
    save(soft / "a/missed.png", (values * 255).astype(np.uint8)[::-1])
    found = evaluate_folders("segment", soft, golden, soft=True, threshold=0.5)
    assert figure(found["masks"]["predicted"]["giou"]) == (pytest.approx((1 + 200 / 600) / 2, abs=1e-6), 2, 2)
    auroc = found["probabilities"]["pixel_auroc_cumulative"]
    assert 0.5 < auroc["value"] < 1 and auroc["n"] == 2 and auroc["failed"] == 2 and auroc["error"] < 1
    assert figure(
        evaluate_folders("segment", soft, golden, soft=True, threshold=0.7)["masks"]["predicted"]["giou"]
    ) == (0, 2, 2)
    (soft / "a/half.npy").unlink()
    values[0, 0] = 0
    save(soft / "a/half.png", (values * 255).astype(np.uint8))  # a map where a mask should be
    rows: list[dict[str, Any]] = []
    refused = evaluate_folders("segment", soft, golden, tell=rows.append)
    assert refused["counts"]["failed"] == 7
    message = next(row["failure_message"] for row in rows if row["id"] == "a/half")
    assert "2 levels" in message and "--threshold" in message
    taken = evaluate_folders("segment", soft, golden, threshold=0.5)
    assert figure(taken["masks"]["predicted"]["giou"]) == (
        pytest.approx((399 / 400 + 1 / 3) / 2, abs=1e-6),
        2,
        2,
    )


def test_heatmaps(tmp_path: Path) -> None:
    golden, right = box(0, 0, 20, 20).astype(np.uint8) * 255, box(0, 0, 20, 20).astype(np.uint8) * 128
    for name, (p, g) in {"a": (right, golden), "b": (right, golden * 0), "c": (golden * 0, golden)}.items():
        save(tmp_path / "p" / f"{name}.png", p)
        save(tmp_path / "g" / f"{name}.png", g)
    save(tmp_path / "g/lost.png", golden)
    found = evaluate_folders("heatmaps", tmp_path / "p", tmp_path / "g")
    heatmaps = found["heatmaps"]
    assert found["counts"]["empty_golden"] == 1
    assert figure(heatmaps["predicted"]["cc"]) == (pytest.approx(0.5), 2, 1)
    assert figure(heatmaps["predicted"]["sim"]) == (pytest.approx(0.5), 2, 1)
    assert figure(heatmaps["predicted"]["auc_judd"]) == (pytest.approx(0.75), 2, 1)
    assert figure(heatmaps["predicted"]["mse"])[1:] == (3, 1)
    assert figure(heatmaps["predicted"]["mse_empty"])[1:] == (1, 0)
    assert figure(heatmaps["empty"]["mse_empty"]) == (0, 1, 0)
    assert figure(heatmaps["full"]["nss"]) == (0, 2, 0)
    assert "| AUC-Judd (higher is better) | 2 | 0.750" in page(found)


def _run(*arguments: object) -> Result:
    return CliRunner().invoke(metrics, [str(a) for a in arguments])


def test_the_verb(folders: tuple[Path, Path], tmp_path: Path) -> None:
    rows = tmp_path / "rows.jsonl"
    result = _run("segment", *folders, "--rows", rows)
    assert result.exit_code == 1, result.output
    for told in (
        "7 golden files, 3 of them with nothing marked; 3 failed, 2 missing_answer, 1 bad_mask;",
        "The first failure: ",
        "| gIoU | 2 | 0.250 (0.000 – 0.500), 2 failed | 0.000 (0.000 – 0.000) | 0.333",
        "2-class mIoU",
        "## Masks by defect size",
        "## Masks by folder",
    ):
        assert told in result.output
    assert len(rows.read_text().splitlines()) == 7
    again = _run("segment", *folders, "--rows", rows)
    assert isinstance(again.exception, UserError) and "--force" in str(again.exception)
    assert _run("segment", *folders, "--rows", rows, "--force").exit_code == 1
    as_json = json.loads(_run("segment", *folders, "--json").stdout)
    assert as_json["masks"]["predicted"]["giou"]["value"] == 0.25


def test_folders_that_cannot_be_used(folders: tuple[Path, Path], tmp_path: Path) -> None:
    predicted, golden = folders
    (tmp_path / "nothing").mkdir()
    for wrong, told in ((tmp_path / "missing", "is not a folder"), (tmp_path / "nothing", "no pictures")):
        with pytest.raises(UserError, match=told):
            evaluate_folders("segment", wrong, golden)
        with pytest.raises(UserError, match=told):
            evaluate_folders("segment", predicted, wrong)
    save(predicted / "a/half.png", box(0, 0, 1, 1))
    with pytest.raises(UserError, match="same name"):
        evaluate_folders("segment", predicted, golden)


def test_names_are_shown_as_they_are(tmp_path: Path) -> None:
    for side in ("p", "g"):
        save(tmp_path / side / "<b>|x|`y`" / "a.png", box(0, 0, 20, 20))
    told = page(evaluate_folders("segment", tmp_path / "p", tmp_path / "g"))
    assert r"| \<b\>\|x\|\`y\` | 1 |" in told
