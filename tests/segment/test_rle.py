"""COCO RLE: what is encoded comes back, and hostile runs are refused before pycocotools sees them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from flawscribe.records import RLE
from segment.rle import decode, encode


@given(arrays(bool, st.tuples(st.integers(1, 40), st.integers(1, 40))))
def test_round_trip(mask: np.ndarray) -> None:
    rle = encode(mask)
    if not mask.any():
        assert rle is None
    else:
        assert rle is not None and rle.size == mask.shape
        assert (decode(rle) == mask).all()


def test_long_runs_round_trip() -> None:
    mask = np.zeros((3000, 2000), bool)
    mask[100:2900, 5:1999] = True
    rle = encode(mask)
    assert rle is not None
    assert (decode(rle) == mask).all()


@pytest.mark.parametrize(
    ("size", "counts"),
    [
        ((4, 4), "0"),  # too short
        ((4, 4), "PPPPPP1"),  # far too long
        ((4, 4), "o"),  # cut off in a number
        ((4, 4), "\x01"),  # not COCO's alphabet
        ((4, 4), "é"),
        ((0, 4), "0"),
        ((-4, 4), "0"),
        ((2**20, 2**20), "0"),
        ((4, 4), ""),
    ],
)
def test_hostile_runs_are_value_errors(size: tuple[int, int], counts: str) -> None:
    with pytest.raises(ValueError):
        decode(RLE(size=size, counts=counts))


@given(st.text(alphabet=[chr(c) for c in range(48, 112)], max_size=30))
def test_any_runs_decode_to_their_size_or_are_refused(counts: str) -> None:
    try:
        mask = decode(RLE(size=(5, 7), counts=counts))
    except ValueError:
        return
    assert mask.shape == (5, 7)
