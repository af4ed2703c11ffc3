"""The figures of one kind of mask (the gated ones, say, or a baseline), over all images and by groups of them."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import Any

from flawscribe import statistics
from flawscribe.statistics import Estimate
from report.estimates import entry, nothing
from segment.metrics.figures import FIGURES, Figures
from segment.metrics.regions import SIZES
from segment.metrics.scored import Scored

MOST_GROUPS = 100
SIZE = "size"
GROUPED = (
    "giou",
    "ciou",
    "pixel_precision",
    "pixel_recall",
    "pixel_f1",
    "boundary_f",
    "region_recall_30",
    "region_recall_50",
)
"""The figures that groups have, too."""
NO_PAIR = "no image with a golden mask that marks something has a predicted one"
NO_REGION = "no golden region of this size"
NO_CLEAN = "no clean image has a mask"

Groups = Mapping[str, str]
"""The groups that an image is in: a group's name by what it groups by (size, category, generator …)."""


class Variant:
    """Collects the scored masks of one kind, and the images that have none."""

    def __init__(self) -> None:
        self._figures = Figures()
        self._ious: list[float] = []
        self._clean: list[float] = []
        self._failed = self._clean_failed = 0
        self._places: defaultdict[tuple[str, str], list[int]] = defaultdict(list)
        self._group_failed = Counter[tuple[str, str]]()

    def add(self, scored: Scored, groups: Groups) -> None:
        """Take in an image with a golden mask."""
        for group in groups.items():
            self._places[group].append(len(self._figures))
        self._figures.add(scored)
        self._ious.append(scored.overlap.iou)

    def fail(self, groups: Groups) -> None:
        """Count an image with a golden mask that has no prediction to compare."""
        self._failed += 1
        self._group_failed.update(groups.items())

    def clean(self, share: float | None) -> None:
        """Take in the marked share (0 to 1) of a clean image; None where there is no prediction."""
        if share is None:
            self._clean_failed += 1
        else:
            self._clean.append(share)

    def entries(self) -> dict[str, Any]:
        """Every figure's entry of metrics.json."""
        found = self._entries(self._figures.estimates(), self._failed, tuple(FIGURES))
        ious = self._ious + [float(not share) for share in self._clean]
        failed = self._failed + self._clean_failed
        found["giou_all"] = entry(statistics.mean(ious), failed) if ious else nothing(NO_PAIR, failed)
        return found

    def of_clean(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """The entries of `clean_marked` and of `false_area`."""
        if not self._clean:
            return nothing(NO_CLEAN, self._clean_failed), nothing(NO_CLEAN, self._clean_failed)
        marked = [float(share > 0) for share in self._clean]
        return (
            entry(statistics.mean(marked), self._clean_failed),
            entry(statistics.mean(self._clean), self._clean_failed),
        )

    def groups(self, by: str) -> list[str]:
        """The names of the groups by something that any image is in: sizes in their order, others by frequency."""
        n = Counter({name: len(places) for (kind, name), places in self._places.items() if kind == by})
        n.update({name: failed for (kind, name), failed in self._group_failed.items() if kind == by})
        if by == SIZE:
            return [size for size in SIZES if n[size]]
        return [name for name, _ in sorted(n.items(), key=lambda item: (-item[1], item[0]))[:MOST_GROUPS]]

    def group(self, by: str, name: str) -> dict[str, Any]:
        """The entries of GROUPED over the images of a group."""
        estimates = self._figures.estimates(self._places.get((by, name), []))
        return self._entries(estimates, self._group_failed[by, name], GROUPED)

    def _entries(self, estimates: dict[str, Estimate], failed: int, names: tuple[str, ...]) -> dict[str, Any]:
        return {name: _entry(name, estimates[name], failed) for name in names}


def _entry(name: str, estimate: Estimate, failed: int) -> dict[str, Any]:
    if estimate.value is not None:
        return entry(estimate, failed)
    return nothing(
        NO_REGION if name.startswith("region_recall") and name.endswith(SIZES) else NO_PAIR, failed
    )


def grouped(variants: Mapping[str, Variant], by: str, of: str) -> dict[str, Any]:
    """`{group: {n, variant: {figure: entry}}}` for the groups of the variant `of`; `n` counts failed images too."""
    found = {}
    for name in variants[of].groups(by):
        figures = {variant: one.group(by, name) for variant, one in variants.items()}
        giou = figures[of]["giou"]
        found[name] = {"n": giou["n"] + giou["failed"], **figures}
    return found
