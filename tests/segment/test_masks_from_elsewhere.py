"""Broken masks are refused by name; nothing is resized, and nothing soft is cut unasked."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from flawscribe.errors import UserError
from flawscribe.inputs import open_run
from flawscribe.records import FailureKind, MaskPrediction
from flawscribe.runs import Run
from segment.command import segment
from segment.external import import_masks
from segment.rle import decode, encode


@pytest.fixture
def run(tmp_path: Path) -> Run:
    (tmp_path / "in").mkdir()
    Image.new("RGB", (40, 30), "grey").save(tmp_path / "in" / "a.png")
    return open_run(str(tmp_path / "in"), str(tmp_path / "run"))


def square(value: Any, mode: str = "L", size: tuple[int, int] = (40, 30)) -> Image.Image:
    image = Image.new(mode, size)
    image.paste(value, (5, 5, 15, 15))
    return image


def ramp() -> Image.Image:
    """A map of probabilities: 0 on the left to 1 on the right."""
    return Image.fromarray(np.tile(np.linspace(0, 255, 40).astype(np.uint8), (30, 1)))


def taken(run: Run, source: Path, **how: Any) -> MaskPrediction | str:
    """The record of the one sample, or its failure's message."""
    import_masks(run, source, redo=True, **how)
    row = run.latest("segment")["a.png"]
    if row.failure is not None:
        assert row.failure.kind == FailureKind.BAD_MASK
        return row.failure.message
    return MaskPrediction.model_validate(row.record)


@pytest.mark.parametrize(
    ("mask", "how", "area"),
    [
        (square(255), {}, 100),
        (square(1), {}, 100),
        (square((200, 30, 0), "RGB"), {}, 100),
        (square(0), {}, 0),
        (ramp(), {"threshold": 0.5}, 600),
        (square((255, 255, 255, 0), "RGBA"), {}, 0),
        (square((255, 255, 255, 255), "RGBA"), {"threshold": 0.5}, 100),
        (square((255, 255, 255, 0), "RGBA"), {"threshold": 0.5}, 0),
        (square((90, 255), "LA"), {"threshold": 0.5}, 0),
    ],
)
def test_masks_that_are_taken(run: Run, tmp_path: Path, mask: Image.Image, how: dict, area: int) -> None:
    (tmp_path / "m").mkdir()
    mask.save(tmp_path / "m" / "a.png")
    answer = taken(run, tmp_path / "m", **how)
    assert isinstance(answer, MaskPrediction)
    assert round(answer.area * 1200) == area
    assert (answer.rle is None) == (area == 0)


@pytest.mark.parametrize(
    ("mask", "told"),
    [
        (square(255, size=(39, 30)), "39 x 30 pixels, but its image has 40 x 30"),
        (square(255, size=(30, 40)), "30 x 40 pixels"),
        (ramp(), "--threshold"),
        (
            Image.fromarray(np.random.default_rng(0).integers(0, 255, (30, 40, 3), np.uint8)),
            "levels or colours",
        ),
    ],
)
def test_masks_that_are_refused(run: Run, tmp_path: Path, mask: Image.Image, told: str) -> None:
    (tmp_path / "m").mkdir()
    mask.save(tmp_path / "m" / "a.png")
    answer = taken(run, tmp_path / "m")
    assert isinstance(answer, str) and told in answer


def coco(path: Path, segmentation: Any, **image: Any) -> Path:
    entry = {"id": 1, "file_name": "a.png", "width": 40, "height": 30} | image
    found = (
        []
        if segmentation is None
        else [{"id": 7, "image_id": 1, "category_id": 1, "segmentation": segmentation}]
    )
    path.write_text(json.dumps({"images": [entry], "annotations": found, "categories": []}))
    return path


MASK = np.zeros((30, 40), bool)
MASK[5:15, 5:15] = True
RUNS = encode(MASK)
assert RUNS is not None


@pytest.mark.parametrize(
    ("segmentation", "area"),
    [
        ({"size": [30, 40], "counts": RUNS.counts}, 100),
        ({"size": [30, 40], "counts": [0, 30, 1170]}, 30),
        ([[5, 5, 15, 5, 15, 15, 5, 15]], 100),
        ([[5, 5, 15, 5, 15, 15, 5, 15], [20, 20, 30, 20, 30, 25, 20, 25]], 150),
        (None, 0),
    ],
)
def test_coco_files_are_taken(run: Run, tmp_path: Path, segmentation: Any, area: int) -> None:
    answer = taken(run, coco(tmp_path / "m.json", segmentation))
    assert isinstance(answer, MaskPrediction)
    assert round(answer.area * 1200) == area


def test_a_polygon_that_crosses_itself_is_filled_by_the_even_odd_rule(run: Run, tmp_path: Path) -> None:
    """A bow tie marks its two triangles; a square drawn twice around would be empty only where it is doubled."""
    answer = taken(run, coco(tmp_path / "m.json", [[5, 5, 25, 25, 25, 5, 5, 25]]))
    assert isinstance(answer, MaskPrediction) and answer.rle is not None
    mask = decode(answer.rle)
    assert mask[15, 8] and mask[15, 22] and not mask[8, 15] and not mask[22, 15]


@pytest.mark.parametrize(
    ("segmentation", "image", "told"),
    [
        ({"size": [40, 30], "counts": RUNS.counts}, {}, "size [40, 30]"),
        ({"size": [30, 40], "counts": [5, 5]}, {}, "10 pixels"),
        ({"size": [30, 40], "counts": RUNS.counts[:-1]}, {}, "mask"),
        ([[5, 5, 15, 5]], {}, "three points"),
        ([[5, 5, 500, 5, 15, 15]], {}, "outside"),
        ([[5, 5, "x", 5, 15, 15]], {}, "numbers"),
        ([[5, 5, 15, 5, 15, 15]], {"width": 80}, "width 80"),
        ([[5, 5, 15, 5, 15, 15]], {"width": None, "height": 31}, "height 31"),
        ([[5, 5, 15, 5, 15, 15]], {"width": "40"}, "width '40'"),
        ([], {}, "no segmentation"),
    ],
)
def test_coco_masks_that_are_refused(
    run: Run, tmp_path: Path, segmentation: Any, image: dict, told: str
) -> None:
    answer = taken(run, coco(tmp_path / "m.json", segmentation, **image))
    assert isinstance(answer, str) and told in answer


@pytest.mark.parametrize("owner", ["1", 1.0, True, 2, None])
def test_an_annotation_of_no_image_is_not_passed_over(run: Run, tmp_path: Path, owner: Any) -> None:
    """Its image would be taken for one without a defect."""
    path = coco(tmp_path / "m.json", [[5, 5, 15, 5, 15, 15]])
    content = json.loads(path.read_text())
    content["annotations"][0]["image_id"] = owner
    path.write_text(json.dumps(content))
    with pytest.raises(UserError, match=r"annotations\[0\] names no image"):
        import_masks(run, path)


def test_two_images_of_one_name_or_id_are_not_chosen_from(run: Run, tmp_path: Path) -> None:
    path = coco(tmp_path / "m.json", [[5, 5, 15, 5, 15, 15]])
    content = json.loads(path.read_text())
    for number, told in ((1, None), (2, "has 2 images a.png")):
        twice = content | {"images": [*content["images"], content["images"][0] | {"id": number}]}
        path.write_text(json.dumps(twice))
        if told is None:
            with pytest.raises(UserError, match="two images have the id 1"):
                import_masks(run, path)
        else:
            assert told in str(taken(run, path))


def test_an_empty_mask_file_is_a_bad_mask(run: Run, tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "a.png").touch()
    assert "the file is empty" in str(taken(run, tmp_path / "m"))


@pytest.mark.parametrize("endless", ["pipe", "device"])
def test_a_file_without_an_end_is_not_read(run: Run, tmp_path: Path, endless: str) -> None:
    if endless == "pipe":
        os.mkfifo(tmp_path / "m.json")
    else:
        (tmp_path / "m.json").symlink_to("/dev/zero")
    with pytest.raises(UserError, match="no regular file"):
        import_masks(run, tmp_path / "m.json")


def test_an_image_that_the_file_lacks_is_a_row_too(run: Run, tmp_path: Path) -> None:
    import_masks(run, coco(tmp_path / "m.json", None, file_name="b.png"))
    failure = run.latest("segment")["a.png"].failure
    assert failure is not None and failure.kind == FailureKind.MISSING_ANSWER


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"images": [1], "annotations": []}', "[" * 100_000])
def test_what_is_no_coco_file_is_one_line(run: Run, tmp_path: Path, content: str) -> None:
    (tmp_path / "m.json").write_text(content)
    with pytest.raises(UserError, match=r"m\.json"):
        import_masks(run, tmp_path / "m.json")
    with pytest.raises(UserError, match="neither a folder"):
        import_masks(run, tmp_path / "gone")


def test_what_was_exported_comes_back(run: Run, tmp_path: Path) -> None:
    coco(tmp_path / "m.json", [[5, 5, 15, 5, 15, 15, 5, 15], [20, 20, 30, 20, 30, 25, 20, 25]])
    first = taken(run, tmp_path / "m.json", parts=True)
    assert isinstance(first, MaskPrediction) and len(first.instances) == 2
    done = CliRunner().invoke(
        segment,
        [
            str(run.path),
            "--masks",
            str(tmp_path / "m.json"),
            "--components",
            "--coco",
            str(tmp_path / "out.json"),
        ],
    )
    assert done.exit_code == 0, done.output
    assert taken(run, tmp_path / "out.json", parts=True) == first
