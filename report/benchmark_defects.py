"""What is said and marked of the defects themselves: justification, named kinds, masks; by kind, size, severity."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np

from report.baselines import Scores
from report.benchmark_pairs import ALL_FAILED, MOST_NAMES, Within
from report.benchmark_rows import Rows
from report.estimates import nothing
from report.resamples import Resamples

SIZES = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2)
SIZE_NAMES = ("< 0.5 %", "0.5–1 %", "1–2 %", "2–5 %", "5–10 %", "10–20 %", "> 20 %")
SEVERITIES = ("minor", "moderate", "severe")
MASKS = ("raw", "gated")
SQUARE = ("AA", "AB", "BA", "BB")


@dataclass(frozen=True)
class _Told:
    """Parallel arrays, one entry a defect, or a kind that a text names: its row, its kind, whether that is right."""

    row: np.ndarray
    kind: np.ndarray
    right: np.ndarray


class Defects:
    """The figures of this module over one run's rows; `missing` names what it lacks by stage."""

    def __init__(self, rows: Rows, scores: dict[str, Scores], re: Resamples, missing: dict[str, str]) -> None:
        self._rows, self._scores, self._re, self._missing = rows, scores, re, missing
        self._said = rows.numbers([r.said for r in rows.rows])
        self._iou = [rows.numbers([r.iou[i] for r in rows.rows]) for i in range(2)]
        self._marked = [rows.numbers([r.marked[i] for r in rows.rows]) for i in range(2)]
        self._masked = np.array([r.masked for r in rows.rows], dtype=bool)
        shown = [(i, d, r.named) for i, r in enumerate(rows.rows) for d in r.defects or ()]
        self._shown = _Told(
            np.array([i for i, _, _ in shown], dtype=int),
            np.array([d.kind for _, d, _ in shown]),
            np.array([np.nan if named is None else d.kind in named for _, d, named in shown], dtype=float),
        )
        self._shown_size = np.array([_size(d.area) for _, d, _ in shown], dtype=int)
        self._shown_severity = np.array([d.severity for _, d, _ in shown])
        # Where the manifest does not tell the defects, nothing tells whether a name is right.
        self._untold = [r for r in rows.rows if r.defects is None]
        names = [
            (i, kind, kind in r.kinds)
            for i, r in enumerate(rows.rows)
            if r.defects is not None
            for kind in sorted(r.named or ())
        ]
        self._named = _Told(
            np.array([i for i, _, _ in names], dtype=int),
            np.array([kind for _, kind, _ in names]),
            np.array([right for _, _, right in names], dtype=float),
        )

    def unknown(self) -> dict[str, int]:
        """How many defective rows do not tell their defects, and how many defects not their area."""
        return {
            "rows_without_defects": len(self._untold),
            "defects_without_area": int((self._shown_size < 0).sum()),
        }

    def _share(self, stage: str, row: np.ndarray, values: np.ndarray, lost: int = 0) -> dict[str, Any]:
        """The mean of one value an item, each of the row of that number; NaN where the stage failed.

        `lost` counts items that should be among them and are not.
        """
        if stage in self._missing:
            return nothing(self._missing[stage])
        known = np.isfinite(values)
        figure = self._re.mean(self._rows.base[row[known]], values[known])
        failed = int((~known).sum()) + lost
        return figure.entry(failed, ALL_FAILED if failed else "there is no such row")

    def justification(self) -> dict[str, Any]:
        """Shares of justified rows called flawless, of unjustified ones called defective, of base scenes all right."""
        result = {}
        for name, arms, right in (
            ("justified_called_flawless", ("AA", "BB"), 0.0),
            ("unjustified_called_defective", ("AB", "BA"), 1.0),
        ):
            at = np.flatnonzero(np.isin(self._rows.arm, arms))
            hits = np.where(np.isnan(self._said[at]), np.nan, self._said[at] == right)
            result[name] = self._share("describe", at, hits)
        squares = np.array(
            [[s[arm] for arm in SQUARE] for s in self._rows.sets if all(arm in s for arm in SQUARE)],
            dtype=int,
        ).reshape(-1, 4)
        said = self._said[squares]
        whole = (said == self._rows.defective[squares]).all(axis=1).astype(float)
        whole[np.isnan(said).any(axis=1)] = np.nan
        result["whole_square"] = self._share("describe", squares[:, 0], whole)
        return result

    def named(self) -> dict[str, Any]:
        """Which kinds the texts name: of the defects (recall), and of the names those that are right (precision)."""
        return {
            "recall": self._recall(np.ones(len(self._shown.row), dtype=bool), len(self._untold)),
            "precision": self._precision(),
        }

    def _recall(self, at: np.ndarray, lost: int = 0) -> dict[str, Any]:
        return self._share("describe", self._shown.row[at], self._shown.right[at], lost)

    def _precision(self, kind: str | None = None) -> dict[str, Any]:
        """Of the names of a kind, or of all.

        Failed are rows without a text and rows that do not tell their defects: all, or those with the kind.
        """
        if "describe" in self._missing:
            return nothing(self._missing["describe"])
        at = np.ones(len(self._named.row), dtype=bool) if kind is None else self._named.kind == kind
        figure = self._re.mean(self._rows.base[self._named.row[at]], self._named.right[at])
        lost = [r for r in self._rows.rows if r.named is None or r.defects is None]
        failed = sum(kind is None or kind in r.kinds or kind in (r.named or ()) for r in lost)
        return figure.entry(failed, ALL_FAILED if len(lost) == len(self._rows.rows) else "no text names it")

    def masks(self) -> dict[str, Any]:
        """gIoU over defective rows, and the shares of clean and of justified rows with any marked pixel."""
        result: dict[str, Any] = self._gious(self._rows.defective)
        for name, arms in (("clean_marked", ("clean",)), ("justified_marked", ("AA", "BB"))):
            at = np.flatnonzero(np.isin(self._rows.arm, arms))
            for variant, marked in zip(MASKS, self._marked, strict=True):
                result[f"{name}_{variant}"] = self._share("segment", at, marked[at])
        return result

    def _gious(self, at: np.ndarray) -> dict[str, Any]:
        row = np.flatnonzero(at & self._masked)
        return {
            f"giou_{variant}": self._share("segment", row, iou[row])
            for variant, iou in zip(MASKS, self._iou, strict=True)
        }

    def _group(self, at: np.ndarray) -> dict[str, Any]:
        """What the tables by kind and by size share: `at` bool (n,) are the defective rows of one group.

        Each is compared with the flawless rows of its pairs: by the description in all of them, by the
        mask head, which sees no prompt, in the plain ones.
        """
        found: dict[str, Any] = {"n": int(at.sum())}
        for scorer, part, suffix in (("description", "all", ""), ("mask_head", "plain", "_mask")):
            source = self._scores[scorer]
            values, pairs = source.sets[part], self._rows.pairs[part]
            if isinstance(values, str):
                entries = {"auc": nothing(values), "auc_within": nothing(values)}
            else:
                chosen = pairs[at[pairs[:, 1]]]
                entries = Within(self._rows, chosen, values, source.eligible, self._re).entries()
            found.update({f"{name}{suffix}": entry for name, entry in entries.items()})
        row = np.flatnonzero(at)
        found["called_defective"] = self._share("describe", row, self._said[row])
        return {**found, **self._gious(at)}

    def by_kind(self) -> dict[str, Any]:
        """By kind: rows that have that defect alone; recall and precision of its name over all rows."""
        counts = Counter(str(kind) for kind in self._shown.kind)
        result = {}
        for kind in sorted(name for name, _ in counts.most_common(MOST_NAMES)):
            alone = np.array([r.kinds == {kind} for r in self._rows.rows])
            result[kind] = {
                **self._group(alone),
                "named_recall": self._recall(self._shown.kind == kind),
                "named_precision": self._precision(kind),
            }
        return result

    def by_size(self) -> dict[str, Any]:
        """By the share of the picture that the row's largest defect covers; recall of names by each defect's own."""
        size = np.array([_size(r.largest) for r in self._rows.rows])
        return {
            name: {**self._group(size == i), "named_recall": self._recall(self._shown_size == i)}
            for i, name in enumerate(SIZE_NAMES)
        }

    def by_severity(self) -> dict[str, Any]:
        """By the row's worst defect: how many are called defective; recall of names by each defect's own severity."""
        worst = np.array(
            [
                max(
                    (SEVERITIES.index(d.severity) for d in r.defects or () if d.severity in SEVERITIES),
                    default=-1,
                )
                for r in self._rows.rows
            ]
        )
        result = {}
        for i, name in enumerate(SEVERITIES):
            row = np.flatnonzero(worst == i)
            result[name] = {
                "n": len(row),
                "called_defective": self._share("describe", row, self._said[row]),
                "named_recall": self._recall(self._shown_severity == name),
            }
        return result


def _size(area: float | None) -> int:
    """The number of the bin of SIZES that an area falls in, -1 where it is not known."""
    return -1 if area is None else int(np.searchsorted(SIZES, area, side="right"))
