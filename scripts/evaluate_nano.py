"""The figures of nano's card: balanced pairs of a seed it never saw (77001), then the same under each shift.

    python scripts/evaluate_nano.py --work /tmp/nano-figures --scenes 500 --shifted 100

Each set stands in its own run directory under --work; started again, it goes on where it was.
"""

import argparse
from pathlib import Path
from typing import Any

from describe.stage import describe_run
from flawscribe.inputs import open_run
from report.evaluate import evaluate
from report.tables import as_text
from scenes.dataset import write_scenes
from scenes.shifts import SHIFTS
from segment.stage import segment_run

SEED = 77_001


def figures(work: Path, scenes: int, shift: str | None) -> dict[str, Any]:
    """metrics.json of nano's run on `scenes` base scenes' pairs."""
    name = shift or "plain"
    manifest = work / name / "scenes" / "manifest.jsonl"
    if not manifest.exists():
        write_scenes(manifest.parent, scenes, SEED, pairs=True, shift=shift)
    run = open_run(str(manifest), str(work / name / "run"))
    describe_run(run, model="nano", engine="transformers")
    segment_run(run)
    return evaluate(run)


def line(name: str, metrics: dict[str, Any]) -> str:
    """One line of the table of shifts."""
    scenes = metrics["scenes"]
    said, marked = (scenes["within_pairs"][who] for who in ("description", "mask_head"))
    told = scenes["justification"]
    values = (
        said["all"]["auc"],
        said["plain"]["auc"],
        said["justified"]["auc"],
        marked["plain"]["auc"],
        told["justified_called_flawless"],
        told["unjustified_called_defective"],
        scenes["masks"]["giou_raw"],
        scenes["masks"]["clean_marked_gated"],
    )
    return f"{name:<10}" + "".join(f"{v['value']:>11.3f}" for v in values)


def main() -> None:
    """Print everything."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", type=Path, required=True, help="folder for scenes and runs")
    parser.add_argument("--scenes", type=int, default=500, help="base scenes as drawn (default 500)")
    parser.add_argument("--shifted", type=int, default=100, help="base scenes of each shift (default 100)")
    args = parser.parse_args()
    plain = figures(args.work, args.scenes, None)
    print(as_text(plain), flush=True)
    heads = ("AUC", "plain", "justified", "P(mask)", "excused", "unexcused", "gIoU", "marked")
    print(f"\n{'shift':<10}" + "".join(f"{head:>11}" for head in heads))
    print(line("none", plain), flush=True)
    for shift in SHIFTS if args.shifted else ():
        print(line(shift, figures(args.work, args.shifted, shift)), flush=True)


if __name__ == "__main__":
    main()
