"""Figures over many images: means and ratios of sums, with intervals over whole images."""

import re
from pathlib import Path

import numpy as np
import pytest

from flawscribe import statistics
from segment.metrics import ciou, giou, pixel_f1
from segment.metrics.cards import CARDS, as_markdown
from segment.metrics.figures import FIGURES, Figures
from segment.metrics.heatmaps import HEATMAPS
from segment.metrics.scored import Scored, Target


def _box(y: int, x: int, h: int, w: int, size: int = 20) -> np.ndarray:
    mask = np.zeros((size, size), bool)
    mask[y : y + h, x : x + w] = True
    return mask


def _collect(scored: list[Scored]) -> Figures:
    figures = Figures()
    for one in scored:
        figures.add(one)
    return figures


@pytest.fixture
def scored() -> list[Scored]:
    rng = np.random.default_rng(0)
    found = []
    for _ in range(25):
        y, x, h, w = rng.integers(1, 9, 4)
        golden = _box(y, x, h, w) | _box(15, 15, 2, 2)
        found.append(Target(golden).score(_box(y + rng.integers(0, 3), x, h, w)))
    return found


def test_by_hand() -> None:
    """A 4 × 4 square moved by 2 (8 of 24 pixels common), and a pixel that is found, of 100 each."""
    half = Target(_box(0, 0, 4, 4, 10)).score(_box(0, 2, 4, 4, 10))
    one = Target(_box(5, 5, 1, 1, 10)).score(_box(5, 5, 1, 1, 10))
    found = {name: e.value for name, e in _collect([half, one]).estimates().items()}
    expected = {
        "giou": (1 / 3 + 1) / 2,
        "ciou": 9 / 25,
        "miou_2class": ((1 / 3 + 76 / 92) / 2 + 1) / 2,
        "miou_2class_cumulative": (9 / 25 + 175 / 191) / 2,
        "pixel_precision": 0.75,
        "pixel_precision_cumulative": 9 / 17,
        "pixel_recall": 0.75,
        "pixel_recall_cumulative": 9 / 17,
        "pixel_f1": 0.75,
        "pixel_f1_cumulative": 18 / 34,
        "region_recall_30": 1.0,
        "region_recall_50": 0.5,
        "region_recall_50_cumulative": 0.5,
        "region_recall_50_1_to_5": 1.0,
        "region_recall_50_over_5": 0.0,
        "region_recall_30_over_5": 1.0,
    }
    assert {name: found[name] for name in expected} == pytest.approx(expected)
    assert found["region_recall_30_under_1"] is None


def test_they_are_the_plain_functions_figures(scored: list[Scored]) -> None:
    overlaps = [s.overlap for s in scored]
    found = _collect(scored).estimates()
    assert found["giou"].value == pytest.approx(giou(overlaps))
    assert found["ciou"].value == pytest.approx(ciou(overlaps))
    assert found["pixel_f1"].value == pytest.approx(pixel_f1(overlaps))
    assert found["boundary_f"].value == pytest.approx(np.mean([s.boundary.f for s in scored]))


def test_intervals_are_the_bootstraps(scored: list[Scored]) -> None:
    """The same resamples as `statistics.bootstrap` draws, numerator and denominator of an image together."""
    found = _collect(scored).estimates()
    both = np.array([s.overlap.both for s in scored], float)
    union = np.array([s.overlap.union for s in scored], float)
    plain = statistics.bootstrap(lambda b, u: float(b.sum() / u.sum()), both, union)
    assert found["ciou"] == pytest.approx(plain) or (found["ciou"].low, found["ciou"].high) == pytest.approx(
        (plain.low, plain.high)
    )
    mean = statistics.mean([s.overlap.iou for s in scored])
    assert (found["giou"].low, found["giou"].high, found["giou"].n) == pytest.approx(
        (mean.low, mean.high, 25)
    )


def test_resampling_in_parts_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    columns = np.random.default_rng(0).random((50, 3))
    whole = statistics.resampled_sums(columns)
    monkeypatch.setattr(statistics, "_HELD", 999)
    assert statistics.resampled_sums(columns) == pytest.approx(whole)


def test_a_part_of_the_images(scored: list[Scored]) -> None:
    figures = _collect(scored)
    assert figures.estimates([3, 5]) == _collect([scored[3], scored[5]]).estimates()
    assert figures.estimates([])["giou"].value is None
    assert Figures().estimates()["ciou"].n == 0


def test_baselines() -> None:
    """What the empty and the full mask get, of a golden mask of 4 % of the picture in one region."""
    target = Target(_box(2, 2, 4, 4))
    empty = {n: e.value for n, e in _collect([target.empty()]).estimates().items()}
    full = {n: e.value for n, e in _collect([target.full()]).estimates().items()}
    assert empty["giou"] == empty["pixel_f1"] == empty["boundary_f"] == empty["region_recall_30"] == 0
    assert empty["miou_2class"] == pytest.approx(0.48)
    assert full["giou"] == pytest.approx(0.04) and full["pixel_recall"] == 1
    assert full["miou_2class"] == pytest.approx(0.02)
    assert full["boundary_f"] == full["region_recall_30"] == 0


def test_empty_and_full_golden_masks() -> None:
    for mask in (np.zeros((5, 5), bool), np.ones((5, 5), bool)):
        target = Target(mask)
        right, wrong = target.score(mask).figures(), target.score(~mask).figures()
        for name in ("iou", "miou_2class", "pixel_precision", "pixel_recall", "pixel_f1", "boundary_f"):
            assert (right[name], wrong[name]) == (1, 0)
    assert Target(np.zeros((5, 5), bool)).score(np.ones((5, 5), bool)).figures()["region_recall_30"] is None


def test_sizes_of_defects() -> None:
    """Under 1 %, 1 to 5 % with both ends, over 5 %."""
    sizes = {n: Target(np.arange(1000).reshape(25, 40) < n).size for n in (9, 10, 50, 51)}
    assert sizes == {9: 0, 10: 1, 50: 1, 51: 2}


def test_every_figure_has_its_card() -> None:
    named = {name for name in FIGURES if not name.endswith(("_under_1", "_1_to_5", "_over_5"))}
    soft = {f"pixel_{name}{of}" for name in ("auroc", "ap") for of in ("", "_cumulative")}
    assert CARDS.keys() == named | soft | set(HEATMAPS) | {
        "giou_all",
        "clean_marked",
        "false_area",
        "mse_empty",
    }
    for name, card in CARDS.items():
        assert card.direction in ("higher is better", "lower is better") and f"`{name}`" in as_markdown()
        assert card.low is None or card.high is None or card.low < card.high
        assert all([card.title, card.formula, card.over, card.range, card.empty_golden, card.source])


def test_the_page_shows_the_cards_and_what_its_example_prints(capsys: pytest.CaptureFixture[str]) -> None:
    text = (Path(__file__).parents[2] / "docs/metrics.md").read_text(encoding="utf-8")
    assert text.endswith(as_markdown())
    found = re.search(r"^```python\n(.*?)^```\n\n^```text\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    assert found
    exec(found[1], {})
    assert capsys.readouterr().out == found[2]
