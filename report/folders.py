"""Two folders of masks or of heatmaps, predicted and golden, evaluated without a run: the figures, and a row a pair."""

import math
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from flawscribe import statistics
from flawscribe.images import ImageFailure
from report.estimates import absent, entry, nothing
from report.mask_figures import NO_PAIR, SIZE, Variant, grouped
from segment.metrics.heatmaps import HEATMAPS
from segment.metrics.pairs import (
    Pair,
    PairFailure,
    map_pair,
    mask_pair,
    pairs_of,
    read_golden_mask,
    read_map,
    rows_of,
)
from segment.metrics.regions import SIZES
from segment.metrics.scored import Target
from segment.metrics.soft import SoftScores

SCHEMA = 1
NO_MAPS = "the predictions are masks: pixel AUROC and AP need probability maps (--soft)"


class _Kind(Protocol):
    def score(self, pair: Pair) -> dict[str, float | None]: ...
    def failed(self, pair: Pair) -> None: ...
    def result(self) -> dict[str, Any]: ...


class _Masks:
    """Scores pairs of masks; with `soft` the predictions are probability maps. Marked from `threshold` on."""

    def __init__(self, soft: bool, threshold: float | None) -> None:
        self._threshold = 0.5 if soft and threshold is None else threshold
        self._soft = SoftScores() if soft else None
        self._variants = {name: Variant() for name in ("predicted", "empty", "full")}
        self._clean = self._failed = 0

    def score(self, pair: Pair) -> dict[str, float | None]:
        if self._soft:
            predicted, golden = map_pair(pair, read_golden_mask)
            mask = predicted >= np.float32(self._threshold)
        else:
            mask, golden = mask_pair(pair, self._threshold)
        if not golden.any():
            self._clean += 1
            shares = {"predicted": float(mask.mean()), "empty": 0.0, "full": 1.0}
            for name, share in shares.items():
                self._variants[name].clean(share)
            return {"golden_area": 0.0, "false_area": shares["predicted"]}
        target = Target(golden)
        scored = {"predicted": target.score(mask), "empty": target.empty(), "full": target.full()}
        for name, one in scored.items():
            self._variants[name].add(one, _groups(pair, target))
        own = self._soft.add(predicted, golden) if self._soft else {}
        return {"golden_area": target.share, **scored["predicted"].figures(), **own}

    def failed(self, pair: Pair) -> None:
        """Count a pair without a score where it belongs, as far as its golden mask tells."""
        try:
            target = Target(read_golden_mask(pair.golden))
        except ImageFailure:
            target = None
        if target is not None and not target.mask.any():
            self._clean += 1
            self._variants["predicted"].clean(None)
            return
        self._failed += 1
        self._variants["predicted"].fail(_groups(pair, target))

    def result(self) -> dict[str, Any]:
        of_clean = {name: variant.of_clean() for name, variant in self._variants.items()}
        return {
            "clean": self._clean,
            "masks": {
                **{name: variant.entries() for name, variant in self._variants.items()},
                "clean_marked": {name: marked for name, (marked, _) in of_clean.items()},
                "false_area": {name: area for name, (_, area) in of_clean.items()},
                "by_size": grouped(self._variants, SIZE, "predicted"),
                "by_folder": grouped(self._variants, "folder", "predicted"),
            },
            "probabilities": self._probabilities(),
        }

    def _probabilities(self) -> dict[str, Any]:
        if self._soft is None:
            return absent(NO_MAPS)
        found: dict[str, Any] = {"threshold": self._threshold}
        for name, (estimate, error) in self._soft.estimates().items():
            more = {} if error is None else {"error": round(error, 9)}
            found[name] = (
                entry(estimate, self._failed, **more)
                if estimate.value is not None
                else nothing(NO_PAIR, self._failed)
            )
        return found


def _groups(pair: Pair, target: Target | None) -> dict[str, str]:
    folder, slash, _ = pair.id.partition("/")
    size = {} if target is None else {SIZE: SIZES[target.size]}
    return ({"folder": folder} if slash else {}) | size


class _Heatmaps:
    """Scores pairs of heatmaps; beside the prediction stand a map of zeros and one of ones."""

    def __init__(self) -> None:
        self._values: defaultdict[tuple[str, str], list[float]] = defaultdict(list)
        self._clean = 0
        # All failed pairs, and those whose golden map is empty or not; where that is not known they count as both.
        self._failed = Counter[str]()

    def score(self, pair: Pair) -> dict[str, float | None]:
        predicted, golden = map_pair(pair)
        maps = {"predicted": predicted, "empty": np.zeros_like(golden), "full": np.ones_like(golden)}
        own: dict[str, float] = {}
        empty = not golden.any()
        self._clean += empty
        for variant, one in maps.items():
            values = {name: metric(one, golden) for name, metric in HEATMAPS.items()}
            if empty:
                values["mse_empty"] = values["mse"]
            for name, value in values.items():
                if not math.isnan(value):
                    self._values[variant, name].append(value)
            own = own or values
        return {name: None if math.isnan(value) else value for name, value in own.items()}

    def failed(self, pair: Pair) -> None:
        try:
            known = ["other" if read_map(pair.golden).any() else "empty"]
        except ImageFailure:
            known = ["other", "empty"]
        self._failed.update(["all", *known])
        self._clean += known == ["empty"]

    def result(self) -> dict[str, Any]:
        heatmaps = {
            variant: {name: self._entry(variant, name) for name in ("mse", "mse_empty", *list(HEATMAPS)[1:])}
            for variant in ("predicted", "empty", "full")
        }
        return {"clean": self._clean, "heatmaps": heatmaps}

    def _entry(self, variant: str, name: str) -> dict[str, Any]:
        over = {"mse": "all", "mse_empty": "empty"}.get(name, "other")
        failed = self._failed[over] if variant == "predicted" else 0
        values = self._values[variant, name]
        return (
            entry(statistics.mean(values), failed) if values else nothing("no golden map defines it", failed)
        )


def evaluate_folders(
    kind: str,
    predicted: Path,
    golden: Path,
    *,
    soft: bool = False,
    threshold: float | None = None,
    tell: Callable[[dict[str, Any]], None] | None = None,
) -> dict[str, Any]:
    """The figures of predicted files against golden ones of the same name; `kind` is `segment` or `heatmaps`.

    With `soft` predicted files are probability maps. A pixel is marked from `threshold` on; without one from .5 of a
    map, and of a mask where it is not 0. Files are read one pair at a time. `tell` gets a row for each pair: its id,
    and either its own figures (None where one is not defined) or `failure_kind` and `failure_message`. A pair that
    fails is counted and enters no figure. UserError where a folder cannot be used.
    """
    pairs, without_golden = pairs_of(predicted, golden)
    scorer: _Kind = _Heatmaps() if kind == "heatmaps" else _Masks(soft, threshold)
    failures = Counter[str]()
    first: str | None = None
    for pair, scored in rows_of(pairs, scorer.score):
        row: dict[str, Any] = {"id": pair.id}
        if isinstance(scored, PairFailure):
            scorer.failed(pair)
            failures[scored.kind.value] += 1
            first = first or str(scored)
            row |= {"failure_kind": scored.kind.value, "failure_message": str(scored)}
        else:
            row |= scored
        if tell:
            tell(row)
    result = scorer.result()
    return {
        "schema": SCHEMA,
        "kind": kind,
        "predicted": str(predicted),
        "golden": str(golden),
        "counts": {
            "pairs": len(pairs),
            "failed": failures.total(),
            "empty_golden": result.pop("clean"),
            "predictions_without_golden": len(without_golden),
        },
        "failures": dict(failures.most_common()),
        "first_failure": first,
        **result,
    }
