"""Explanations against the golden descriptions, and quality against the golden scores."""

from collections import Counter
from typing import Any

import numpy as np

from flawscribe import statistics
from report.estimates import absent, entry, nothing
from report.join import Joined, judgeable

CRITERIA = ("completeness", "precision")


class Texts:
    """Collects the judge's verdicts, then computes. Flawless images count in detection, not here."""

    def __init__(self, judged: bool) -> None:
        self._judged = judged
        self._scores: list[tuple[float | None, float | None]] = []
        self._unscored = Counter[str]()
        self._reasons = Counter[str]()
        self._failed = self._judgeable = self._golden_defective = 0

    def add(self, j: Joined) -> None:
        """Take in a sample; only golden-defective ones with a golden text count here."""
        if j.sample is None or j.sample.golden is None or not j.sample.golden.defective:
            return
        self._golden_defective += 1
        if not judgeable(j.sample):
            return
        self._judgeable += 1
        if j.completeness is None or j.precision is None:
            self._failed += 1
            return
        for verdict in (j.completeness, j.precision):
            if verdict.score is None:
                self._unscored[verdict.criterion] += 1
                self._reasons[(verdict.reason or "no reason given")[:200]] += 1
        self._scores.append((j.completeness.score, j.precision.score))

    def result(self) -> dict[str, Any]:
        """The section `texts` of metrics.json."""
        if not self._judgeable:
            return absent("no golden-defective sample has a golden description")
        if not self._judged:
            return absent("the descriptions were not judged")
        table = np.array(self._scores, dtype=float).reshape(-1, 2)
        result: dict[str, Any] = {
            "n_golden_defective": self._golden_defective,
            "without_reference": self._golden_defective - self._judgeable,
            "unscored_reasons": dict(self._reasons.most_common(20)),
        }
        for at, name in enumerate(CRITERIA):
            known = table[~np.isnan(table[:, at]), at]
            more = {"unscored": self._unscored[name]}
            result[name] = (
                entry(statistics.mean(known), self._failed, **more)
                if len(known)
                else nothing("no description was scored", self._failed, **more)
            )
        result["explanation_score"] = self._explanation(table)
        return result

    def _explanation(self, table: np.ndarray) -> dict[str, Any]:
        """The mean of the two means, with images resampled whole; n counts those that have either score."""
        table = table[~np.isnan(table).all(axis=1)]
        unscored = sum(self._unscored.values())
        if np.isnan(table).all(axis=0).any() or not len(table):
            return nothing("no description was scored by both criteria", self._failed, unscored=unscored)

        def mean_of_means(rows: np.ndarray) -> float:
            chosen = table[rows.astype(int)]
            known = ~np.isnan(chosen)
            if not known.any(axis=0).all():
                return float("nan")
            return float(np.mean([chosen[known[:, at], at].mean() for at in (0, 1)]))

        estimate = statistics.bootstrap(mean_of_means, np.arange(len(table)))
        return entry(estimate, self._failed, unscored=unscored)


class Quality:
    """Collects predicted and golden quality, then correlates: with the description's help, and the head's alone."""

    def __init__(self, segmented: bool) -> None:
        self._segmented = segmented
        self._scores: list[tuple[float, float, float]] = []
        self._failed = self._golden = 0

    def add(self, j: Joined) -> None:
        """Take in a sample; those without a golden quality do not count here."""
        golden = j.sample.golden if j.sample else None
        if golden is None or golden.quality is None:
            return
        self._golden += 1
        if j.prediction is None:
            self._failed += 1
        elif j.quality is not None and j.prediction.quality is not None:
            self._scores.append((j.quality, j.prediction.quality, golden.quality))

    def result(self) -> dict[str, Any]:
        """The section `quality` of metrics.json."""
        if not self._golden:
            return absent("no sample has a golden quality score")
        if not self._segmented:
            return absent("the run holds no quality predictions (the mask head gives them)")
        if not self._scores:
            return absent(f"none of {self._golden} samples with a golden score has a predicted one")
        *predictions, golden = np.array(self._scores).T
        figures = {}
        for suffix, predicted in zip(("", "_raw"), predictions, strict=True):
            figures[f"srcc{suffix}"] = entry(statistics.srcc(predicted, golden), self._failed)
            figures[f"plcc{suffix}"] = entry(statistics.plcc(predicted, golden), self._failed)
        return {
            **figures,
            "without_prediction": self._golden - self._failed - len(self._scores),
        }
