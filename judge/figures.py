"""What a judge's verdicts come to: means with their n, intervals and unscored counts."""

from collections import Counter
from dataclasses import asdict
from typing import Any

from flawscribe.records import Verdict
from flawscribe.runs import Run, record_of
from flawscribe.statistics import mean
from judge.task import CRITERIA, references


def figures(run: Run) -> dict[str, Any]:
    """Means over the judged samples of the run; `mean` is over those that both criteria scored.

    `failed_before` counts samples to judge whose description failed or is missing.
    """
    verdict, described = run.lookup("judge"), run.lookup("describe")
    scores: dict[str, list[float]] = {name: [] for name in (*CRITERIA, "mean")}
    unscored, reasons = Counter[str](), Counter[str]()
    judged = failed_before = 0
    for sample in filter(references, run.samples()):
        answer, row = described(sample.id), verdict(sample.id)
        if answer is None or not answer.ok or row is None or row.record is None:
            failed_before += 1
            continue
        judged += 1
        found = {name: record_of(row, Verdict, "judge", name) for name in CRITERIA}
        for name, one in found.items():
            if one.score is None:
                unscored[name] += 1
                reasons[(one.reason or "no reason given")[:120]] += 1
            else:
                scores[name].append(one.score)
        both = [one.score for one in found.values() if one.score is not None]
        if len(both) == len(CRITERIA):
            scores["mean"].append(sum(both) / len(both))
        else:
            unscored["mean"] += 1
    means = {name: asdict(mean(values)) | {"unscored": unscored[name]} for name, values in scores.items()}
    return {
        "judged": judged,
        "failed_before": failed_before,
        "unscored": unscored["mean"],
        **means,
        "reasons": dict(reasons.most_common(10)),
    }
