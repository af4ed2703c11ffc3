"""Overlapping tiles of a picture, and their answers merged without seams."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from flawscribe.images import Box
from segment.postprocess import Enlarged, cut
from segment.rle import Runs

OVERLAP = 0.25  # of a tile's side, at least: a small defect on one tile's edge lies inside another


def tile_boxes(width: int, height: int, along: int) -> list[Box]:
    """Square tiles (x0, y0, x1, y1) in pixels that cover the picture, `along` of them along its longer side.

    Neighbours share at least a quarter of their side. Empty where one tile would be the whole picture.
    """
    longer = max(width, height)
    side = -(-longer // max(1.0, along - (along - 1) * OVERLAP))
    side = max(1, int(side))
    if side >= longer:
        return []
    return [
        (x, y, min(x + side, width), min(y + side, height))
        for y in _starts(height, side)
        for x in _starts(width, side)
    ]


def _starts(length: int, side: int) -> list[int]:
    """Where tiles begin along one axis, evenly spaced from edge to edge."""
    if length <= side:
        return [0]
    steps = -(-(length - side) // max(1, int(side * (1 - OVERLAP))))
    return [round(i * (length - side) / steps) for i in range(steps + 1)]


@dataclass(frozen=True)
class Tile:
    """A tile's place and its logits at the picture's own pixels; None where nothing in it is defective."""

    box: Box
    logits: Enlarged | None


def merged(tiles: Sequence[Tile], threshold: float, size: tuple[int, int]) -> Runs:
    """The pixels where the tiles' weighted mean of probabilities reaches the threshold; `size` is (height, width).

    A tile's weight falls linearly to nothing towards those of its edges that lie inside the picture, so the mean is
    continuous and no tile's edge shows in the mask. A tile without a defect counts as probability 0.
    """
    height, width = size
    marking = [tile.box for tile in tiles if tile.logits is not None]
    if not marking:
        return Runs(np.zeros(0, np.int64), np.zeros(0, np.int64), size)
    left, top = min(b[0] for b in marking), min(b[1] for b in marking)
    right, bottom = max(b[2] for b in marking), max(b[3] for b in marking)

    def columns(x0: int, x1: int) -> np.ndarray:
        total = np.zeros((x1 - x0, bottom - top), np.float32)
        weight = np.zeros_like(total)
        for tile in tiles:
            a, b = max(x0, tile.box[0]), min(x1, tile.box[2])
            c, d = max(top, tile.box[1]), min(bottom, tile.box[3])
            if a >= b or c >= d:
                continue
            across = _weights(tile.box[0], tile.box[2], width)[a - tile.box[0] : b - tile.box[0]]
            down = _weights(tile.box[1], tile.box[3], height)[c - tile.box[1] : d - tile.box[1]]
            own = across[:, None] * down
            place = np.s_[a - x0 : b - x0, c - top : d - top]
            weight[place] += own
            if tile.logits is not None:
                rows = slice(c - tile.box[1], d - tile.box[1])
                logits = tile.logits.columns(a - tile.box[0], b - tile.box[0], rows)
                total[place] += own / (1 + np.exp(-np.clip(logits, -80, 80)))
        return total / weight

    return cut(columns, threshold, size, slice(top, bottom), slice(left, right))


def _weights(start: int, end: int, length: int) -> np.ndarray:
    """float32 (end - start,): 1 inside a tile, falling towards its ends but for the picture's own edges."""
    at = np.arange(end - start) + 0.5
    fall = (end - start) * OVERLAP
    weights = np.ones(end - start)
    if start > 0:
        weights = np.minimum(weights, at / fall)
    if end < length:
        weights = np.minimum(weights, at[::-1] / fall)
    return weights.astype(np.float32)
