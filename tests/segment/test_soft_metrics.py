"""Pixel AUROC and AP over many images: binned, bounded in error and in memory, with intervals over images."""

import numpy as np
import pytest

from segment.metrics import SoftScores, pixel_ap, pixel_auroc
from segment.metrics.soft import BINS, ap_error, ap_of, auroc_error, auroc_of, bins_of, histogram


def _maps(rng: np.random.Generator, sharp: float, size: int = 40) -> tuple[np.ndarray, np.ndarray]:
    """A probability map as a sigmoid gives it, and the golden mask that it knows something of."""
    golden = np.zeros((size, size), dtype=bool)
    y, x = rng.integers(0, size - 10, 2)
    golden[y : y + 10, x : x + 10] = True
    logits = sharp * (golden * 2.0 - 1.5 + rng.normal(0, 1, golden.shape))
    return (1 / (1 + np.exp(-logits))).astype(np.float32), golden


def test_bins_keep_the_order_and_every_value_of_8_bits() -> None:
    values = np.sort(np.random.default_rng(0).random(200_000, dtype=np.float32))
    assert (np.diff(bins_of(values)) >= 0).all()
    assert len(set(bins_of(np.arange(256, dtype=np.float32) / np.float32(255)).tolist())) == 256
    assert bins_of(np.array([0.0, 2.0**-20, 1.0 - 2.0**-20, 1.0])).tolist() == [0, 0, BINS - 1, BINS - 1]
    assert bins_of(values).min() >= 0 and bins_of(values).max() < BINS


@pytest.mark.parametrize("sharp", [0.01, 1.0, 4.0, 30.0])
def test_binned_figures_lie_within_their_error_of_the_exact_ones(sharp: float) -> None:
    for seed in range(10):
        soft, golden = _maps(np.random.default_rng(seed), sharp)
        counts = histogram(soft, golden)
        assert abs(auroc_of(counts) - pixel_auroc(soft, golden)) <= auroc_error(counts) + 1e-9
        assert abs(ap_of(counts) - pixel_ap(soft, golden)) <= ap_error(counts) + 1e-9
        if sharp in (1.0, 4.0):  # neither within a bin's width of each other, nor beyond the outermost
            assert auroc_error(counts) < 0.005 and ap_error(counts) < 0.05


def test_the_error_is_not_smaller_than_the_worst_order_within_a_bin() -> None:
    """All values in one bin: golden pixels above, or below, all others."""
    golden = np.zeros((10, 10), bool)
    golden[:3] = True
    for sign in (1, -1):
        soft = np.where(golden, 0.3 + sign * 1e-6, 0.3).astype(np.float32)
        counts = histogram(soft, golden)
        assert (counts.sum(0) > 0).sum() == 1
        assert abs(pixel_auroc(soft, golden) - auroc_of(counts)) == pytest.approx(auroc_error(counts))
        assert abs(pixel_ap(soft, golden) - ap_of(counts)) <= ap_error(counts)
    last = np.where(golden, 0.3 - 1e-7 * np.arange(1, 101).reshape(10, 10), 0.3 + 1e-6)
    one_by_one = sum(i / (70 + i) for i in range(1, 31)) / 30
    assert pixel_ap(last, golden) == pytest.approx(one_by_one)
    assert max(1 - 0.3, 0.3 - one_by_one) == pytest.approx(ap_error(histogram(last, golden)))


def test_values_of_8_bits_are_exact() -> None:
    rng = np.random.default_rng(3)
    scores, pooled = SoftScores(), []
    for _ in range(5):
        soft, golden = _maps(rng, 2.0)
        soft = np.round(soft * 255).astype(np.float32) / np.float32(255)
        own = scores.add(soft, golden)
        assert own["pixel_auroc"] == pytest.approx(pixel_auroc(soft, golden))
        assert own["pixel_ap"] == pytest.approx(pixel_ap(soft, golden))
        pooled.append((soft, golden))
    soft, golden = (np.concatenate([p[i] for p in pooled]) for i in (0, 1))
    found = scores.estimates()
    assert found["pixel_auroc_cumulative"][0].value == pytest.approx(pixel_auroc(soft, golden))
    assert found["pixel_ap_cumulative"][0].value == pytest.approx(pixel_ap(soft, golden))
    mean = np.mean([pixel_ap(*p) for p in pooled])
    assert found["pixel_ap"][0].value == pytest.approx(mean) and found["pixel_ap"][1] is None


def test_the_interval_is_the_bootstraps_over_images() -> None:
    """Against images drawn again with replacement and pooled, the plain way."""
    rng = np.random.default_rng(1)
    images = [_maps(rng, rng.choice([0.2, 1.0, 4.0]), 24) for _ in range(30)]
    scores = SoftScores()
    for soft, golden in images:
        scores.add(soft, golden)
    counts = np.array([histogram(*image) for image in images])
    drawn = [auroc_of(counts[rng.integers(0, 30, 30)].sum(0)) for _ in range(1000)]
    estimate, error = scores.estimates()["pixel_auroc_cumulative"]
    assert estimate.n == 30 and error is not None
    assert (estimate.low, estimate.high) == pytest.approx(tuple(np.percentile(drawn, [2.5, 97.5])), abs=0.01)


def test_what_is_not_defined_is_left_out() -> None:
    scores = SoftScores()
    soft = np.full((4, 4), 0.5, np.float32)
    assert scores.add(soft, np.ones((4, 4), bool)) == {"pixel_auroc": None, "pixel_ap": 1.0}
    assert scores.add(soft, np.zeros((4, 4), bool)) == {"pixel_auroc": None, "pixel_ap": None}
    found = scores.estimates()
    assert found["pixel_auroc"][0].value is None and found["pixel_auroc"][0].n == 0
    assert found["pixel_auroc_cumulative"][0].value == 0.5
    assert SoftScores().estimates()["pixel_ap_cumulative"][0].value is None


def test_memory_does_not_grow_with_the_images() -> None:
    import tracemalloc

    soft, golden = _maps(np.random.default_rng(0), 1.0, 256)
    scores = SoftScores()
    for _ in range(40):
        scores.add(soft, golden)
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    for _ in range(200):
        scores.add(soft, golden)
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert after - before < 2_000_000  # the maps and masks of 200 images are 65 MB


@pytest.mark.parametrize("bad", [-0.1, 1.1, float("nan"), float("inf")])
def test_no_probabilities_are_refused(bad: float) -> None:
    soft = np.full((3, 3), 0.5)
    soft[1, 1] = bad
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        SoftScores().add(soft, np.eye(3, dtype=bool))
    with pytest.raises(ValueError, match="floats"):
        SoftScores().add(np.ones((3, 3), np.uint8), np.eye(3, dtype=bool))
