"""Detection that neither the prompt nor the picture alone gives away: within pairs, and against clean scenes."""

from collections import Counter
from typing import Any

import numpy as np

from report.baselines import Scores
from report.benchmark_rows import PARTS, Rows
from report.estimates import nothing
from report.resamples import Figure, Resamples

SCORERS = ("description", "mask_head", "prompt_only", "picture_only")
MOST_NAMES = 100
"""Most subjects or kinds with figures of their own: the scenes have far fewer, a strange manifest may not."""

NO_PAIRS = "there are no complete pairs"
NOT_ASKED = "it answers for none of these pairs"
ALL_FAILED = "every such row failed"
NO_CLASSES = "there are not both defective and clean rows"
CLASS_FAILED = "all defective or all clean rows failed"


class Within:
    """Figures over some pairs: the AUC over their rows, and the share of pairs in the right order, ties half."""

    def __init__(
        self, rows: Rows, pairs: np.ndarray, scores: np.ndarray, eligible: np.ndarray, re: Resamples
    ) -> None:
        wanted = pairs[eligible[pairs].all(axis=1)]
        known = wanted[np.isfinite(scores[wanted]).all(axis=1)]
        used = np.unique(known)
        flawless, defective = scores[known[:, 0]], scores[known[:, 1]]
        wins = (defective > flawless) + 0.5 * (defective == flawless)
        self.auc = re.auc(rows.base[used], rows.defective[used], scores[used])
        self.share = re.mean(rows.base[known[:, 0]], wins)
        self.failed = len(np.unique(wanted)) - len(used), len(wanted) - len(known)
        # Where any pair is whole, both figures are defined.
        self._why_none = ALL_FAILED if len(wanted) else NOT_ASKED if len(pairs) else NO_PAIRS

    def entries(self) -> dict[str, Any]:
        """`auc`, of which n counts rows, and `auc_within`, of which n counts pairs."""
        return {
            "auc": self.auc.entry(self.failed[0], self._why_none),
            "auc_within": self.share.entry(self.failed[1], self._why_none),
        }


def within_pairs(
    rows: Rows, scores: dict[str, Scores], re: Resamples, at: np.ndarray | None = None
) -> dict[str, Any]:
    """`auc` and `auc_within` of every scorer by PARTS, and how far the description is above the prompt alone.

    `at` bool (n,) takes the pairs of those rows alone.
    """
    result: dict[str, Any] = {name: {} for name in (*scores, "above_prompt_only")}
    for part in PARTS:
        pairs = rows.pairs[part]
        pairs = pairs if at is None else pairs[at[pairs].all(axis=1)]
        aucs: dict[str, Figure] = {}
        failed: dict[str, int] = {}
        for name, source in scores.items():
            values = source.sets[part]
            if isinstance(values, str):
                result[name][part] = {"auc": nothing(values), "auc_within": nothing(values)}
                continue
            found = Within(rows, pairs, values, source.eligible, re)
            result[name][part], aucs[name], failed[name] = found.entries(), found.auc, found.failed[0]
        result["above_prompt_only"][part] = _above(aucs, failed)
    return result


def _above(aucs: dict[str, Figure], failed: dict[str, int]) -> dict[str, Any]:
    why_none = "one of the two is absent"
    if "description" not in aucs or "prompt_only" not in aucs:
        return nothing(why_none)
    return (aucs["description"] - aucs["prompt_only"]).entry(failed["description"], why_none)


def by_number_of_subjects(rows: Rows, scores: dict[str, Scores], re: Resamples) -> dict[str, Any]:
    """`within_pairs` of base scenes with one subject, with several, and with each other number of them."""
    count = np.array([len(r.subjects) for r in rows.rows])
    groups = {str(n): count == n for n in sorted({int(n) for n in count if n})[:MOST_NAMES]}
    if (count > 1).any():
        groups["several"] = count > 1
    return {name: within_pairs(rows, scores, re, at) for name, at in groups.items()}


def against_clean(rows: Rows, scores: dict[str, Scores], re: Resamples) -> dict[str, Any]:
    """Defective rows of each subject against clean scenes with that subject: the mean over subjects, and each.

    `all` takes every defective row, `plain` those under a plain prompt alone, which are worded as the
    clean ones are.
    """
    names = Counter(name for r in rows.rows for name in r.subjects)
    subjects = sorted(name for name, _ in names.most_common(MOST_NAMES))
    clean = rows.arm == "clean"
    showing = [frozenset(r.subjects) for r in rows.rows]
    shown = {name: np.array([name in there for there in showing]) & clean for name in subjects}
    wrong = {
        name: np.array([name in r.wrong_subjects for r in rows.rows]) & rows.defective for name in subjects
    }
    each: dict[str, dict[str, Any]] = {
        name: {"n_defective": int(wrong[name].sum()), "n_clean": int(shown[name].sum())} for name in subjects
    }
    result: dict[str, Any] = {}
    for part, of, chosen in (
        ("all", "against_clean", rows.defective),
        ("plain", "plain", rows.arm == "anomaly"),
    ):
        figures: dict[str, Figure] = {}
        failed: dict[str, int] = {}
        result[part] = {}
        for scorer, source in scores.items():
            values = source.sets[of]
            if isinstance(values, str):
                result[part][scorer] = nothing(values)
                found = dict.fromkeys(subjects, nothing(values))
            else:
                at = {name: (wrong[name] & chosen | shown[name]) & source.eligible for name in subjects}
                mean, lost, why_none, found = _over_subjects(rows, values, at, re)
                figures[scorer], failed[scorer] = mean, lost
                result[part][scorer] = mean.entry(lost, why_none)
            if part == "all":
                for name in subjects:
                    each[name][scorer] = found[name]
        result[part]["above_prompt_only"] = _above(figures, failed)
    return {**result, "by_subject": each}


def _over_subjects(
    rows: Rows, values: np.ndarray, at: dict[str, np.ndarray], re: Resamples
) -> tuple[Figure, int, str, dict[str, Any]]:
    """The mean AUC over subjects, the rows without a score, why there is none, and each subject's entry."""
    known = {name: a & np.isfinite(values) for name, a in at.items()}
    aucs = {name: re.auc(rows.base[k], rows.defective[k], values[k]) for name, k in known.items()}
    none = np.zeros(len(values), dtype=bool)
    used = np.any([none, *(known[name] for name, f in aucs.items() if np.isfinite(f.value))], axis=0)
    failed = np.any([none, *(at[name] & ~known[name] for name in at)], axis=0)
    why = {name: CLASS_FAILED if len(set(rows.defective[a])) > 1 else NO_CLASSES for name, a in at.items()}
    entries = {name: f.entry(int((at[name] & ~known[name]).sum()), why[name]) for name, f in aucs.items()}
    why_none = CLASS_FAILED if CLASS_FAILED in why.values() else NO_CLASSES
    return re.mean_of(list(aucs.values()), int(used.sum())), int(failed.sum()), why_none, entries
