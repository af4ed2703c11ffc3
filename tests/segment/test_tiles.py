"""Tiles cover the picture, and no edge of theirs shows in the merged mask."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from segment.postprocess import Enlarged
from segment.rle import Runs, decode, encode_runs
from segment.tiles import OVERLAP, Tile, merged, tile_boxes


@given(st.integers(1, 400), st.integers(1, 400), st.integers(2, 8))
def test_tiles_cover_every_pixel_and_overlap(width: int, height: int, along: int) -> None:
    boxes = tile_boxes(width, height, along)
    if not boxes:
        assert max(width, height) < 2 * along
        return
    seen = np.zeros((height, width), int)
    for x0, y0, x1, y1 in boxes:
        assert 0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height
        seen[y0:y1, x0:x1] += 1
    assert seen.min() >= 1
    side = boxes[0][2] - boxes[0][0]
    starts = sorted({box[0] for box in boxes})
    if width > side >= 16:
        assert all(b - a <= side * (1 - OVERLAP) + 1 for a, b in itertools.pairwise(starts))


def mask_of(runs: Runs) -> np.ndarray:
    rle = encode_runs(runs)
    return decode(rle) if rle else np.zeros(runs.size, bool)


def tiles_with(logit: dict[int, float], width: int, height: int) -> list[Tile]:
    """Tiles of one value each; those that are not named see no defect."""
    found = []
    for n, box in enumerate(tile_boxes(width, height, 2)):
        size = (box[3] - box[1], box[2] - box[0])
        same = None if n not in logit else Enlarged(torch.full((8, 8), logit[n]), 32, (32, 32), size)
        found.append(Tile(box, same))
    return found


def test_tiles_that_agree_leave_no_seam() -> None:
    tiles = tiles_with(dict.fromkeys(range(4), 0.1), 200, 200)
    assert len(tiles) == 4
    assert mask_of(merged(tiles, 0.5, (200, 200))).all()
    assert not mask_of(merged(tiles, 0.6, (200, 200))).any()


def test_a_tile_alone_fades_before_its_edge() -> None:
    """Where only one of two tiles sees a defect, the mask ends within their overlap, not at either's edge."""
    tiles = tiles_with({0: 8.0}, 200, 100)
    (_, _, end, _), (start, *_) = tiles[0].box, tiles[1].box
    columns = np.flatnonzero(mask_of(merged(tiles, 0.5, (100, 200))).any(axis=0))
    assert columns[0] == 0
    assert start + 3 < columns[-1] < end - 3
    assert columns[-1] == pytest.approx((start + end) / 2, abs=2)


def test_no_tile_with_a_defect_marks_nothing() -> None:
    assert merged(tiles_with({}, 90, 70), 0.0, (70, 90)).area == 0
