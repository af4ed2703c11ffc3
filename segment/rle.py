"""COCO run-length masks through pycocotools."""

import numpy as np
from pycocotools import mask as coco

from flawscribe.records import RLE


def encode(mask: np.ndarray) -> RLE | None:
    """A bool (h, w) mask as RLE, None where it is empty."""
    if not mask.any():
        return None
    rle = coco.encode(np.asfortranarray(mask, dtype=np.uint8))
    height, width = rle["size"]
    return RLE(size=(height, width), counts=rle["counts"].decode("ascii"))


def decode(rle: RLE) -> np.ndarray:
    """The bool (h, w) mask of an RLE; ValueError where its runs do not fill its size."""
    height, width = rle.size
    if height <= 0 or width <= 0 or height * width > 2**28:
        raise ValueError(f"mask of impossible size {height}x{width}")
    # pycocotools trusts the runs: their sum is checked first, or hostile counts write out of bounds.
    if _pixels(rle.counts) != height * width:
        raise ValueError(f"mask's runs do not add up to {height}x{width}")
    return coco.decode({"size": [height, width], "counts": rle.counts.encode("ascii")}).astype(bool)


def _pixels(counts: str) -> int:
    """The number of pixels of COCO's compressed counts (LEB128-like, 5 bits a character, delta-coded)."""
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
    return sum(runs)
