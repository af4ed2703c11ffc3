"""The stage over a run: nano's head, masks made elsewhere, pictures written."""

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from flawscribe.inputs import open_run
from flawscribe.records import FailureKind, MaskPrediction
from flawscribe.runs import Run
from scenes.dataset import write_scenes
from segment.command import segment
from segment.external import import_masks
from segment.rle import decode
from segment.stage import segment_run
from segment.written import mask_path


@pytest.fixture
def run(tmp_path: Path) -> Run:
    manifest = write_scenes(tmp_path / "scenes", 6, seed=4)
    lines = manifest.read_text().splitlines()
    lines.append(json.dumps({"id": "gone", "image": "images/gone.png"}))
    manifest.write_text("\n".join(lines) + "\n")
    return open_run(str(manifest), str(tmp_path / "run"))


def test_every_picture_is_marked_or_a_failure_and_nothing_is_done_twice(run: Run) -> None:
    counts = segment_run(run)
    assert (counts.ok, counts.failed) == (6, 1)
    rows = run.latest("segment")
    assert rows["gone"].failure is not None and rows["gone"].failure.kind == FailureKind.MISSING_IMAGE
    for name in ("000000", "000005"):
        answer = MaskPrediction.model_validate(rows[name].record)
        assert answer.p_mask is not None and answer.quality is not None
        if answer.rle is not None:
            assert decode(answer.rle).shape == (128, 128)
    again = segment_run(run)
    assert (again.ok, again.kept, again.failed) == (0, 6, 1)


def test_written_pictures_come_back_as_external_masks(run: Run, tmp_path: Path) -> None:
    result = CliRunner().invoke(segment, [str(run.path), "--png", str(tmp_path / "png"), "--json"])
    assert result.exit_code == 1  # one picture is missing
    assert json.loads(result.stdout)["png"] == 6
    ours = run.latest("segment")
    with Image.open(tmp_path / "png" / "000000.png") as picture:
        assert picture.size == (128, 128)
    counts = import_masks(run, tmp_path / "png", redo=True)
    assert (counts.ok, counts.failed) == (6, 1)
    for name, row in run.latest("segment").items():
        if row.ok:
            assert row.record is not None and ours[name].record is not None
            assert row.record["rle"] == ours[name].record["rle"]
            assert row.record["p_mask"] is None


def test_masks_that_cannot_be_used_are_failures(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "masks"
    folder.mkdir()
    Image.fromarray(np.ones((128, 128), bool)).save(folder / "000000.png")
    Image.new("L", (64, 64), 255).save(folder / "000001.png")
    (folder / "000002.png").write_text("no picture")
    Image.new("L", (128, 128)).save(folder / "000003.png")
    import_masks(run, folder)
    rows = run.latest("segment")
    kinds = {name: row.failure.kind if row.failure else None for name, row in rows.items()}
    assert kinds == {
        "000000": None,
        "000001": FailureKind.BAD_MASK,
        "000002": FailureKind.BAD_MASK,
        "000003": None,
        "000004": FailureKind.MISSING_ANSWER,
        "000005": FailureKind.MISSING_ANSWER,
        "gone": FailureKind.MISSING_ANSWER,
    }
    assert rows["000000"].record is not None and rows["000000"].record["area"] == 1.0
    assert rows["000003"].record is not None and rows["000003"].record.get("rle") is None


def test_pictures_are_not_taken_for_their_own_masks(run: Run) -> None:
    images = Path(next(run.samples()).image).parent
    import_masks(run, images)
    kinds = {row.failure.kind for row in run.latest("segment").values() if row.failure}
    assert kinds == {FailureKind.BAD_MASK, FailureKind.MISSING_ANSWER}
    assert not any(row.ok for row in run.latest("segment").values())


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "a/../../x", "..", ".", "/", "nul\0", "é" * 300])
def test_ids_never_lead_outside_the_folder(tmp_path: Path, name: str) -> None:
    path = mask_path(tmp_path / "m", name)
    assert path.resolve().parent == (tmp_path / "m").resolve()


def test_ids_of_pictures_in_folders_keep_their_folders(tmp_path: Path) -> None:
    assert mask_path(tmp_path, "a/b.jpg") == tmp_path / "a/b.jpg.png"
    assert mask_path(tmp_path, "a/b.png") == tmp_path / "a/b.png"
