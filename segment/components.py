"""A mask's connected regions as instances, each with its box and area, found on its runs alone."""

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from flawscribe.records import RLE, Instance
from segment.rle import Runs, area_of, box_of, decode_runs, encode_runs

MOST = 100
"""Regions kept of a mask, the largest ones: a mask of noise has thousands."""


def components(rle: RLE | None, most: int = MOST) -> tuple[Instance, ...]:
    """The regions of a mask, 8-connected, largest first (of equal ones the leftmost); at most `most`.

    ValueError for a damaged RLE.
    """
    if rle is None:
        return ()
    starts, ends, size = _by_column(decode_runs(rle))
    if not len(starts):
        return ()
    _, label = connected_components(_touching(starts, ends, size[0]), directed=False)
    areas = np.bincount(label, weights=ends - starts)
    order = np.argsort(-areas, kind="stable")[:most]
    by_label = np.argsort(label, kind="stable")
    edges = np.r_[0, np.cumsum(np.bincount(label))]
    found = []
    for k in order:
        mine = by_label[edges[k] : edges[k + 1]]
        part = encode_runs(Runs.joined(starts[mine], ends[mine], size))
        assert part is not None
        found.append(instance(part))
    return tuple(found)


def instance(rle: RLE, score: float | None = None, text: str | None = None) -> Instance:
    """A mask that is not empty as an instance, with its box and area."""
    height, width = rle.size
    return Instance(rle=rle, box=box_of(rle), area=area_of(rle) / (height * width), score=score, text=text)


def _by_column(runs: Runs) -> tuple[np.ndarray, np.ndarray, tuple[int, int]]:
    """The runs split where they go on in the next column."""
    height = runs.size[0]
    first, last = runs.starts // height, (runs.ends - 1) // height
    pieces = last - first + 1
    run = np.repeat(np.arange(len(pieces)), pieces)
    column = first[run] + np.arange(len(run)) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    starts = np.maximum(runs.starts[run], column * height)
    return starts, np.minimum(runs.ends[run], (column + 1) * height), runs.size


def _touching(starts: np.ndarray, ends: np.ndarray, height: int) -> coo_array:
    """(n, n) sparse: which pieces touch pieces of the next column, sides or corners."""
    column = starts // height
    # A piece from y0 until before y1 touches those of the next column that end after y0 - 1 and begin before y1 + 1.
    low = np.maximum(starts - 1, column * height) + height
    high = np.minimum(ends + 1, (column + 1) * height) + height
    first = np.searchsorted(ends, low, side="right")
    n = np.maximum(np.searchsorted(starts, high, side="left") - first, 0)
    one = np.repeat(np.arange(len(starts)), n)
    other = first[one] + np.arange(len(one)) - np.repeat(np.cumsum(n) - n, n)
    return coo_array((np.ones(len(one), np.int8), (one, other)), shape=(len(starts), len(starts)))
