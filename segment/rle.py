"""COCO run-length masks, and the same runs as arrays: small however large the picture is.

COCO counts pixels down the columns: pixel (y, x) of a mask of height h has the number x * h + y.
"""

from dataclasses import dataclass

import numpy as np
from pycocotools import mask as coco

from flawscribe.records import RLE

_MOST_PIXELS = 2**28


@dataclass(frozen=True)
class Runs:
    """A mask's marked runs: `starts` and `ends` (n,) int64, ends exclusive, ascending, none touching the next.

    Their numbers are COCO's (see the module); `size` is (height, width).
    """

    starts: np.ndarray
    ends: np.ndarray
    size: tuple[int, int]

    @property
    def area(self) -> int:
        """Marked pixels."""
        return int((self.ends - self.starts).sum())

    @classmethod
    def joined(cls, starts: np.ndarray, ends: np.ndarray, size: tuple[int, int]) -> "Runs":
        """From ascending runs of which some may touch: one column's end and the next one's beginning."""
        apart = starts[1:] != ends[:-1]
        first, last = np.r_[True, apart], np.r_[apart, True]
        return cls(starts[first[: len(starts)]], ends[last[: len(ends)]], size)


def encode(mask: np.ndarray) -> RLE | None:
    """A bool (h, w) mask as RLE, None where it is empty."""
    if not mask.any():
        return None
    rle = coco.encode(np.asfortranarray(mask, dtype=np.uint8))
    height, width = rle["size"]
    return RLE(size=(height, width), counts=rle["counts"].decode("ascii"))


def encode_runs(runs: Runs) -> RLE | None:
    """Runs as RLE, None where there is none; the same as `encode` of the mask itself."""
    if not len(runs.starts):
        return None
    height, width = runs.size
    edges = np.empty(2 * len(runs.starts) + 1, dtype=np.int64)
    edges[0], edges[1::2], edges[2::2] = 0, runs.starts, runs.ends
    counts = np.diff(edges)
    if (rest := height * width - int(runs.ends[-1])) > 0:
        counts = np.append(counts, rest)
    rle = coco.frPyObjects({"size": [height, width], "counts": counts.tolist()}, height, width)
    return RLE(size=(height, width), counts=rle["counts"].decode("ascii"))


def decode(rle: RLE) -> np.ndarray:
    """The bool (h, w) mask of an RLE; ValueError where its runs do not fill its size."""
    height, width = rle.size
    _checked(rle)  # pycocotools trusts the runs: hostile counts would write out of bounds
    return coco.decode({"size": [height, width], "counts": rle.counts.encode("ascii")}).astype(bool)


def decode_runs(rle: RLE) -> Runs:
    """The runs of an RLE; ValueError where they do not fill its size."""
    edges = np.cumsum([0, *_checked(rle)], dtype=np.int64)
    starts, ends = edges[1:-1:2], edges[2::2]
    some = starts < ends
    return Runs.joined(starts[some], ends[some], rle.size)


def union(rles: list[RLE]) -> RLE | None:
    """What any of the masks of one picture marks, None where none does; ValueError for damaged ones, or other sizes.

    No mask is unpacked: memory does not grow with the picture.
    """
    if len({rle.size for rle in rles}) > 1:
        raise ValueError(f"masks of different sizes: {sorted({rle.size for rle in rles})}")
    for rle in rles:
        _checked(rle)
    if not rles:
        return None
    merged = coco.merge([_coco(rle) for rle in rles])
    return RLE(size=rles[0].size, counts=merged["counts"].decode("ascii")) if coco.area(merged) else None


def shared(rle: RLE, others: list[RLE]) -> np.ndarray:
    """(n,) float64: the share of `rle`'s pixels that each of the others marks too, in [0, 1]."""
    return coco.iou([_coco(rle)], [_coco(o) for o in others], [1] * len(others))[0] if others else np.zeros(0)


def box_of(rle: RLE) -> tuple[float, float, float, float]:
    """(x0, y0, x1, y1) of the marked pixels, in pixels, x1 and y1 exclusive."""
    x, y, width, height = (float(v) for v in coco.toBbox(_coco(rle)))
    return x, y, x + width, y + height


def area_of(rle: RLE) -> int:
    """The number of marked pixels."""
    return int(coco.area(_coco(rle)))


def _coco(rle: RLE) -> dict[str, object]:
    return {"size": list(rle.size), "counts": rle.counts.encode("ascii")}


def _checked(rle: RLE) -> list[int]:
    """The lengths of the runs, unmarked and marked in turns; ValueError where they do not fill the mask's size."""
    height, width = rle.size
    if height <= 0 or width <= 0 or height * width > _MOST_PIXELS:
        raise ValueError(f"mask of impossible size {height}x{width}")
    lengths = _lengths(rle.counts)
    if sum(lengths) != height * width:
        raise ValueError(f"mask's runs do not add up to {height}x{width}")
    return lengths


def _lengths(counts: str) -> list[int]:
    """The runs of COCO's compressed counts (LEB128-like, 5 bits a character, delta-coded)."""
    runs: list[int] = []
    at = 0
    while at < len(counts):
        value, shift, more = 0, 0, True
        while more:
            if at == len(counts) or shift > 50:
                raise ValueError("mask's runs are cut off")
            code = ord(counts[at]) - 48
            if not 0 <= code < 64:
                raise ValueError("mask's runs hold a character that COCO does not use")
            value |= (code & 0x1F) << shift
            more = bool(code & 0x20)
            at, shift = at + 1, shift + 5
            if not more and code & 0x10:
                value -= 1 << shift
        if len(runs) > 2:
            value += runs[-2]
        if value < 0:
            raise ValueError("mask has a negative run")
        runs.append(value)
    return runs
