"""A trained head's figures on balanced pairs of scenes of a seed that nothing was trained on (88001).

    python scripts/evaluate_segment.py --work /tmp/held --model head/ --scenes 250

Beside the head stand nano's packaged one, an empty and a full mask. Of each base scene six rows: one clean
picture, three with a defect, two in which the prompt asked for what looks wrong. With a head that follows
descriptions, the masks that follow people's words (the golden texts), and those that follow what nano says of the
pictures, are compared with the others, picture by picture. Intervals are bootstrapped over base scenes. Each set of
answers stands in a run directory of its own under --work; started again, it goes on where it was.
"""

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from flawscribe.external import import_descriptions
from flawscribe.inputs import open_run
from flawscribe.records import MaskPrediction
from flawscribe.runs import Run, record_of
from flawscribe.statistics import Estimate, bootstrap, share
from scenes.dataset import write_scenes
from segment.checkpoint import read_config
from segment.marking import Marking
from segment.metrics import Overlap, overlap
from segment.rle import decode
from segment.stage import segment_run

SEED = 88_001


@dataclass(frozen=True)
class Answered:
    """One row: its base scene, arm, golden values, and what a head answered."""

    base: str
    arm: str
    defective: bool
    justified: bool
    quality: float
    p: float
    estimate: float
    marked: bool
    mask: Overlap
    size: int


def answered(run: Run) -> list[Answered]:
    """The rows of a run's stage `segment`, in the samples' order."""
    rows, found = run.lookup("segment"), []
    for sample in run.samples():
        row, golden = rows(sample.id), sample.golden
        if row is None or golden is None or golden.quality is None:
            raise SystemExit(f"{sample.id} has no answer or nothing to compare with")
        answer = record_of(row, MaskPrediction, "segment")
        with Image.open(sample.image) as picture:
            shape = (picture.height, picture.width)
        truth = np.zeros(shape, dtype=bool)
        if golden.mask is not None:
            with Image.open(golden.mask) as mask:
                truth = np.asarray(mask.convert("L")) > 0
        marked = np.zeros(shape, dtype=bool) if answer.rle is None else decode(answer.rle)
        found.append(
            Answered(
                base=str(sample.meta["pair"]),
                arm=str(sample.meta["arm"]),
                defective=golden.defective,
                justified=bool(sample.meta["justified"]),
                quality=golden.quality,
                p=answer.p_mask or 0.0,
                estimate=answer.quality or 0.0,
                marked=answer.rle is not None,
                mask=overlap(marked, truth),
                size=truth.size,
            )
        )
    return found


def over_bases(statistic: Callable[[list[Answered]], float], rows: list[Answered]) -> Estimate:
    """A statistic of rows with an interval over resampled base scenes."""
    bases: dict[str, list[Answered]] = {}
    for row in rows:
        bases.setdefault(row.base, []).append(row)
    groups = list(bases.values())
    estimate = bootstrap(
        lambda picks: statistic([row for i in picks for row in groups[int(i)]]),
        np.arange(len(groups)),
        resamples=500,
    )
    return Estimate(estimate.value, estimate.low, estimate.high, len(rows))


def giou(rows: list[Answered]) -> float:
    return float(np.mean([r.mask.iou for r in rows]))


def ciou(rows: list[Answered]) -> float:
    union = sum(r.mask.both + r.mask.predicted_only + r.mask.golden_only for r in rows)
    return sum(r.mask.both for r in rows) / max(union, 1)


def f1(rows: list[Answered]) -> float:
    return float(np.mean([r.mask.f1 for r in rows]))


def pooled_f1(rows: list[Answered]) -> float:
    return 2 * ciou(rows) / (1 + ciou(rows))


def auc(rows: list[Answered]) -> float:
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score([r.defective for r in rows], [r.p for r in rows]))


def srcc(rows: list[Answered]) -> float:
    from scipy.stats import spearmanr

    return float(spearmanr([r.quality for r in rows], [r.estimate for r in rows]).statistic)


def line(name: str, e: Estimate) -> str:
    """One line of a table."""
    if e.value is None:
        return f"  {name:<46}    –{'':<18}{e.n:>7}"
    interval = f"{e.low:.3f} – {e.high:.3f}" if e.low is not None else ""
    return f"  {name:<46}{e.value:.3f}  {interval:<16}{e.n:>7}"


def table(title: str, rows: list[Answered]) -> None:
    """A head's figures."""
    sick = [r for r in rows if r.defective]
    plain = [r for r in rows if r.arm in ("clean", "anomaly")]
    clean, asked = [r for r in rows if r.arm == "clean"], [r for r in rows if r.justified]
    print(f"\n{title:<48}value  95 % interval        n")
    for name, statistic in (("gIoU", giou), ("cIoU", ciou), ("Pixel F1, mean of images", f1)):
        print(line(name, over_bases(statistic, sick)))
    print(line("Pixel F1, all pixels together", over_bases(pooled_f1, sick)))
    print(line("Clean pictures marked", share(sum(r.marked for r in clean), len(clean))))
    print(line("Justified pictures marked", share(sum(r.marked for r in asked), len(asked))))
    print(line("AUC of P(defective), plain pairs", over_bases(auc, plain)))
    print(line("SRCC of the quality, plain pairs", over_bases(srcc, plain)))
    print(
        line("SRCC of the quality, without justified", over_bases(srcc, [r for r in rows if not r.justified]))
    )


def baselines(rows: list[Answered]) -> None:
    """What an empty and a full mask reach on the same pictures."""
    sick = [r for r in rows if r.defective]
    share_of = [(r.mask.both + r.mask.golden_only) / r.size for r in sick]
    print(f"\n{'Baselines':<48}value")
    print("  Empty mask: gIoU, cIoU, F1                    0.000")
    full = float(
        np.sum([s * r.size for s, r in zip(share_of, sick, strict=True)]) / sum(r.size for r in sick)
    )
    print(f"  Full mask: gIoU                               {np.mean(share_of):.3f}")
    print(f"  Full mask: cIoU                               {full:.3f}")
    print(
        f"  Full mask: pixel F1, mean of images           {np.mean([2 * s / (1 + s) for s in share_of]):.3f}"
    )


def told(whose: str, rows: list[Answered], following: list[Answered], alone: list[Answered]) -> None:
    """Masks that follow descriptions against those that do not (`rows`), on the same pictures.

    Words also lift the gate of P(defective): `alone` are masks without words and, where there are some, without it, for
    the part of the gain that the words make by themselves.
    """
    sick = [b for b in following if b.defective]
    clean = [b for b in following if b.arm == "clean"]
    print(f"\n{f'Following {whose}':<48}value  95 % interval        n")
    print(line("gIoU", over_bases(giou, sick)))
    print(line("Pixel F1, mean of images", over_bases(f1, sick)))
    print(line("gIoU, more than without (paired)", gain(rows, following)))
    print(line("  of which by the words themselves", gain(alone, following)))
    print(line("Clean pictures marked", share(sum(b.marked for b in clean), len(clean))))


def gain(before: list[Answered], after: list[Answered]) -> Estimate:
    """The mean difference of the IoUs of defective pictures, over resampled base scenes."""
    gains: dict[str, list[float]] = {}
    for a, b in zip(before, after, strict=True):
        if a.defective:
            gains.setdefault(a.base, []).append(b.mask.iou - a.mask.iou)
    return bootstrap(np.mean, [float(np.mean(v)) for v in gains.values()])


def main() -> None:
    """Read the arguments and print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", type=Path, required=True, help="folder for scenes and runs")
    parser.add_argument("--model", required=True, help="folder of the head")
    parser.add_argument("--scenes", type=int, default=250, help="base scenes (default 250), six rows of each")
    parser.add_argument("--no-describe", action="store_true", help="leave the descriptions out")
    args = parser.parse_args()
    manifest = args.work / "scenes" / "manifest.jsonl"
    if not manifest.exists():
        write_scenes(manifest.parent, args.scenes, SEED, pairs=True)

    def run_of(name: str, **how: Any) -> list[Answered]:
        run = open_run(str(manifest), str(args.work / name))
        segment_run(run, **how)
        return answered(run)

    def follow(name: str, whose: str, describe: Callable[[Run], object]) -> None:
        run = open_run(str(manifest), str(args.work / name))
        describe(run)
        following = run_of(name, model=args.model, prompt_with="describe", redo=True)
        rows = run.lookup("describe")
        said = [bool((row := rows(s.id)) and row.record and row.record["defective"]) for s in run.samples()]
        alone = [b if told_it else a for a, b, told_it in zip(ours, ungated, said, strict=True)]
        told(whose, ours, following, alone)

    name = Path(args.model).resolve().name
    ours = run_of(name, model=args.model)
    table(f"{args.model}", ours)
    table("nano, as packaged", run_of("packaged", model="nano"))
    baselines(ours)
    if read_config(Path(args.model)).text is not None and not args.no_describe:
        from describe.stage import describe_run

        ungated = run_of(f"{name}-ungated", model=args.model, marking=Marking(presence=0.0))
        texts = args.work / "golden.jsonl"
        with texts.open("w", encoding="utf-8") as f:
            for sample in open_run(str(manifest), str(args.work / name)).samples():
                golden = sample.golden.references()[0] if sample.golden and sample.golden.defective else None
                f.write(json.dumps({"id": sample.id, "description": golden}) + "\n")
        follow("golden", "people's descriptions", lambda run: import_descriptions(run, str(texts)))
        follow(
            "described",
            "nano's descriptions",
            lambda run: describe_run(run, model="nano", engine="transformers"),
        )


if __name__ == "__main__":
    main()
