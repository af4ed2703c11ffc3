"""Label Studio's own run lengths (the rle-pack format of thi.ng/umbrella), decoded.

A stream of bits, the most significant first: the number of values (32 bits), a value's width - 1 (5), four widths - 1
of lengths (4 each); then blocks of: 1 for a run or 0 for single values (1 bit), which of the four widths (2), the
length - 1, and the run's value or each of the single ones.
"""

from typing import Any

import numpy as np

from segment.importers.base import Size, bad_mask

MAX_BYTES = 64_000_000


def brush_mask(rle: Any, size: Size) -> np.ndarray:
    """The bool (h, w) mask of a brush: RGBA values row by row, alpha over 0 is marked; ImageFailure if broken."""
    width, height = size
    if not isinstance(rle, list) or not 8 <= len(rle) <= MAX_BYTES:
        raise bad_mask("a brush's rle is not a list of bytes")
    try:
        bits = np.unpackbits(np.array(rle, dtype=np.uint8))
    except (TypeError, ValueError, OverflowError) as e:
        raise bad_mask("a brush's rle holds something else than bytes") from e
    values = _unpacked(bits, 4 * width * height, bytes(rle))
    return values[3::4].reshape(height, width) > 0


def _unpacked(bits: np.ndarray, expected: int, data: bytes) -> np.ndarray:
    """The uint8 values of a stream; ImageFailure where it does not hold exactly as many as expected."""
    at = 0

    def read(n: int) -> int:
        nonlocal at
        if at + n > len(bits):
            raise bad_mask("a brush's rle is cut off")
        window = int.from_bytes(data[at // 8 : (at + n + 7) // 8])
        value = window >> (-(at + n) % 8) & (1 << n) - 1
        at += n
        return value

    count = read(32)
    if count != expected:
        raise bad_mask(f"a brush's rle has {count} values, but its picture needs {expected}")
    word = read(5) + 1
    if word != 8:
        raise bad_mask(f"a brush's rle has values of {word} bits, not 8")
    widths = [read(4) + 1 for _ in range(4)]
    out = np.empty(count, np.uint8)
    done = 0
    while done < count:
        run = read(1)
        end = done + read(widths[read(2)]) + 1
        if end > count:
            raise bad_mask("a brush's rle has more values than it says")
        if run:
            out[done:end] = read(8)
        else:
            last = at + 8 * (end - done)
            if last > len(bits):
                raise bad_mask("a brush's rle is cut off")
            out[done:end] = np.packbits(bits[at:last])
            at = last
        done = end
    return out
