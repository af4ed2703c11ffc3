"""Folders of pictures and masks: AGIDefect's fields, PAL4VST's labels, and how a mask picture can be broken."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from flawscribe.images import ImageFailure
from segment.importers.mask_files import mask_file

W, H = 40, 30
MASK = np.zeros((H, W), bool)
MASK[4:12, 6:30] = True


def save(path: Path, values: Any, mode: str | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(values), mode).save(path)
    return path


ROW = {
    "id": "dog", "image": "images/dog.png", "prompt": "a dog", "generator": "SDXL", "defective": True,
    "category": "animals", "quality": 2.5, "descriptions": ["Five legs."], "mask": "masks/dog.png", "note": "x",
}  # fmt: skip
FLAWLESS = {"id": "cat", "image": "images/cat.png", "defective": False, "quality": 5}


@pytest.fixture
def folder(picture, tmp_path) -> Path:
    """A folder with two pictures and the mask of one."""
    picture("set/images/dog.png", (W, H))
    picture("set/images/cat.png", (W, H))
    save(tmp_path / "set/masks/dog.png", MASK.astype(np.uint8) * 255)
    return tmp_path / "set"


def annotations(folder: Path, form: str, rows: list[dict[str, Any]]) -> None:
    if form == "csv":
        names = list(dict.fromkeys(name for row in rows for name in row))
        cells = [[row.get(name, "") for name in names] for row in rows]
        lines = [names, *[[c[0] if isinstance(c, list) else str(c) for c in line] for line in cells]]
        text = "\n".join(",".join(line) for line in lines)
    elif form == "jsonl":
        text = "\n".join(map(json.dumps, rows))
    elif form == "object":
        text = json.dumps({row["id"]: {k: v for k, v in row.items() if k != "id"} for row in rows})
    else:
        text = json.dumps(rows)
    (folder / f"annotations.{form.replace('object', 'json')}").write_text(text)


@pytest.mark.parametrize("form", ["json", "object", "jsonl", "csv"])
def test_agidefects_fields_in_every_form(form: str, importing, folder) -> None:
    annotations(folder, form, [ROW, FLAWLESS])
    done = importing("agidefect", folder)
    assert done.code == 0, done.out
    assert (done.mask("dog") == MASK).all() and done.mask("cat") is None
    dog, cat = done.samples["dog"], done.samples["cat"]
    assert dog.golden.model_dump(exclude={"mask"}) == {
        "defective": True,
        "descriptions": ("Five legs.",),
        "description": None,
        "quality": 2.5,
        "category": "animals",
    }
    assert (dog.prompt, dog.generator, dog.meta["note"]) == ("a dog", "SDXL", "x")
    assert cat.golden.defective is False and cat.golden.quality == 5


def test_other_names_of_columns_and_masks_found_by_the_pictures_name(importing, folder) -> None:
    row = {"file": "dog.png", "mos": 1.5, "label": "yes", "text": "Five legs."}
    annotations(folder, "jsonl", [row])
    columns = ("image=file", "quality=mos", "defective=label", "description=text")
    done = importing("agidefect", folder, *(part for c in columns for part in ("--column", c)))
    assert (done.mask("dog.png") == MASK).all()
    assert done.samples["dog.png"].golden.description == "Five legs." and done.samples["dog.png"].meta == {}


def test_several_masks_are_united(importing, folder) -> None:
    other = np.zeros((H, W), np.uint8)
    other[20:25, 1:5] = 1
    save(folder / "masks/second.png", other)
    annotations(folder, "json", [ROW | {"mask": ["dog.png", "second.png"]}])
    assert (importing("agidefect", folder).mask("dog") == MASK | (other > 0)).all()


@pytest.mark.parametrize(
    ("change", "kind", "told"),
    [
        ({"mask": "masks/gone.png"}, "bad_mask", "gone.png"),
        ({"mask": "../mask.png"}, "bad_mask", "outside"),
        ({"mask": "/etc/passwd"}, "bad_mask", "outside"),
        ({"mask": "images/dog.png"}, "bad_mask", "the picture itself"),
        ({"mask": "masks/empty.png"}, "bad_mask", "no pixel"),
        ({"mask": "masks/wide.png"}, "bad_mask", "60 x 30 pixels, but its image has 40 x 30"),
        ({"mask": "masks/soft.png"}, "bad_mask", "--threshold"),
        ({"mask": "masks/text.png"}, "bad_mask", "not a picture"),
        ({"mask": "masks/link.png"}, "bad_mask", "link"),
        ({"defective": False}, "bad_mask", "called flawless"),
        ({"image": "../elsewhere.png"}, "bad_row", "outside"),
        ({"image": "gone.png"}, "missing_image", "gone.png"),
        ({"quality": 9}, "bad_row", "quality is 9"),
        ({"category": "cats"}, "bad_row", "category is"),
        ({"descriptions": 3}, "bad_row", "descriptions is 3"),
        ({"defective": "perhaps"}, "bad_row", "defective is"),
        ({"quality": float("nan"), "note": float("inf")}, "bad_row", "not a finite number"),
        ({"id": "cat"}, "repeated_id", "there already"),
        ({"id": "x" * 501}, "bad_row", "501 characters"),
    ],
)
def test_broken_rows_fail_alone(
    change: dict[str, Any], kind: str, told: str, importing, folder, picture, tmp_path
) -> None:
    picture("elsewhere.png", (W, H))
    save(tmp_path / "mask.png", MASK)
    save(folder / "masks/empty.png", np.zeros((H, W), np.uint8))
    save(folder / "masks/wide.png", np.ones((H, 60), np.uint8))
    save(folder / "masks/soft.png", np.arange(H * W, dtype=np.uint32).reshape(H, W).astype(np.uint8))
    (folder / "masks/text.png").write_text("no picture")
    (folder / "masks/link.png").symlink_to(tmp_path / "mask.png")
    annotations(folder, "json", [FLAWLESS, ROW | change])
    done = importing("agidefect", folder)
    assert done.code == 1 and list(done.samples) == ["cat"]
    assert done.failures["annotations.json[1]"][0] == kind
    assert told in done.failures["annotations.json[1]"][1]


def test_one_annotation_file_is_needed(importing, folder) -> None:
    assert "one annotation file" in str(importing("agidefect", folder).error)
    annotations(folder, "json", [ROW])
    annotations(folder, "csv", [ROW])
    assert "annotations.csv, annotations.json" in str(importing("agidefect", folder).error)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (MASK, MASK),
        (MASK.astype(np.uint8), MASK),
        (MASK.astype(np.uint8) * 255, MASK),
        (np.stack([MASK * 200, MASK * 10, MASK * 0], -1).astype(np.uint8), MASK),
        (MASK.astype(np.uint16) * 65535, MASK),
        (np.stack([MASK * 0 + 255] * 3 + [MASK * 255], -1).astype(np.uint8), MASK),
        (np.zeros((H, W), np.uint8), None),
        (np.full((H, W, 4), (255, 255, 255, 0), np.uint8), None),
    ],
    ids=["bits", "ones", "255", "colour", "16 bits", "alpha", "empty", "transparent"],
)
def test_mask_pictures_of_two_levels(values: np.ndarray, expected: Any, tmp_path) -> None:
    path = save(tmp_path / "m.png", values.astype(np.uint8) if values.ndim == 3 else values)
    found = mask_file(path, (W, H))
    assert (found is None) if expected is None else (found == expected).all()


def soft() -> np.ndarray:
    return np.tile(np.linspace(0, 255, W).round().astype(np.uint8), (H, 1))


@pytest.mark.parametrize("kind", ["grey", "colours", "labels and ignored"])
def test_more_levels_need_a_threshold(kind: str, tmp_path) -> None:
    values = {
        "grey": soft(),
        "colours": np.stack([soft(), soft()[:, ::-1], soft()], -1),
        "labels and ignored": np.where(MASK, 1, 255 * (np.arange(W) > 35)).astype(np.uint8),
    }[kind]
    path = save(tmp_path / "m.png", values)
    with pytest.raises(ImageFailure, match="levels or colours"):
        mask_file(path, (W, H))
    marked = mask_file(path, (W, H), 0.5)
    assert (marked == ((values if values.ndim == 2 else values.max(-1)) >= 127.5)).all()


def test_palettes_and_jpegs(tmp_path) -> None:
    palette = Image.fromarray(MASK.astype(np.uint8) * 3, "P")
    palette.putpalette([255, 255, 255] * 256)
    palette.save(tmp_path / "p.png")
    assert (mask_file(tmp_path / "p.png", (W, H)) == MASK).all()
    Image.fromarray(MASK.astype(np.uint8) * 255).save(tmp_path / "j.jpg", quality=95)
    assert (mask_file(tmp_path / "j.jpg", (W, H)) == MASK).mean() > 0.99


def test_pal4vst_with_splits_and_labels_that_look_black(importing, picture, tmp_path) -> None:
    for name in ("train/ffhq_seed1.jpg", "train/ldm_2.png", "val/ffhq_seed3.jpg", "val/lost.jpg"):
        picture(f"pal/images/{name}", (W, H))
    save(tmp_path / "pal/labels/train/ffhq_seed1.png", MASK.astype(np.uint8))
    save(tmp_path / "pal/labels/train/ldm_2.png", MASK.astype(np.uint8) * 0)
    save(tmp_path / "pal/labels/val/ffhq_seed3.png", np.ones((H, W * 2), np.uint8))
    save(tmp_path / "pal/labels/val/nobody.png", MASK.astype(np.uint8))
    done = importing("pal4vst", tmp_path / "pal")
    assert done.code == 1
    assert (done.mask("images/train/ffhq_seed1.jpg") == MASK).all()
    assert done.samples["images/train/ldm_2.png"].golden.defective is False
    assert done.samples["images/train/ldm_2.png"].meta["split"] == "train"
    assert {place: kind for place, (kind, _) in done.failures.items()} == {
        "images/val/ffhq_seed3.jpg": "bad_mask",
        "images/val/lost.jpg": "bad_mask",
        "labels/val/nobody.png": "missing_image",
    }
    assert importing("pal4vst", tmp_path / "pal", "--split", "train", "--force").code == 0


def test_pal4vst_one_folder_a_task(importing, picture, tmp_path) -> None:
    for task in ("ldm", "anyresgan"):
        picture(f"pal/{task}/images/a.jpg", (W, H))
        save(tmp_path / f"pal/{task}/labels/a.png", MASK.astype(np.uint8))
    done = importing("pal4vst", tmp_path / "pal")
    assert {id: sample.meta["set"] for id, sample in done.samples.items()} == {
        "anyresgan/images/a.jpg": "anyresgan",
        "ldm/images/a.jpg": "ldm",
    }
    assert "no folder images/" in str(importing("pal4vst", tmp_path / "data/masks", "--force").error)
