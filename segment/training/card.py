"""What a training tells of itself: a card beside the weights, and its curves as a picture."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_SHOWN = {
    "giou": "gIoU",
    "giou_told": "gIoU, following the description",
    "f1": "pixel F1",
    "auc": "AUC of P(defective)",
    "srcc": "SRCC of the quality",
    "clean_marked": "flawless images marked",
}
_DRAWN = (
    "nano's encoder was trained on drawn scenes: of photographs and of generated pictures expect nothing."
)


def labelled(metrics: Mapping[str, float]) -> list[str]:
    """A line a validation figure, with its name for people."""
    return [f"{_SHOWN.get(k, 'cIoU' if k == 'ciou' else k):<34}{v:.3f}" for k, v in metrics.items()]


def plot(log: list[dict[str, float]], kept: int, file: Path) -> None:
    """Draw the terms of the loss and the validation figures over the epochs, as a PNG.

    `kept` is the epoch whose weights the head has, 0 where those are what training started from.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot
    from matplotlib.ticker import MaxNLocator

    figure, axes = pyplot.subplots(1, 2, figsize=(11, 4), layout="constrained")
    epochs = [line["epoch"] for line in log]
    for name in ("loss", "bce", "dice", "detection", "quality"):
        axes[0].plot(epochs, [line.get(name) for line in log], label=name)
    axes[0].set(title="Training loss, weighted terms", xlabel="epoch", ylim=(0, None))
    for name, label in _SHOWN.items():
        if any(name in line for line in log):
            axes[1].plot(epochs, [line.get(name) for line in log], label=label)
    axes[1].set(title="Validation, not gated by P(defective)", xlabel="epoch", ylim=(0, 1.02))
    for axis in axes:
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        if kept:
            axis.axvline(kept, color="grey", linestyle=":", label="kept")
        axis.grid(alpha=0.3)
        axis.legend(fontsize="small")
    figure.savefig(file, dpi=110)
    pyplot.close(figure)


def write_card(
    folder: Path,
    arguments: Mapping[str, Any],
    data: Mapping[str, Any],
    model: Mapping[str, Any],
    metrics: Mapping[str, float],
    left_out: list[str],
) -> None:
    """Write `CARD.md` for people and `training.json` with the same for programs."""
    content = {
        "arguments": arguments,
        "data": data,
        "model": model,
        "validation": metrics,
        "left_out": left_out,
    }
    (folder / "training.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    lines = [
        "# A defect head",
        "",
        f"Learned defect tokens in SAM's mask decoder over the frozen encoder `{arguments['encoder']}`: a mask, "
        "P(defective) and a quality of 1 to 5 for an image, by `flawscribe segment --model`.",
        "It knows only what its training data shows. Made by `flawscribe train segment`.",
        *([_DRAWN] if arguments["encoder"] == "nano" else []),
        "",
        "## Validation",
        "",
        f"On {data['validation_images']} images that it did not learn from, at the masks' own resolution. "
        "The thresholds were chosen on the same images: figures for a paper want a third part.",
        "",
    ]
    lines += [f"    {line}" for line in labelled(metrics)]
    for title, part in (("Data", data), ("Model", model), ("Arguments", arguments)):
        lines += ["", f"## {title}", "", *(f"    {k:<22}{v}" for k, v in part.items())]
    if left_out:
        lines += ["", f"## Left out: {len(left_out)} rows", "", *(f"    {line}" for line in left_out[:20])]
    lines += ["", "![Curves](curves.png)"]
    (folder / "CARD.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
