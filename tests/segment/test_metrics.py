"""Mask metrics against values worked out by hand."""

import numpy as np
import pytest

from segment.metrics import ciou, giou, iou, overlap, pixel_f1


def _square(y: int, x: int, side: int, size: int = 10) -> np.ndarray:
    mask = np.zeros((size, size), bool)
    mask[y : y + side, x : x + side] = True
    return mask


def test_by_hand() -> None:
    half = overlap(_square(0, 0, 4), _square(0, 2, 4))  # 8 in common, 8 on each side alone
    whole = overlap(_square(0, 0, 1), _square(0, 0, 1))
    assert half.iou == pytest.approx(8 / 24)
    assert half.f1 == pytest.approx(0.5)
    assert giou([half, whole]) == pytest.approx((1 / 3 + 1) / 2)
    assert ciou([half, whole]) == pytest.approx(9 / 25)
    assert pixel_f1([half, whole]) == pytest.approx(0.75)


def test_empty_prediction_scores_nothing_on_a_defective_image() -> None:
    empty = np.zeros((10, 10), bool)
    assert iou(empty, _square(1, 1, 3)) == 0
    assert iou(empty, empty) == 1


def test_sizes_must_agree() -> None:
    with pytest.raises(ValueError, match="sizes differ"):
        overlap(np.zeros((2, 3), bool), np.zeros((3, 2), bool))


def test_no_images_is_not_a_number() -> None:
    assert np.isnan([giou([]), ciou([]), pixel_f1([])]).all()
