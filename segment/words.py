"""What a head gets of a description: its embedding, and where in the frame it says that something is wrong.

Places are what words tell of a mask most plainly, and a token in the decoder learns them slowly: it would have to find
out which cells "upper left" are. So the places that a description names (`segment.places`) become a coarse map.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from segment.places import Fractions

GRID = 16
"""Cells along each side of the map of places."""


@dataclass(frozen=True)
class Words:
    """A description: `vector` float32 (width,), see `segment.texts`; `regions` the parts of the picture that it names
    (x0, y0, x1, y1, as fractions of the picture), none where it names no place."""

    vector: np.ndarray
    regions: tuple[Fractions, ...] = ()


def row(words: Words, picture: Fractions) -> np.ndarray:
    """float32 (width + GRID²,): the embedding and the map of places, row by row, as `DefectHead.answer` takes them.

    `picture` tells where in the frame the whole picture lies, as fractions of the frame (below 0 or above 1 where the
    frame shows a part of it). A cell is 1 where its centre lies in a region, else -1; all are 0 without regions.
    """
    places = np.zeros((GRID, GRID), dtype=np.float32)
    if words.regions:
        at = (np.arange(GRID) + 0.5) / GRID
        x = (at - picture[0]) / (picture[2] - picture[0])
        y = (at - picture[1]) / (picture[3] - picture[1])
        places -= 1
        for x0, y0, x1, y1 in words.regions:
            places[np.ix_((y >= y0) & (y <= y1), (x >= x0) & (x <= x1))] = 1
    return np.concatenate([words.vector, places.ravel()])


def silence(width: int) -> np.ndarray:
    """The row of no description, with embeddings of `width`: all zero."""
    return np.zeros(width + GRID**2, dtype=np.float32)


def lies(box: Sequence[int], size: tuple[int, int], taken: tuple[int, int], side: int) -> Fractions:
    """Where in the frame a whole picture of `size` = (height, width) lies, of which the frame shows `box` (x0, y0, x1,
    y1 in pixels) in `taken` = (height, width) of its `side` pixels."""
    x, y = taken[1] / side / (box[2] - box[0]), taken[0] / side / (box[3] - box[1])
    return -box[0] * x, -box[1] * y, (size[1] - box[0]) * x, (size[0] - box[1]) * y
