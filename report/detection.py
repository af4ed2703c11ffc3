"""Detection: the describing model's yes or no and its probability, and the mask head's own probability."""

from typing import Any

import numpy as np

from flawscribe import statistics
from report.estimates import absent, entry, nothing
from report.join import Joined
from report.reliability import believed

BINS = 20
ROC_POINTS = 200


class Detection:
    """Collects what detection needs of each sample (a few numbers), then computes."""

    def __init__(self, described: bool, segmented: bool) -> None:
        self._described, self._segmented = described, segmented
        self._golden: list[tuple[bool, str]] = []
        self._labels: list[bool] = []
        self._yes: list[bool] = []
        self._p: list[float | None] = []
        self._head: list[tuple[bool, float]] = []
        self._failed = {True: 0, False: 0}
        self._head_failed = self._head_silent = 0

    def add(self, j: Joined) -> None:
        """Take in a sample; those without a golden label do not count here."""
        if j.sample is None or j.sample.golden is None:
            return
        label = j.sample.golden.defective
        self._golden.append((label, j.id))
        if j.description is not None:
            self._labels.append(label)
            self._yes.append(j.description.defective)
            self._p.append(j.description.p_defective)
        else:
            self._failed[label] += self._described
        p_mask = j.prediction.p_mask if j.prediction else None
        if p_mask is not None:
            self._head.append((label, p_mask))
        elif j.prediction is not None:
            self._head_silent += 1
        else:
            self._head_failed += self._segmented

    def result(self) -> dict[str, Any]:
        """The section `detection` of metrics.json."""
        if not self._golden:
            return absent("no sample has a golden label")
        result: dict[str, Any] = {
            "n_defective": sum(label for label, _ in self._golden),
            "n_clean": sum(not label for label, _ in self._golden),
        }
        return {**result, **self._description(), **self._mask_head()}

    def _description(self) -> dict[str, Any]:
        failed = sum(self._failed.values())
        if not self._described or not self._labels:
            why = (
                "no sample with a golden label has a description"
                if self._described
                else "the run holds no descriptions"
            )
            names = ("auc", "auc_yes_no", "f1", "precision", "recall", "false_positive_rate", "accuracy")
            return {
                **{name: nothing(why, failed) for name in (*names, "ece", "brier")},
                "auc_from": None,
                "roc": [],
                "reliability": absent(why),
            }
        labels, yes = np.array(self._labels), np.array(self._yes)
        without = sum(p is None for p in self._p)
        scores = yes.astype(float) if without else np.array(self._p, dtype=float)
        return {
            "auc": entry(statistics.auc(labels, scores), failed),
            "auc_from": "yes/no" if without else "probability",
            "without_probability": without,
            "auc_yes_no": entry(statistics.auc(labels, yes.astype(float)), failed),
            "f1": entry(statistics.f1(labels, yes), failed),
            "precision": _share(labels[yes], failed, "nothing was called defective"),
            "recall": _share(yes[labels], self._failed[True], "no defective image was described"),
            "false_positive_rate": _share(yes[~labels], self._failed[False], "no clean image was described"),
            "accuracy": _share(labels == yes, failed, ""),
            **believed(labels, self._p, failed),
            "roc": roc(labels, scores),
            "histogram": None if without else histogram(labels, scores),
        }

    def _mask_head(self) -> dict[str, Any]:
        if not self._head:
            why = "the mask head gave no probability" if self._segmented else "the run holds no masks"
            return {"auc_mask": nothing(why, self._head_failed), "roc_mask": []}
        labels = np.array([label for label, _ in self._head])
        scores = np.array([p for _, p in self._head])
        more = {"without_probability": self._head_silent}
        return {
            "auc_mask": entry(statistics.auc(labels, scores), self._head_failed, **more),
            "roc_mask": roc(labels, scores),
        }


def _share(hits: np.ndarray, failed: int, why_none: str) -> dict[str, Any]:
    return entry(statistics.mean(hits.astype(float)), failed) if len(hits) else nothing(why_none, failed)


def roc(labels: np.ndarray, scores: np.ndarray) -> list[list[float]]:
    """Points (false-positive rate, true-positive rate) from (0, 0) to (1, 1); [] where a class is missing."""
    from sklearn.metrics import roc_curve

    if labels.all() or not labels.any():
        return []
    x, y, _ = roc_curve(labels, scores)
    if len(x) > ROC_POINTS:
        keep = np.unique(np.linspace(0, len(x) - 1, ROC_POINTS).round().astype(int))
        x, y = x[keep], y[keep]
    return [[round(float(a), 6), round(float(b), 6)] for a, b in zip(x, y, strict=True)]


def histogram(labels: np.ndarray, scores: np.ndarray) -> dict[str, list[int]]:
    """How many clean and how many defective images fall in each of 20 equal bins of P(defective)."""
    counts = {}
    for name, wanted in (("clean", False), ("defective", True)):
        bins, _ = np.histogram(scores[labels == wanted], bins=BINS, range=(0, 1))
        counts[name] = [int(n) for n in bins]
    return counts
