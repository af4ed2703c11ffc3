"""COCO: polygons, run lengths and boxes against pycocotools and Pillow; what is broken is refused by name."""

from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw
from pycocotools import mask as coco
from pycocotools.coco import COCO
from scipy.ndimage import binary_dilation, binary_erosion

W, H = 40, 30
STAR = [20, 1, 32, 28, 2, 10, 38, 10, 8, 28]  # crosses itself


def blob(seed: int = 0) -> np.ndarray:
    mask = np.zeros((H, W), bool)
    mask[5 + seed : 20, 3:31] = np.random.default_rng(seed).random((15 - seed, 28)) > 0.4
    return mask


def counts(mask: np.ndarray) -> list[int]:
    """Uncompressed run lengths, column by column, the first of zeros: counted one pixel at a time."""
    runs, value = [0], False
    for pixel in mask.T.ravel():
        if pixel != value:
            runs.append(0)
            value = bool(pixel)
        runs[-1] += 1
    return runs


def compressed(mask: np.ndarray) -> str:
    return coco.encode(np.asfortranarray(mask, dtype=np.uint8))["counts"].decode()


def document(*segmentations: Any, **image: Any) -> dict[str, Any]:
    """A file with one annotation a picture, `a.png`, `b.png`, …"""
    return {
        "images": [
            {"id": i, "file_name": f"{'abcdefgh'[i]}.png", "width": W, "height": H} | image
            for i in range(len(segmentations))
        ],
        "annotations": [
            {
                "id": i,
                "image_id": i,
                "category_id": 2,
                "segmentation": s,
                "bbox": [3, 5, 20, 10],
                "iscrowd": 0,
            }
            for i, s in enumerate(segmentations)
        ],
        "categories": [{"id": 2, "name": "hand", "supercategory": "body"}],
    }


def pictures(picture, n: int) -> None:
    for i in range(n):
        picture(f"{'abcdefgh'[i]}.png", (W, H))


def test_every_kind_of_region_is_as_pycocotools_reads_it(importing, picture, write) -> None:
    pictures(picture, 4)
    triangle, square = [3.5, 2, 30.2, 8, 12, 25.7], [0, 0, 10, 0, 10, 10, 0, 10]
    content = document(
        {"size": [H, W], "counts": counts(blob())},
        {"size": [H, W], "counts": compressed(blob(3))},
        [triangle, square],
        [STAR],
    )
    file = write("instances.json", content)
    done = importing("coco", file)
    assert done.code == 0, done.out
    theirs = COCO(str(file))
    for i in range(4):
        expected = theirs.annToMask(theirs.anns[i]).astype(bool)
        assert (done.mask(f"{'abcd'[i]}.png") == expected).all()
    assert (done.mask("a.png") == blob()).all() and (done.mask("b.png") == blob(3)).all()
    sample = done.samples["c.png"]
    assert sample.golden.defective and sample.meta["categories"] == ["hand"]
    assert sample.meta["regions"] == [{"category": "hand", "box": [3, 5, 23, 15]}]


def test_a_polygon_covers_what_pillow_draws_but_for_its_border(importing, picture, write) -> None:
    picture("a.png", (W, H))
    polygon = [5, 4, 33, 7, 28, 26, 9, 22]
    drawn = Image.new("1", (W, H))
    ImageDraw.Draw(drawn).polygon(
        [(x - 0.5, y - 0.5) for x, y in zip(polygon[::2], polygon[1::2], strict=True)], fill=1
    )
    mask = importing("coco", write("c.json", document([polygon]))).mask("a.png")
    theirs = np.asarray(drawn)
    border = binary_dilation(theirs) & ~binary_erosion(theirs)
    assert not ((mask ^ theirs) & ~border).any() and mask.sum() > 300


def test_what_a_self_crossing_polygon_encloses_twice_is_outside(importing, picture, write) -> None:
    """Even-odd, and not non-zero: a ray from the star's middle crosses its border twice, in one direction."""
    picture("a.png", (W, H))
    mask = importing("coco", write("c.json", document([STAR]))).mask("a.png")

    def crossings(x: float, y: float) -> tuple[int, int]:
        points = list(zip(STAR[::2], STAR[1::2], strict=True))
        odd = winding = 0
        for (x0, y0), (x1, y1) in zip(points, points[1:] + points[:1], strict=True):
            if (y0 <= y) != (y1 <= y) and x < x0 + (y - y0) / (y1 - y0) * (x1 - x0):
                odd += 1
                winding += 1 if y1 > y0 else -1
        return odd % 2, winding

    rules = np.array([[crossings(x + 0.5, y + 0.5) for x in range(W)] for y in range(H)])
    even_odd, non_zero = rules[..., 0].astype(bool), rules[..., 1] != 0
    assert (mask ^ even_odd).sum() < 25  # pixels on the border
    assert (mask ^ non_zero).sum() > 60 and not mask[14, 20]
    pillow = Image.new("1", (W, H))
    ImageDraw.Draw(pillow).polygon(STAR, fill=1)
    assert not np.asarray(pillow)[14, 20]


def test_boxes_alone_give_no_mask_unless_asked(importing, picture, write) -> None:
    pictures(picture, 1)
    file = write("c.json", document([]))
    done = importing("coco", file)
    assert done.mask("a.png") is None and done.samples["a.png"].golden.defective
    filled = importing("coco", file, "--boxes-as-masks", "--force").mask("a.png")
    assert filled[5:15, 3:23].all() and filled.sum() == 200


def test_a_box_beside_a_region_is_not_left_out_of_the_mask(importing, picture, write) -> None:
    pictures(picture, 1)
    content = document([[1, 1, 9, 1, 9, 9]])
    content["annotations"].append(content["annotations"][0] | {"id": 5, "segmentation": []})
    file = write("c.json", content)
    done = importing("coco", file)
    assert done.code == 2 and "annotation 5 has no segmentation" in str(done.error)
    assert importing("coco", file, "--boxes-as-masks").mask("a.png")[5:15, 3:23].all()


def test_two_pictures_of_one_number_do_not_share_annotations(importing, picture, write) -> None:
    pictures(picture, 3)
    content = document([[1, 1, 9, 1, 9, 9]], [[1, 1, 9, 1, 9, 9]], [[1, 1, 9, 1, 9, 9]])
    content["images"][1]["id"] = 0
    done = importing("coco", write("c.json", content))
    assert list(done.samples) == ["c.png"]
    assert "another image has the id 0 too" in done.failures["c.json:images[0]"][1]
    assert done.failures["c.json:images[1]"][0] == "bad_row"


def test_a_picture_without_annotations_is_not_called_clean_unasked(importing, picture, write) -> None:
    pictures(picture, 1)
    content = document([[1, 1, 9, 1, 9, 9]]) | {"annotations": []}
    file = write("c.json", content)
    done = importing("coco", file)
    assert done.samples["a.png"].golden is None and "import with --unmarked clean" in done.out
    done = importing("coco", file, "--unmarked", "clean", "--force")
    assert "--unmarked" not in done.out and not done.samples["a.png"].golden.defective


@pytest.mark.parametrize(
    ("segmentation", "told"),
    [
        ({"size": [W, H], "counts": [W * H]}, "for the size [40, 30]"),
        ({"size": [H, W], "counts": [5, 5]}, "has 10 pixels, but its picture 1200"),
        ({"size": [H, W], "counts": [-5, 1205]}, "no number of its picture's pixels"),
        ({"size": [H, W], "counts": [10**30]}, "no number of its picture's pixels"),
        ({"size": [H, W], "counts": [0] * 3000 + [1200]}, "more than its picture has pixels"),
        ({"size": [H, W], "counts": [1200.0]}, "no number of its picture's pixels"),
        ({"size": [H, W], "counts": "PPPPPPPPP1"}, "do not add up"),
        ({"size": [H, W], "counts": "o"}, "cut off"),
        ({"size": [H, W]}, "has no counts"),
        ({"size": [H, W], "counts": [1200]}, "marks no pixel"),
        ([[1, 1, 9, 1]], "needs three points"),
        ([[1, 1, 9, 1, 9, 9, 4]], "needs three points"),
        ([[1, 1, 5, 5, 9, 9]], "marks no pixel"),
        ([[1, 1, float("nan"), 1, 9, 9]], "not finite"),
        ([[1, 1, 1e300, 1, 9, 9]], "outside 40 x 30"),
        ([[1, 1, 10**400, 1, 9, 9]], "not finite"),
        ([[-3, 1, 9, 1, 9, 9]], "outside 40 x 30 pixels (flawscribe import --clip"),
        ([["1", 1, 9, 1, 9, 9]], "something else than numbers"),
        ([[True, 1, 9, 1, 9, 9]], "something else than numbers"),
        ("text", "segmentation is not a list"),
    ],
)
def test_broken_regions_are_refused_by_name_and_the_rest_goes_on(
    segmentation: Any, told: str, importing, picture, write
) -> None:
    pictures(picture, 2)
    done = importing("coco", write("c.json", document(segmentation, [[1, 1, 9, 1, 9, 9]])))
    assert done.code == 1 and list(done.samples) == ["b.png"]
    kind, message = done.failures["c.json:images[0]"]
    assert kind in ("bad_mask", "bad_row") and told in message
    assert f"failed: {kind}" in done.out


def test_what_is_outside_is_cut_off_when_asked(importing, picture, write) -> None:
    pictures(picture, 1)
    done = importing("coco", write("c.json", document([[-5, -5, 10, -5, 10, 10, -5, 10]])), "--clip")
    mask = done.mask("a.png")
    assert mask[:10, :10].all() and mask.sum() == 100


def test_a_slip_over_the_border_is_no_mistake(importing, picture, write) -> None:
    pictures(picture, 1)
    done = importing("coco", write("c.json", document([[-0.4, 0, W + 1e-13, 0, W, H + 0.5, 0, H]])))
    assert done.code == 0 and done.mask("a.png").mean() > 0.95


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({"file_name": "../a.png"}, "bad_row"),
        ({"file_name": "/etc/passwd"}, "bad_row"),
        ({"file_name": "a\\..\\..\\b.png"}, "bad_row"),
        ({"file_name": "https://example.org/a.png"}, "missing_image"),
        ({"file_name": "nowhere.png"}, "missing_image"),
        ({"file_name": "a\0.png"}, "bad_row"),
        ({"file_name": "\ud800.png"}, "bad_row"),
        ({"file_name": 7}, "bad_row"),
        ({"file_name": "x" * 600}, "bad_row"),
        ({"file_name": "link.png"}, "bad_row"),
        ({"file_name": "text.png"}, "broken_image"),
        ({"width": 80}, "bad_mask"),
        ({"id": "one"}, "bad_row"),
    ],
)
def test_broken_pictures_are_failure_rows(
    change: dict[str, Any], kind: str, importing, picture, write, tmp_path
) -> None:
    outside = picture("elsewhere/secret.png", (W, H))
    picture("set/a.png", (W, H))
    picture("set/b.png", (W, H))
    (tmp_path / "set/text.png").write_text("no picture")
    (tmp_path / "set/link.png").symlink_to(outside)
    content = document([[1, 1, 9, 1, 9, 9]], [[1, 1, 9, 1, 9, 9]])
    content["images"][0] |= change
    done = importing("coco", write("set/c.json", content))
    assert done.code == 1 and list(done.samples) == ["b.png"]
    assert done.failures["c.json:images[0]"][0] == kind


def test_repeated_pictures_and_annotations_of_no_picture_fail(importing, picture, write) -> None:
    pictures(picture, 1)
    content = document([[1, 1, 9, 1, 9, 9]])
    content["images"].append(content["images"][0] | {"id": 9})
    content["annotations"].append({"id": 8, "image_id": 77, "category_id": 2})
    done = importing("coco", write("c.json", content))
    assert {kind for kind, _ in done.failures.values()} == {"repeated_id", "bad_row"}


@pytest.mark.parametrize(
    "content", ["{", "[]", '{"images": 3}', "[" * 100_000, '{"images": [], "categories": [3]}']
)
def test_other_files_are_told_in_one_line(content: str, importing, write, tmp_path) -> None:
    done = importing("coco", write("c.json", content))
    assert done.code == 2 and done.error is not None and "c.json" in str(done.error)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["c.json"]
