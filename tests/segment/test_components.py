"""Regions found on runs are those that labelling every pixel finds."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from flawscribe.records import RLE
from segment.components import components
from segment.rle import Runs, area_of, box_of, decode, decode_runs, encode, encode_runs, union

MASKS = arrays(bool, st.tuples(st.integers(1, 24), st.integers(1, 24)))


@settings(deadline=None, max_examples=300)
@given(MASKS)
def test_regions_are_those_of_every_pixel_labelled(mask: np.ndarray) -> None:
    labels, n = ndimage.label(mask, structure=np.ones((3, 3)))
    found = components(encode(mask), most=1000)
    assert len(found) == n
    slow = {(labels == i + 1).tobytes() for i in range(n)}
    assert {decode(instance.rle).tobytes() for instance in found} == slow
    for instance in found:
        part = decode(instance.rle)
        ys, xs = np.nonzero(part)
        assert instance.box == (xs.min(), ys.min(), xs.max() + 1, ys.max() + 1)
        assert instance.area == part.mean()
    areas = [instance.area for instance in found]
    assert areas == sorted(areas, reverse=True)


def test_only_the_largest_are_kept() -> None:
    mask = np.zeros((20, 20), bool)
    mask[::2, ::2] = True
    mask[10:14, 10:14] = True
    found = components(encode(mask), most=3)
    assert len(found) == 3
    assert found[0].area > 16 / 400
    assert components(None) == ()
    assert components(RLE(size=(2, 2), counts="4")) == ()  # four unmarked pixels


@given(MASKS)
def test_runs_round_trip(mask: np.ndarray) -> None:
    if (rle := encode(mask)) is None:
        assert encode_runs(Runs(np.zeros(0, int), np.zeros(0, int), mask.shape)) is None
        return
    runs = decode_runs(rle)
    assert (runs.starts < runs.ends).all() and (runs.starts[1:] > runs.ends[:-1]).all()
    assert encode_runs(runs) == rle
    assert area_of(rle) == mask.sum()


@given(st.lists(arrays(bool, (9, 7)), max_size=5))
def test_union_is_that_of_the_pixels(masks: list[np.ndarray]) -> None:
    whole = np.any(masks, axis=0) if masks else np.zeros((9, 7), bool)
    merged = union([rle for mask in masks if (rle := encode(mask))])
    assert (decode(merged) == whole).all() if merged else not whole.any()
    if merged:
        ys, xs = np.nonzero(whole)
        assert box_of(merged) == (xs.min(), ys.min(), xs.max() + 1, ys.max() + 1)
