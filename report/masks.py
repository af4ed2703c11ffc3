"""Masks against the golden ones, of defective pixels alone, over golden-defective images that have a mask."""

from collections import Counter
from typing import Any

import numpy as np

from flawscribe import statistics
from flawscribe.images import ImageFailure, load_mask
from flawscribe.records import RLE, FailureKind, Sample
from flawscribe.statistics import Estimate
from report.estimates import absent, entry, nothing
from report.join import Joined
from report.pictures import size_of
from segment.metrics import Overlap, overlap
from segment.rle import decode

VARIANTS = ("gated", "raw", "empty", "full")
NO_PREDICTION = "the run holds no masks"


class GoldenMaskFailure(Exception):
    """A golden mask that cannot be compared with, and why."""

    def __init__(self, kind: FailureKind, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class Masks:
    """Collects the pixel counts of each image, then computes."""

    def __init__(self, segmented: bool, described: bool) -> None:
        self._segmented, self._described = segmented, described
        self._overlaps: dict[str, list[Overlap]] = {name: [] for name in VARIANTS}
        self._failed = Counter[str]()
        self._golden_failures = Counter[str]()
        self._golden_defective = self._golden = self._without = 0
        self._marked: dict[str, list[bool]] = {"gated": [], "raw": []}
        self._clean_failed = Counter[str]()

    def add(self, j: Joined) -> None:
        """Take in a sample; those without a golden label do not count here."""
        if j.sample is None or j.sample.golden is None:
            return
        self._golden += 1
        if not j.sample.golden.defective:
            self._add_clean(j)
            return
        self._golden_defective += 1
        if j.sample.golden.mask is None:
            self._without += 1
            return
        if j.prediction is None:
            self._failed["raw"] += 1
            self._failed["gated"] += 1
            return
        try:
            gold = golden_mask(j.sample, j.prediction.rle)
            raw = predicted_mask(j.prediction.rle, gold.shape)
        except GoldenMaskFailure as e:
            self._golden_failures[e.kind.value] += 1
            for name in VARIANTS:
                self._failed[name] += 1
            return
        self._overlaps["raw"].append(overlap(raw, gold))
        self._overlaps["empty"].append(overlap(np.zeros_like(gold), gold))
        self._overlaps["full"].append(overlap(np.ones_like(gold), gold))
        if j.gated_known:
            self._overlaps["gated"].append(overlap(predicted_mask(j.mask, gold.shape), gold))
        else:
            self._failed["gated"] += 1

    def _add_clean(self, j: Joined) -> None:
        if j.prediction is None:
            self._clean_failed["raw"] += 1
            self._clean_failed["gated"] += 1
            return
        self._marked["raw"].append(j.prediction.rle is not None)
        if j.gated_known:
            self._marked["gated"].append(j.mask is not None)
        else:
            self._clean_failed["gated"] += 1

    @property
    def golden_failures(self) -> Counter[str]:
        """Golden masks that could not be used, by kind."""
        return self._golden_failures

    def result(self) -> dict[str, Any]:
        """The section `masks` of metrics.json."""
        if not self._golden:
            return absent("no sample has a golden label")
        if not self._segmented:
            return absent(NO_PREDICTION)
        return {
            "gated_by": "description" if self._described else None,
            "n_golden_defective": self._golden_defective,
            "without_golden_mask": self._without,
            "golden_mask_failures": dict(self._golden_failures),
            **{name: self._variant(name) for name in VARIANTS},
            "clean_marked": {name: self._clean(name) for name in ("gated", "raw")},
        }

    def _variant(self, name: str) -> dict[str, Any]:
        overlaps, failed = self._overlaps[name], self._failed[name]
        if not overlaps:
            why = "no golden-defective image has a golden mask and a predicted one"
            return {metric: nothing(why, failed) for metric in ("giou", "ciou", "pixel_f1")}
        both = np.array([o.both for o in overlaps], dtype=float)
        union = both + np.array([o.predicted_only + o.golden_only for o in overlaps])
        return {
            "giou": entry(statistics.mean([o.iou for o in overlaps]), failed),
            "ciou": entry(_ciou(both, union), failed),
            "pixel_f1": entry(statistics.mean([o.f1 for o in overlaps]), failed),
        }

    def _clean(self, name: str) -> dict[str, Any]:
        marked = [float(m) for m in self._marked[name]]
        failed = self._clean_failed[name]
        return (
            entry(statistics.mean(marked), failed) if marked else nothing("no clean image has a mask", failed)
        )


def _ciou(both: np.ndarray, union: np.ndarray) -> Estimate:
    def ratio(both: np.ndarray, union: np.ndarray) -> float:
        return float(both.sum() / union.sum()) if union.sum() else float("nan")

    return statistics.bootstrap(ratio, both, union)


def golden_mask(sample: Sample, rle: RLE | None) -> np.ndarray:
    """The golden mask as bool (h, w), of the predicted mask's size, or the image's if nothing is marked."""
    if sample.golden is None or sample.golden.mask is None:
        raise ValueError(f"{sample.id!r} has no golden mask")
    try:
        width, height = (rle.size[1], rle.size[0]) if rle else size_of(sample.image)
        return load_mask(sample.golden.mask, (width, height))
    except ImageFailure as e:
        failure = e.failure("report")
        raise GoldenMaskFailure(failure.kind, failure.message) from e


def predicted_mask(rle: RLE | None, shape: tuple[int, ...]) -> np.ndarray:
    """A prediction as bool (h, w) of `shape`; a damaged one is a failure of the golden comparison."""
    if rle is None:
        return np.zeros(shape, dtype=bool)
    try:
        return decode(rle)
    except ValueError as e:
        raise GoldenMaskFailure(FailureKind.BAD_MASK, str(e)) from e
