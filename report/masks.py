"""Masks against the golden ones, over golden-defective images that have a mask; false area on clean images."""

from collections import Counter
from typing import Any

import numpy as np

from flawscribe.images import ImageFailure
from flawscribe.records import RLE, FailureKind, Sample
from report.estimates import absent
from report.join import Joined
from report.mask_figures import SIZE, Variant, grouped
from report.pictures import size_of
from segment.importers.mask_files import read_mask
from segment.metrics.regions import SIZES
from segment.metrics.scored import Target
from segment.rle import decode

VARIANTS = ("gated", "raw", "empty", "full")
BREAKDOWNS = {"by_size": SIZE, "by_category": "category", "by_generator": "generator"}
NO_PREDICTION = "the run holds no masks"
NO_PROBABILITIES = (
    "a run stores masks, not probabilities: pixel AUROC and AP, and the heatmap metrics, need maps "
    "(flawscribe metrics)"
)


class GoldenMaskFailure(Exception):
    """A golden mask that cannot be compared with, and why."""

    def __init__(self, kind: FailureKind, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class Masks:
    """Collects the counts of each image, then computes."""

    def __init__(self, segmented: bool, described: bool) -> None:
        self._segmented, self._described = segmented, described
        self._variants = {name: Variant() for name in VARIANTS}
        self._golden_failures = Counter[str]()
        self._golden_defective = self._golden = self._without = 0

    def add(self, j: Joined) -> None:
        """Take in a sample; those without a golden label do not count here."""
        if j.sample is None or j.sample.golden is None:
            return
        self._golden += 1
        if not self._segmented:
            return
        if not j.sample.golden.defective:
            self._add_clean(j)
            return
        self._golden_defective += 1
        if j.sample.golden.mask is None:
            self._without += 1
            return
        groups = _groups(j.sample)
        if j.prediction is None:
            groups |= _size_group(j.sample)
            self._fail(groups, "raw", "gated")
            return
        try:
            target = Target(golden_mask(j.sample, j.prediction.rle))
            raw = predicted_mask(j.prediction.rle, target.mask.shape)
        except GoldenMaskFailure as e:
            self._golden_failures[e.kind.value] += 1
            self._fail(groups, *VARIANTS)
            return
        groups[SIZE] = SIZES[target.size]
        empty = target.empty()
        scored = {
            "raw": target.score(raw) if raw.any() else empty,
            "empty": empty,
            "full": target.full(),
        }
        if j.gated_known:
            scored["gated"] = scored["raw"] if j.mask is not None else empty
        else:
            self._fail(groups, "gated")
        for name, one in scored.items():
            self._variants[name].add(one, groups)

    def _fail(self, groups: dict[str, str], *names: str) -> None:
        for name in names:
            self._variants[name].fail(groups)

    def _add_clean(self, j: Joined) -> None:
        raw = _marked_share(j)
        self._variants["raw"].clean(raw)
        gated = None if raw is None or not j.gated_known else raw if j.mask is not None else 0.0
        self._variants["gated"].clean(gated)
        if raw is not None:
            self._variants["empty"].clean(0.0)
            self._variants["full"].clean(1.0)

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
        of_clean = {name: variant.of_clean() for name, variant in self._variants.items()}
        return {
            "gated_by": "description" if self._described else None,
            "n_golden_defective": self._golden_defective,
            "without_golden_mask": self._without,
            "golden_mask_failures": dict(self._golden_failures),
            **{name: variant.entries() for name, variant in self._variants.items()},
            "clean_marked": {name: marked for name, (marked, _) in of_clean.items()},
            "false_area": {name: area for name, (_, area) in of_clean.items()},
            "probabilities": absent(NO_PROBABILITIES),
            **{name: grouped(self._variants, by, "raw") for name, by in BREAKDOWNS.items()},
        }


def _groups(sample: Sample) -> dict[str, str]:
    """The groups that a golden-defective sample is in, whatever its mask."""
    assert sample.golden is not None
    known = {"category": sample.golden.category, "generator": sample.generator}
    return {by: name for by, name in known.items() if name}


def _size_group(sample: Sample) -> dict[str, str]:
    """The group by size of a sample that has no prediction, where its golden mask can be read."""
    try:
        return {SIZE: SIZES[Target(golden_mask(sample, None)).size]}
    except GoldenMaskFailure:
        return {}


def _marked_share(j: Joined) -> float | None:
    """The marked share of the picture by its raw mask, None where there is none or it is damaged."""
    if j.prediction is None:
        return None
    if j.prediction.rle is None:
        return 0.0
    try:
        return float(decode(j.prediction.rle).mean())
    except ValueError:
        return None


def golden_mask(sample: Sample, rle: RLE | None) -> np.ndarray:
    """The golden mask as bool (h, w), of the predicted mask's size, or the image's if nothing is marked."""
    if sample.golden is None or sample.golden.mask is None:
        raise ValueError(f"{sample.id!r} has no golden mask")
    try:
        width, height = (rle.size[1], rle.size[0]) if rle else size_of(sample.image)
        return read_mask(sample.golden.mask, (width, height))
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
