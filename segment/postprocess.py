"""From a frame's mask logits to run-length masks at the picture's own size, a few columns at a time.

A mask at full size is never in memory: what lies below the threshold before enlarging is left out (a bilinear value
is never above its neighbours), the rest is enlarged, cut at the threshold and run-length encoded in bands of columns.
Memory grows neither with the picture (beyond its runs) nor with the number of masks.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from segment.rle import Runs

_BAND = 2**20  # values in a band
Columns = Callable[[int, int], np.ndarray]
"""The values of the columns from x0 until before x1, as float32 (x1 - x0, rows): a column lies in one piece."""


class Enlarged:
    """Mask logits of a frame as values at a picture's own size, worked out where they are asked for.

    `logits` is (s, s) float over a square frame of `side` pixels, of which the picture takes the upper left `taken`
    = (height, width); `size` is the picture's own (height, width). The values are those of `unframe` (bilinear to
    the frame's pixels, cropped to the picture, bilinear to its size) up to float32's rounding.
    """

    def __init__(self, logits: Tensor, side: int, taken: tuple[int, int], size: tuple[int, int]) -> None:
        framed = interpolate(
            logits.float().cpu()[None, None], size=(side, side), mode="bilinear", align_corners=False
        )
        self._inner = framed[0, 0, : taken[0], : taken[1]].T.contiguous().numpy()  # (width, height)
        self._size = size

    def window(self, threshold: float) -> tuple[slice, slice] | None:
        """(rows, columns) outside of which every value is below the threshold; None where all are."""
        marked = self._inner >= threshold
        if not marked.any():
            return None
        height, width = self._size
        return _reach(np.any(marked, axis=0), height), _reach(np.any(marked, axis=1), width)

    def columns(self, x0: int, x1: int, rows: slice = slice(None)) -> np.ndarray:
        """float32 (x1 - x0, rows): the values of some columns."""
        height, width = self._size
        inner_width, inner_height = self._inner.shape
        low, high, part = _neighbours(np.arange(x0, x1), inner_width, width)
        across = _between(self._inner[low], self._inner[high], part[:, None])
        low, high, part = _neighbours(np.arange(height)[rows], inner_height, height)
        return _between(across.take(low, axis=1), across.take(high, axis=1), part)


def marked(enlarged: Enlarged, threshold: float, size: tuple[int, int]) -> Runs:
    """The pixels whose value reaches the threshold; `size` is (height, width)."""
    if (window := enlarged.window(threshold)) is None:
        return Runs(np.zeros(0, np.int64), np.zeros(0, np.int64), size)
    rows, columns = window
    return cut(lambda x0, x1: enlarged.columns(x0, x1, rows), threshold, size, rows, columns)


def cut(
    values: Columns,
    threshold: float,
    size: tuple[int, int],
    rows: slice | None = None,
    columns: slice | None = None,
) -> Runs:
    """The pixels of a window (all of the picture's unless given) whose value reaches the threshold."""
    height, width = size
    top, bottom = (rows.start, rows.stop) if rows else (0, height)
    left, right = (columns.start, columns.stop) if columns else (0, width)
    starts, ends = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for x0, x1 in _bands(left, right, bottom - top):
        # An unmarked row on both sides ends every run within its column.
        bits = np.zeros((x1 - x0, bottom - top + 2), dtype=np.int8)
        bits[:, 1:-1] = values(x0, x1) >= threshold
        edges = np.flatnonzero(np.diff(bits.ravel()))
        x, y = np.divmod(edges, bottom - top + 2)
        at = (x + x0) * height + y + top
        starts.append(at[::2])
        ends.append(at[1::2])
    return Runs.joined(np.concatenate(starts), np.concatenate(ends), size)


def logit(probability: float) -> float:
    """The logit of a probability in [0, 1], infinite at its ends."""
    return float(torch.logit(torch.tensor(probability, dtype=torch.float64)))


def _bands(left: int, right: int, height: int) -> Iterator[tuple[int, int]]:
    step = max(1, _BAND // height)
    return ((x, min(x + step, right)) for x in range(left, right, step))


def _neighbours(at: np.ndarray, inner: int, outer: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For pixels of an axis of `outer` ones: the two of the `inner` ones beside each, and how near the second is."""
    source = np.maximum((at + 0.5) * (inner / outer) - 0.5, 0)
    low = np.minimum(source.astype(np.int64), inner - 1)
    return low, np.minimum(low + 1, inner - 1), (source - low).astype(np.float32)


def _between(low: np.ndarray, high: np.ndarray, part: np.ndarray) -> np.ndarray:
    """`low` + `part` * (`high` - `low`), written over `high`, a fresh array."""
    high -= low
    high *= part
    high += low
    return high


def _reach(marked: Any, outer: int) -> slice:
    """The pixels of an axis of `outer` ones that a marked one of the inner axis takes part in."""
    found = np.flatnonzero(marked)
    scale = outer / len(marked)
    start = int((found[0] - 0.5) * scale - 0.5)
    stop = int((found[-1] + 1.5) * scale + 0.5) + 1
    return slice(max(0, start), min(outer, stop))
