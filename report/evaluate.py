"""All figures of a run. Nothing that failed enters a mean; it is counted beside it."""

import json
from collections import Counter, defaultdict
from datetime import UTC, datetime
from typing import Any

from flawscribe.runs import Run, write_atomically
from report.benchmark import Benchmark
from report.detection import Detection
from report.join import OUTCOMES, join
from report.masks import Masks
from report.reliability import calibration_told
from report.texts import Quality, Texts

SCHEMA = 1


def evaluate(run: Run) -> dict[str, Any]:
    """Compute every figure of the run in one pass and write them to RUN/metrics.json.

    Each is `{value, low, high, n, failed}` with a bootstrap 95 % interval over images; a section or a
    figure that the run cannot give says why (`absent`, `note`). Pictures are read one at a time.
    """
    described, segmented, judged = (run.has(stage) for stage in ("describe", "segment", "judge"))
    masks = Masks(segmented, described)
    sections: dict[str, Any] = {
        "detection": Detection(described, segmented),
        "masks": masks,
        "texts": Texts(judged),
        "quality": Quality(segmented),
    }
    scenes = Benchmark(described, segmented)
    counts = Counter[str]()
    outcomes = Counter[str](dict.fromkeys(OUTCOMES, 0))
    failures: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for j in join(run):
        counts["samples"] += 1
        counts["ok" if j.ok else "failed"] += 1
        outcomes[j.outcome] += 1
        golden = j.sample.golden if j.sample else None
        if golden is not None:
            counts["golden_defective" if golden.defective else "golden_clean"] += 1
        if j.description is not None:
            counts["called_defective"] += j.description.defective
        for failure in j.failures:
            failures[failure.stage][failure.kind.value] += 1
        for section in sections.values():
            section.add(j)
        scenes.add(j)
    results = {name: section.result() for name, section in sections.items()}
    if (of_scenes := scenes.result()) is not None:
        results["scenes"] = of_scenes
    if masks.golden_failures:
        failures["golden masks"] = masks.golden_failures
    names = ("samples", "ok", "failed", "golden_defective", "golden_clean", "called_defective")
    metrics = {
        "schema": SCHEMA,
        "written": datetime.now(UTC).isoformat(timespec="seconds"),
        "run": str(run.path),
        "counts": {**{name: counts[name] for name in names}, "outcomes": dict(outcomes)},
        "failures": {stage: dict(kinds.most_common()) for stage, kinds in failures.items()},
        **results,
        "notes": notes(run, results),
    }
    write_atomically(run.path / "metrics.json", json.dumps(metrics, indent=1, allow_nan=False) + "\n")
    return metrics


def notes(run: Run, results: dict[str, Any]) -> list[str]:
    """What a reader must know before believing the figures."""
    lines = []
    stages = run.info()["stages"]
    if stages.get("describe", {}).get("settings", {}).get("model") == "nano":
        lines.append(
            "nano was trained on drawn scenes. Its words, masks and scores about real photographs or "
            "generated pictures are worth nothing; on drawn scenes they show that the whole chain works."
        )
    elif stages.get("segment", {}).get("settings", {}).get("model") == "nano":
        lines.append(
            "The masks and quality scores come from nano's head, which was trained on drawn scenes: about "
            "real photographs or generated pictures they are worth nothing."
        )
    if stages.get("judge", {}).get("settings", {}).get("judge") == "claims":
        lines.append(
            "The judge is claims, which is not an LLM: it splits texts into claims and matches their words. "
            "Its scores do not compare with those of an LLM judge."
        )
    if results["detection"].get("auc_from") == "yes/no":
        without, n = results["detection"]["without_probability"], results["detection"]["auc"]["n"]
        lines.append(
            f"The detection AUC is computed from yes/no answers ({without} of {n} descriptions carry no "
            "probability), so it does not compare with an AUC of probabilities."
        )
    used = stages.get("describe", {}).get("settings", {}).get("calibration")
    if used is not None:
        lines.append(calibration_told(run))
    written, judged = stages.get("describe", {}).get("started"), stages.get("judge", {}).get("finished")
    if written and judged and written > judged:
        lines.append(
            "The describe stage ran after the judge: run judge again, or its scores may be of older texts."
        )
    return lines
