"""Agreement with pycocotools, torchmetrics, scikit-learn, and with the definitions written out pixel by pixel."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as coco
from sklearn.metrics import average_precision_score, roc_auc_score

from segment.metrics import (
    boundary,
    boundary_f,
    iou,
    overlap,
    pixel_ap,
    pixel_auroc,
    region_recall,
    two_class_miou,
)
from segment.metrics.boundary import outline, tolerance
from segment.metrics.regions import components

SHAPE = (37, 53)


def _mask(kind: str, rng: np.random.Generator, shape: tuple[int, int] = SHAPE) -> np.ndarray:
    mask = np.zeros(shape, dtype=bool)
    if kind == "full":
        mask[:] = True
    elif kind == "one":
        mask[tuple(rng.integers(0, shape))] = True
    elif kind == "corner":
        mask[0, 0] = True
    elif kind == "noise":
        mask = rng.random(shape) < 0.3
    elif kind == "blobs":
        y, x = np.ogrid[: shape[0], : shape[1]]
        for _ in range(4):
            (cy, cx), r = rng.integers(0, shape), rng.integers(2, 7)
            mask |= (y - cy) ** 2 + (x - cx) ** 2 <= r * r
    return mask


KINDS = ("empty", "full", "one", "corner", "noise", "blobs")
PAIRS = [
    pytest.param(_mask(a, np.random.default_rng(i)), _mask(b, np.random.default_rng(100 + i)), id=f"{a}-{b}")
    for i, (a, b) in enumerate(itertools.product(KINDS, KINDS))
]
pairs = pytest.mark.parametrize(("predicted", "golden"), PAIRS)


@pairs
def test_iou_is_that_of_coco(predicted: np.ndarray, golden: np.ndarray) -> None:
    if not predicted.any() and not golden.any():
        return  # pycocotools gives 0 there, we 1: nothing marked, and rightly so
    p, g = (coco.encode(np.asfortranarray(m, dtype=np.uint8)) for m in (predicted, golden))
    assert iou(predicted, golden) == pytest.approx(coco.iou([p], [g], [0])[0][0])


@pairs
def test_overlap_is_that_of_torchmetrics(predicted: np.ndarray, golden: np.ndarray) -> None:
    torch = pytest.importorskip("torch")
    functional = pytest.importorskip("torchmetrics.functional.classification")
    p, g = (torch.from_numpy(m.astype(np.int64)) for m in (predicted, golden))
    counts = overlap(predicted, golden)
    if predicted.any() or golden.any():  # for two empty masks it says 0
        assert counts.iou == pytest.approx(float(functional.binary_jaccard_index(p, g)))
        assert counts.f1 == pytest.approx(float(functional.binary_f1_score(p, g)))
        assert counts.precision == pytest.approx(float(functional.binary_precision(p, g)))
        assert counts.recall == pytest.approx(float(functional.binary_recall(p, g)))
    present = {0, 1} <= set(np.unique(np.concatenate([predicted, golden])).tolist())
    if present:
        theirs = functional.multiclass_jaccard_index(p, g, num_classes=2, average="macro")
        assert two_class_miou(counts) == pytest.approx(float(theirs))


def test_dice_is_that_of_torchmetrics_segmentation() -> None:
    torch = pytest.importorskip("torch")
    segmentation = pytest.importorskip("torchmetrics.functional.segmentation")
    rng = np.random.default_rng(7)
    p, g = _mask("blobs", rng), _mask("blobs", rng)
    as_batch = [torch.from_numpy(m.astype(np.int64))[None, None] for m in (p, g)]
    theirs = segmentation.dice_score(*as_batch, num_classes=1, average="micro", input_format="one-hot")
    assert overlap(p, g).f1 == pytest.approx(float(theirs))


@pytest.mark.parametrize("levels", [2, 7, 255, 10**6])
def test_auroc_and_ap_are_those_of_torchmetrics_and_scikit_learn(levels: int) -> None:
    torch = pytest.importorskip("torch")
    functional = pytest.importorskip("torchmetrics.functional.classification")
    rng = np.random.default_rng(levels)
    golden = _mask("blobs", rng)
    soft = (np.round((golden * 0.3 + rng.random(SHAPE) * 0.7) * levels) / levels).astype(np.float32)
    p, g = torch.from_numpy(soft), torch.from_numpy(golden.astype(np.int64))
    assert pixel_auroc(soft, golden) == pytest.approx(float(functional.binary_auroc(p, g)), abs=1e-6)
    assert pixel_ap(soft, golden) == pytest.approx(float(functional.binary_average_precision(p, g)), abs=1e-6)
    assert pixel_auroc(soft, golden) == pytest.approx(roc_auc_score(golden.ravel(), soft.ravel()))
    assert pixel_ap(soft, golden) == pytest.approx(average_precision_score(golden.ravel(), soft.ravel()))


def _naive_outline(mask: np.ndarray) -> set[tuple[int, int]]:
    h, w = mask.shape
    return {
        (y, x)
        for y in range(h)
        for x in range(w)
        for v, u in ((y, x + 1), (y + 1, x), (y + 1, x + 1))
        if v < h and u < w and mask[y, x] != mask[v, u]
    }


def _naive_boundary_f(predicted: np.ndarray, golden: np.ndarray) -> float:
    p, g = _naive_outline(predicted), _naive_outline(golden)
    if not p and not g:
        return float((predicted == golden).all())
    reach = math.ceil(0.008 * math.sqrt(golden.shape[0] ** 2 + golden.shape[1] ** 2))

    def near(a: set[tuple[int, int]], b: set[tuple[int, int]]) -> float:
        hits = sum(any((y - v) ** 2 + (x - u) ** 2 <= reach**2 for v, u in b) for y, x in a)
        return hits / len(a) if a else 0.0

    precision, recall = near(p, g), near(g, p)
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


@pairs
def test_boundary_f_is_as_defined(
    predicted: np.ndarray, golden: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert {(y, x) for y, x in np.argwhere(outline(golden)).tolist()} == _naive_outline(golden)
    expected = _naive_boundary_f(predicted, golden)
    assert boundary_f(predicted, golden) == pytest.approx(expected)
    monkeypatch.setattr(boundary, "_SPARSE", 0)  # as long outlines are compared, here in tiles of 16 pixels
    monkeypatch.setattr(boundary, "_TILE", 16)
    assert boundary_f(predicted, golden) == pytest.approx(expected)


def test_boundary_tolerance_by_hand() -> None:
    """0.8 % of the diagonal, rounded up: of 640 × 480 (diagonal 800) 7 pixels, and a shift of one more is missed."""
    assert tolerance((480, 640)) == 7
    wide = np.zeros((480, 640), dtype=bool)
    wide[:, :300] = True
    for shift, f in ((7, 1.0), (8, 0.0)):
        moved = np.zeros_like(wide)
        moved[:, : 300 + shift] = True
        assert boundary_f(moved, wide) == f


def _flood(mask: np.ndarray) -> list[set[tuple[int, int]]]:
    left, found = {(int(y), int(x)) for y, x in np.argwhere(mask)}, []
    while left:
        region, ahead = set(), [left.pop()]
        while ahead:
            y, x = ahead.pop()
            region.add((y, x))
            near = {(y + i, x + j) for i in (-1, 0, 1) for j in (-1, 0, 1)} & left
            left -= near
            ahead += near
        found.append(region)
    return found


def _most_matched(links: list[set[int]]) -> int:
    """The size of the largest one-to-one matching, by trying."""
    if not links:
        return 0
    first, rest = links[0], links[1:]
    return max([_most_matched(rest), *(1 + _most_matched([more - {p} for more in rest]) for p in first)])


@pairs
def test_region_recall_is_as_defined(predicted: np.ndarray, golden: np.ndarray) -> None:
    mine, theirs = _flood(predicted), _flood(golden)
    assert components(golden)[1] == len(theirs)
    for threshold, value in region_recall(predicted, golden).items():
        links = [{i for i, p in enumerate(mine) if len(p & g) / len(p | g) >= threshold} for g in theirs]
        if not theirs:
            assert math.isnan(value)
        else:
            assert value == pytest.approx(_most_matched([x for x in links if x]) / len(theirs))


def test_a_region_is_found_once_only() -> None:
    """Two halves of a golden region both reach IoU .5 with it: that is one region found, not two."""
    golden, halves = np.zeros((4, 10), bool), np.zeros((4, 10), bool)
    golden[1:3, 1:9] = True
    halves[1:3, 1:5] = True
    assert region_recall(halves, golden) == {0.3: 1.0, 0.5: 1.0}
    both = np.zeros((9, 9), bool)
    both[0, 0:4] = both[4, 0:4] = True
    bridge = np.zeros((9, 9), bool)
    bridge[0:5, 0:4] = True
    assert region_recall(bridge, both) == {0.3: 0.0, 0.5: 0.0}  # 4 of 20 pixels each


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**24 - 1), st.integers(0, 2**24 - 1))
def test_everything_lies_in_its_range_and_equal_masks_are_best(a: int, b: int) -> None:
    p, g = (np.array([n >> i & 1 for i in range(24)], dtype=bool).reshape(4, 6) for n in (a, b))
    counts = overlap(p, g)
    figures = [
        counts.iou,
        counts.f1,
        counts.precision,
        counts.recall,
        two_class_miou(counts),
        boundary_f(p, g),
    ]
    assert all(0 <= f <= 1 for f in figures)
    assert counts.iou <= counts.f1
    same = overlap(g, g)
    assert (same.iou, same.f1, two_class_miou(same), boundary_f(g, g)) == (1, 1, 1, 1)
    assert all(f == 1 or math.isnan(f) for f in region_recall(g, g).values())


@pytest.mark.parametrize("metric", [iou, boundary_f, region_recall, pixel_auroc, pixel_ap])
def test_other_sizes_and_types_are_refused(metric: object) -> None:
    golden = np.zeros((3, 4), bool)
    first = np.zeros((3, 4), np.float32) if metric in (pixel_auroc, pixel_ap) else golden
    with pytest.raises(ValueError, match="sizes differ"):
        metric(first[:, :3], golden)  # type: ignore[operator]
    with pytest.raises(ValueError, match="sizes differ"):
        metric(first[..., None], golden[..., None])  # type: ignore[operator]
