"""Heatmap metrics: worked by hand, written out naively, and at their edges."""

import math
from itertools import pairwise

import numpy as np
import pytest

from segment.metrics import pixel_auroc
from segment.metrics.heatmaps import EPSILON, HEATMAPS, auc_judd, cc, kld, mse, nss, sim

P = np.array([[0.1, 0.2], [0.3, 0.4]])
G = np.array([[0.0, 0.0], [0.5, 0.5]])


def test_by_hand() -> None:
    assert mse(P, G) == pytest.approx((0.01 + 0.04 + 0.04 + 0.01) / 4)
    # Deviations from the means: P −.15 −.05 .05 .15, G −.25 −.25 .25 .25.
    assert cc(P, G) == pytest.approx(0.1 / math.sqrt(0.05 * 0.25))
    # P sums to 1 as it stands; G becomes 0 0 .5 .5.
    assert kld(P, G) == pytest.approx(0.5 * math.log(0.5 / 0.3) + 0.5 * math.log(0.5 / 0.4))
    assert sim(P, G) == pytest.approx(0.3 + 0.4)
    assert nss(P, G) == pytest.approx(0.1 / math.sqrt(0.05 / 3))
    assert auc_judd(P, G) == pytest.approx(1.0)


def _naive_judd(p: np.ndarray, g: np.ndarray) -> float:
    """The ROC's points one threshold at a time."""
    points = [(0.0, 0.0)]
    for t in sorted(set(p[g > 0].tolist()), reverse=True):
        points.append(((p[g <= 0] >= t).mean(), (p[g > 0] >= t).mean()))
    points.append((1.0, 1.0))
    return sum((b[0] - a[0]) * (a[1] + b[1]) / 2 for a, b in pairwise(points))


@pytest.mark.parametrize("levels", [2, 5, 10**9])
def test_against_naive_ones(levels: int) -> None:
    rng = np.random.default_rng(levels)
    for _ in range(10):
        p = np.floor(rng.random((13, 17)) * levels) / levels
        g = np.clip(rng.random((13, 17)) * 2 - 1.2, 0, 1)
        q, h = p / p.sum(), g / g.sum()
        assert cc(p, g) == pytest.approx(np.corrcoef(p.ravel(), g.ravel())[0, 1])
        assert sim(p, g) == pytest.approx(sum(map(min, q.ravel(), h.ravel())))
        naive = sum(b * math.log(EPSILON + b / (EPSILON + a)) for a, b in zip(q.flat, h.flat, strict=True))
        assert kld(p, g) == pytest.approx(naive)
        z = (p - p.mean()) / p.std(ddof=1)
        assert nss(p, g) == pytest.approx(np.mean([z[i] for i in np.ndindex(g.shape) if g[i] > 0]))
        assert auc_judd(p, g) == pytest.approx(_naive_judd(p, g))
        above = auc_judd(p, g) - pixel_auroc(p, g > 0)
        assert -1e-9 <= above <= 1 / (2 * (g > 0).sum()) + 1e-9 or levels < 10


def test_a_perfect_prediction() -> None:
    assert (mse(G, G), cc(G, G), sim(G, G)) == (0, pytest.approx(1), pytest.approx(1))
    assert kld(G, G) == pytest.approx(0, abs=1e-9) and auc_judd(G, G) == 1


@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
def test_a_constant_prediction_is_chance_and_not_left_out(value: float) -> None:
    flat = np.full((2, 2), value)
    assert (cc(flat, G), nss(flat, G), auc_judd(flat, G)) == (0, 0, 0.5)
    assert sim(flat, G) == (0 if value == 0 else 0.5)
    if value:
        assert kld(flat, G) == pytest.approx(math.log(2))
    else:
        assert kld(flat, G) == pytest.approx(-math.log(EPSILON) - math.log(2))
        assert kld(flat, G, epsilon=1e-8) == pytest.approx(-math.log(1e-8) - math.log(2))


def test_an_empty_golden_map_defines_the_error_alone() -> None:
    empty = np.zeros((2, 2))
    assert mse(P, empty) == pytest.approx(0.075)
    assert all(math.isnan(metric(P, empty)) for name, metric in HEATMAPS.items() if name != "mse")


def test_a_full_golden_map() -> None:
    full = np.ones((2, 2))
    assert math.isnan(cc(P, full)) and math.isnan(auc_judd(P, full))
    assert sim(P, full) == pytest.approx(0.1 + 0.2 + 0.25 + 0.25) and nss(P, full) == pytest.approx(
        0, abs=1e-9
    )


@pytest.mark.parametrize("metric", HEATMAPS.values(), ids=HEATMAPS)
def test_broken_maps_are_refused(metric: object) -> None:
    for bad in (P[:, :1], P[None], P * 3, -P, P * np.nan):
        with pytest.raises(ValueError, match=r"sizes differ|\[0, 1\]"):
            metric(bad, G)  # type: ignore[operator]
