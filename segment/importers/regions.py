"""Regions as annotation files give them (polygons, boxes, run lengths) as masks of their picture's own size.

Coordinates are pixels from the upper left corner of the upright picture, x to the right and y down; pixel (i, j) covers
[i, i + 1] x [j, j + 1]. Nothing is resized: what does not fit its picture is refused (bad_mask).
"""

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
from pycocotools import mask as coco

from flawscribe.errors import one_line
from flawscribe.records import RLE
from segment.importers.base import Size, bad_mask
from segment.rle import decode

SLACK = 1.0
"""Pixels that a coordinate may lie outside its picture: tools round, and COCO's own polygons touch the border."""
MAX_POINTS = 100_000
FAR = 10  # picture's sides: coordinates further out are refused even where what is outside is cut off


def numbers(values: Any, what: str) -> list[float]:
    """`values` as finite floats; ImageFailure where they are not a list of those."""
    if not isinstance(values, list | tuple) or len(values) > 2 * MAX_POINTS:
        raise bad_mask(f"{what} is not a list of at most {2 * MAX_POINTS} numbers")
    if any(isinstance(v, bool) or not isinstance(v, int | float) for v in values):
        raise bad_mask(f"{what} holds something else than numbers")
    try:
        floats = [float(v) for v in values]
    except OverflowError:
        floats = [math.inf]
    if not all(map(math.isfinite, floats)):
        raise bad_mask(f"{what} holds a number that is not finite")
    return floats


def _fits(points: np.ndarray, size: Size, clip: bool, what: str) -> None:
    """Refuse (n, 2) points outside the picture; with `clip`, only those so far off that they are no slip."""
    sides = np.asarray(size, float)
    slack = FAR * sides if clip else SLACK
    outside = ((points < -slack) | (points > sides + slack)).any(axis=1)
    if outside.any():
        x, y = points[outside][0]
        hint = "" if clip else " (flawscribe import --clip cuts off what is outside)"
        raise bad_mask(f"{what} has the point ({x:g}, {y:g}) outside {size[0]} x {size[1]} pixels{hint}")


def polygon_mask(flat: Any, size: Size, clip: bool = False, what: str = "a polygon") -> np.ndarray:
    """The bool (h, w) mask of one polygon [x0, y0, x1, y1, …], filled as pycocotools does.

    Where a polygon crosses itself the even-odd rule holds: what is enclosed twice is outside.
    """
    points = numbers(flat, what)
    if len(points) < 6 or len(points) % 2:  # pycocotools would take four numbers for a box
        raise bad_mask(f"{what} has {len(points)} numbers: a polygon needs three points or more")
    _fits(np.asarray(points).reshape(-1, 2), size, clip, what)
    width, height = size
    return coco.decode(coco.frPyObjects([points], height, width))[..., 0].astype(bool)


def box_mask(box: Any, size: Size, clip: bool = False, what: str = "a box") -> np.ndarray:
    """The bool (h, w) mask of a box (x0, y0, x1, y1)."""
    x0, y0, x1, y1 = corners(box, what)
    return polygon_mask([x0, y0, x0, y1, x1, y1, x1, y0], size, clip, what)


def corners(box: Any, what: str = "a box") -> tuple[float, float, float, float]:
    """A box's four numbers (x0, y0, x1, y1), in order; ImageFailure where it has no area."""
    values = numbers(box, what)
    if len(values) != 4:
        raise bad_mask(f"{what} has {len(values)} numbers, not 4")
    x0, y0, x1, y1 = values
    if x0 >= x1 or y0 >= y1:
        raise bad_mask(f"{what} has no area")
    return x0, y0, x1, y1


def rle_mask(rle: dict[str, Any], size: Size, what: str = "a run-length mask") -> np.ndarray:
    """The bool (h, w) mask of COCO's run lengths, uncompressed (a list of counts) or compressed (a string)."""
    width, height = size
    shape, counts = rle.get("size"), rle.get("counts")
    if shape != [height, width]:
        told = one_line(repr(shape), 40)
        raise bad_mask(
            f"{what} is for the size {told} (height, width), but its picture has {[height, width]}"
        )
    if isinstance(counts, str):
        try:
            return decode(RLE(size=(height, width), counts=counts))
        except ValueError as e:
            raise bad_mask(f"{what}: {e}") from e
    if not isinstance(counts, list) or len(counts) > 2 * width * height + 2:
        raise bad_mask(f"{what} has no counts, or more than its picture has pixels")
    if any(isinstance(n, bool) or not isinstance(n, int) or not 0 <= n <= width * height for n in counts):
        raise bad_mask(f"{what} has a count that is no number of its picture's pixels")
    if sum(counts) != width * height:
        raise bad_mask(f"{what} has {sum(counts)} pixels, but its picture {width * height}")
    runs = np.zeros(len(counts), bool)
    runs[1::2] = True  # the first run is of pixels that are not marked
    return np.repeat(runs, counts).reshape(width, height).T


def union(masks: Iterable[np.ndarray]) -> np.ndarray | None:
    """What any of the masks marks, None where that is nothing."""
    found: np.ndarray | None = None
    for mask in masks:
        found = mask if found is None else found | mask
    return found if found is not None and found.any() else None
