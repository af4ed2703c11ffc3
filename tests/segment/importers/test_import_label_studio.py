"""Label Studio: brushes as its own converter writes them, several annotators, uploads' names, broken streams."""

from itertools import groupby
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from flawscribe.images import ImageFailure
from segment.importers.brush import brush_mask

W, H = 24, 18
# What label-studio-converter 0.0.59 (mask2rle) makes of the mask beside it.
THEIRS = [
    *(0, 0, 0, 216, 57, 27, 254, 43, 0, 194, 127, 247, 192, 35, 255, 142, 2),
    *(223, 253, 240, 9, 255, 227, 0, 159, 254, 248, 6, 19, 255, 197, 96, 0),
]
MASK = np.zeros((6, 9), bool)
MASK[1:5, 2:7] = True
MASK[3, 4] = False


def encode(mask: np.ndarray, singles: bool = False) -> list[int]:
    """The stream of a mask by the format's description, as a text of bits; with `singles` no run at all."""
    values = np.repeat(mask.ravel().astype(int) * 255, 4).tolist()
    bits = f"{len(values):032b}{7:05b}" + "".join(f"{width - 1:04b}" for width in (3, 4, 8, 16))
    if singles:
        for at in range(0, len(values), 8):
            block = values[at : at + 8]
            bits += f"0{0:02b}{len(block) - 1:03b}" + "".join(f"{v:08b}" for v in block)
    else:
        for value, run in groupby(values):
            length = len(list(run))
            while length:
                part = min(length, 2**16)
                which, width = next((i, w) for i, w in enumerate((3, 4, 8, 16)) if part <= 2**w)
                bits += f"1{which:02b}{part - 1:0{width}b}{value:08b}"
                length -= part
    bits += "0" * (-len(bits) % 8)
    return [int(bits[at : at + 8], 2) for at in range(0, len(bits), 8)]


def test_the_converters_own_stream() -> None:
    assert (brush_mask(THEIRS, (9, 6)) == MASK).all()


@settings(deadline=None)
@given(arrays(bool, st.tuples(st.integers(1, 20), st.integers(1, 20))), st.booleans())
def test_round_trip(mask: np.ndarray, singles: bool) -> None:
    assert (brush_mask(encode(mask, singles), mask.shape[::-1]) == mask).all()


def test_long_runs() -> None:
    mask = np.zeros((300, 400), bool)
    mask[40:290] = True
    assert (brush_mask(encode(mask), (400, 300)) == mask).all()


@settings(deadline=None)
@given(st.lists(st.integers(0, 255), max_size=60), st.booleans())
def test_any_bytes_are_a_mask_or_refused(tail: list[int], headed: bool) -> None:
    stream = (encode(MASK)[:7] if headed else []) + tail
    try:
        assert brush_mask(stream, (9, 6)).shape == (6, 9)
    except ImageFailure as e:
        assert e.kind == "bad_mask"


@pytest.mark.parametrize(
    ("stream", "told"),
    [
        ([255] * 9, "has 4294967295 values"),
        (THEIRS[:-3], "cut off"),
        (encode(MASK)[:12], "cut off"),
        ([*THEIRS[:-1], 256], "something else than bytes"),
        ([*THEIRS[:-1], -1], "something else than bytes"),
        (["a"] * 20, "something else than bytes"),
        ("AAAA", "not a list of bytes"),
        ([], "not a list of bytes"),
    ],
)
def test_broken_streams(stream: Any, told: str) -> None:
    with pytest.raises(ImageFailure, match=told):
        brush_mask(stream, (9, 6))


def brush(mask: np.ndarray, **change: Any) -> dict[str, Any]:
    return {
        "original_width": W,
        "original_height": H,
        "image_rotation": 0,
        "value": {"format": "rle", "rle": encode(mask), "brushlabels": ["artifact"]},
        "id": "GxKl2",
        "from_name": "tag",
        "to_name": "image",
        "type": "brushlabels",
        "origin": "manual",
    } | change


def task(number: int, image: str, *results: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "id": number,
        "annotations": [
            {
                "id": 100 * number + k,
                "completed_by": k + 1,
                "result": result,
                "was_cancelled": False,
                "ground_truth": False,
                "lead_time": 12.5,
            }
            for k, result in enumerate(results)
        ],
        "predictions": [],
        "data": {"image": image, "prompt": "a hand"},
        "project": 1,
    }


def square(x: int, y: int, side: int = 6) -> np.ndarray:
    mask = np.zeros((H, W), bool)
    mask[y : y + side, x : x + side] = True
    return mask


A, B, C = square(2, 2), square(4, 4), square(5, 3)


def test_several_annotators(importing, picture, write) -> None:
    picture("hand.png", (W, H))
    file = write(
        "export.json", [task(7, "/data/upload/1/0a1b2c3d-hand.png", [brush(A)], [brush(B)], [brush(C)])]
    )
    done = importing("label-studio", file)
    assert done.code == 0, done.out
    assert (done.mask("7") == (A | B | C)).all()
    sample = done.samples["7"]
    assert sample.prompt == "a hand" and sample.meta["categories"] == ["artifact"]
    assert sample.meta["annotators"] == [1, 2, 3]
    most = importing("label-studio", file, "--annotators", "majority", "--force").mask("7")
    assert (most == (A.astype(int) + B + C >= 2)).all()
    each = importing("label-studio", file, "--annotators", "each", "--force")
    assert [(each.mask(f"7/{700 + k}") == m).all() for k, m in enumerate((A, B, C))] == [True] * 3


def test_half_of_the_annotators_is_no_majority(importing, picture, write) -> None:
    picture("hand.png", (W, H))
    file = write("export.json", [task(7, "hand.png", [brush(A)], [])])
    assert not importing("label-studio", file, "--annotators", "majority").samples["7"].golden.defective


def test_polygons_texts_and_strokes_together(importing, picture, write) -> None:
    picture("images/hand.png", (W, H))
    polygon = brush(A, type="polygonlabels")
    points = [[50, 50], [75, 50], [75, 100], [50, 100]]
    polygon["value"] = {"points": points, "closed": True, "polygonlabels": ["hand"]}
    text = {"type": "textarea", "from_name": "why", "to_name": "image", "value": {"text": ["Six fingers."]}}
    choice = {"type": "choices", "from_name": "q", "to_name": "image", "value": {"choices": ["bad"]}}
    file = write("e.json", [task(1, "s3://bucket/hand.png", [brush(A), brush(B), polygon, text, choice])])
    done = importing("label-studio", file)
    expected = A | B
    expected[9:18, 12:18] = True
    assert (done.mask("1") == expected).all()
    assert done.samples["1"].golden.descriptions == ("Six fingers.",)
    assert done.samples["1"].meta["categories"] == ["artifact", "hand"]


def test_what_nobody_looked_at_is_unknown_and_what_nobody_marked_clean(importing, picture, write) -> None:
    picture("a.png", (W, H))
    tasks = [task(1, "a.png"), task(2, "a.png", []), task(3, "/data/local-files/?d=x%2Fa.png", [brush(A)])]
    tasks[2]["annotations"][0]["was_cancelled"] = True
    done = importing("label-studio", write("e.json", tasks))
    golden = {id: sample.golden for id, sample in done.samples.items()}
    assert golden["1"] is None and golden["3"] is None and golden["2"].defective is False


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"original_width": 48}, "for 48 x 18 pixels"),
        ({"original_height": None}, "for 24 x None pixels"),
        ({"image_rotation": 90}, "turned"),
        ({"type": "rectanglelabels", "value": {"x": 1, "y": 1, "width": 9, "height": 9}}, "only brushes"),
        ({"value": {"format": "png", "rle": [1]}}, "has the format png"),
        ({"value": {"format": "rle", "rle": encode(np.ones((H, W + 1), bool))}}, "its picture needs"),
        ({"type": "polygonlabels", "value": {"points": [[1, 2, 3]]}}, "not pairs"),
        ({"type": "polygonlabels", "value": {"points": [[1, 2], [300, 4], [5, 6]]}}, "outside"),
    ],
)
def test_broken_regions_fail_their_task_alone(
    change: dict[str, Any], told: str, importing, picture, write
) -> None:
    picture("a.png", (W, H))
    tasks = [task(1, "a.png", [brush(A), brush(A, **change)]), task(2, "a.png", [brush(B)])]
    done = importing("label-studio", write("e.json", tasks))
    assert done.code == 1 and list(done.samples) == ["2"]
    assert done.failures["e.json[0]"][0] == "bad_mask" and told in done.failures["e.json[0]"][1]


@pytest.mark.parametrize(
    "image", ["../../etc/passwd", "/data/upload/1/..", "https://x.org/gone.png", 5, None]
)
def test_pictures_are_looked_for_only_where_they_may_be(image: Any, importing, picture, write) -> None:
    picture("a.png", (W, H))
    done = importing(
        "label-studio", write("e.json", [task(1, image, [brush(A)]), task(2, "a.png", [brush(A)])])
    )
    assert list(done.samples) == ["2"] and list(done.failures) == ["e.json[0]"]


@pytest.mark.parametrize("content", [[], {}, [1], [{"id": 1, "image": "a.png", "tag": []}]])
def test_other_files(content: Any, importing, write) -> None:
    done = importing("label-studio", write("e.json", content))
    assert done.code == 2 and "e.json" in str(done.error)
