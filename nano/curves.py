"""What the training logs say: learning curves as a picture, the last figures as a table."""

import json
from pathlib import Path

from nano.loop import BATCH

_SHOWN = {
    "tower": {
        "auc_one": "AUC, one subject a picture",
        "auc": "AUC, all scenes",
        "pair_accuracy": "pair accuracy",
        "giou": "mask gIoU",
        "clean_marked": "clean pictures marked",
    },
    "vlm": {
        "auc": "AUC, neutral prompts",
        "accuracy": "accuracy, neutral prompts",
        "excused": "justified called flawless",
        "not_excused": "not justified called defective",
    },
}
_TITLES = {"tower": "Stage 1: tower and mask head", "vlm": "Stage 2: language side"}


def read_log(path: Path) -> list[dict[str, float]]:
    """The lines of a training log; of a step logged twice (a resumed run) the last."""
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return sorted({line["step"]: line for line in lines}.values(), key=lambda line: line["step"])


def plot(work: Path, file: Path) -> None:
    """Draw the validation figures of both stages over the base scenes seen, as a PNG."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 2, figsize=(11, 4), sharey=True, layout="constrained")
    for axis, (stage, shown) in zip(axes, _SHOWN.items(), strict=True):
        log = read_log(work / f"{stage}.jsonl")
        seen = [line["step"] * BATCH / 1000 for line in log]
        for name, label in shown.items():
            axis.plot(seen, [line[name] for line in log], label=label)
        axis.set(title=_TITLES[stage], xlabel="base scenes seen, thousands", ylim=(0, 1.02))
        axis.grid(alpha=0.3)
        axis.legend(loc="lower right", fontsize="small")
    axes[0].set_ylabel("validation scenes")
    figure.savefig(file, dpi=110)
    pyplot.close(figure)


def table(work: Path) -> str:
    """The last validation figures of both stages, one line each."""
    lines = []
    for stage, shown in _SHOWN.items():
        last = read_log(work / f"{stage}.jsonl")[-1]
        lines.append(f"{_TITLES[stage]}: {last['step']:.0f} steps of {BATCH} base scenes")
        lines += [f"  {label:<34}{last[name]:.3f}" for name, label in shown.items()]
    return "\n".join(lines)
