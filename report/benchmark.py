"""The section `scenes`: what a describing model and a mask head see in drawn scenes, and how far a fake would get.

Every row of `flawscribe scenes` tells how its picture and its prompt came about. That makes figures possible
that neither a model that reads only prompts nor one that looks only at pictures can win.
"""

from collections import Counter
from typing import Any

import numpy as np

from flawscribe.runs import Run
from report.baselines import Scores, picture_only, prompt_only, same
from report.benchmark_defects import Defects
from report.benchmark_pairs import against_clean, by_number_of_subjects, within_pairs
from report.benchmark_rows import ARMS, UNUSABLE, Rows, SceneRow, looks_like_scene, scene_row
from report.estimates import absent
from report.join import Joined, join
from report.masks import NO_PREDICTION
from report.resamples import Resamples

NO_DESCRIPTIONS = "the run holds no descriptions"
LEFT_OUT = ("other_samples", "unusable_rows", "unreadable_rows")


def benchmark(run: Run) -> dict[str, Any]:
    """The section `scenes` of a run's metrics.json; `{"absent": reason}` where its manifest holds no scenes.

    Every figure is `{value, low, high, n, failed}`: `failed` counts what should have entered it and could not.
    Intervals are of 95 %, over base scenes drawn again. The tables of docs/report.md say what stands where.
    """
    section = Benchmark(*(run.has(stage) for stage in ("describe", "segment")))
    for j in join(run):
        section.add(j)
    return section.result() or absent("no row of the manifest has the columns `pair` and `arm` of a scene")


class Benchmark:
    """Collects what the section needs of each sample (names and numbers), then computes."""

    def __init__(self, described: bool, segmented: bool) -> None:
        self._described, self._segmented = described, segmented
        self._rows: list[SceneRow] = []
        self._left_out = Counter[str]()

    def add(self, j: Joined) -> None:
        """Take in a sample; one that is no scene, or cannot be used as one, is counted apart."""
        if (row := scene_row(j)) is not None:
            self._rows.append(row)
        elif j.sample is None:
            self._left_out["unreadable_rows"] += 1
        else:
            self._left_out["unusable_rows" if looks_like_scene(j.sample) else "other_samples"] += 1

    def result(self) -> dict[str, Any] | None:
        """The section `scenes` of metrics.json; None where nothing looks like a scene."""
        if not self._rows:
            n = self._left_out["unusable_rows"]
            return absent(f"{n} rows look like scenes and cannot be used: {UNUSABLE}") if n else None
        rows = Rows(self._rows)
        re = Resamples(rows.bases)
        scores, facts = self._scores(rows)
        missing = {} if self._described else {"describe": NO_DESCRIPTIONS}
        defects = Defects(
            rows, scores, re, missing if self._segmented else {**missing, "segment": NO_PREDICTION}
        )
        return {
            "n": len(self._rows),
            **{name: self._left_out[name] for name in LEFT_OUT},
            **defects.unknown(),
            "base_scenes": rows.bases,
            "shift": sorted({r.shift for r in self._rows}),
            "arms": {arm: int((rows.arm == arm).sum()) for arm in ARMS},
            "pairs": {part: len(pairs) for part, pairs in rows.pairs.items()},
            **self._scored_by(),
            "within_pairs": within_pairs(rows, scores, re),
            "by_number_of_subjects": by_number_of_subjects(rows, scores, re),
            "against_clean": against_clean(rows, scores, re),
            "baselines": facts,
            "justification": defects.justification(),
            "named": defects.named(),
            "masks": defects.masks(),
            "by_kind": defects.by_kind(),
            "by_size": defects.by_size(),
            "by_severity": defects.by_severity(),
        }

    def _scored_by(self) -> dict[str, Any]:
        known = Counter(r.probable for r in self._rows if r.said is not None)
        source = "probability" if not known[False] else "yes/no" if not known[True] else "mixed"
        return {"scored_by": source if known else None, "without_probability": known[False]}

    def _scores(self, rows: Rows) -> tuple[dict[str, Scores], dict[str, Any]]:
        n = len(self._rows)
        description: np.ndarray | str = rows.numbers([r.score for r in self._rows])
        head: np.ndarray | str = rows.numbers([r.p_mask for r in self._rows])
        # The baselines answer for the rows that the describing model answered for.
        eligible = np.isfinite(description) if self._described else np.ones(n, dtype=bool)
        if not self._described:
            description = NO_DESCRIPTIONS
        if not self._segmented:
            head = NO_PREDICTION
        elif not any(r.p_mask is not None for r in self._rows) and any(r.segmented for r in self._rows):
            head = "the mask head gave no probability"
        pictures, facts = picture_only(rows, eligible)
        scores = {
            "description": same(description, n),
            "mask_head": same(head, n),
            "prompt_only": prompt_only(rows, eligible),
            "picture_only": pictures,
        }
        return scores, {"prompts": int(eligible.sum()), **facts}
