"""What training minimises: mask (BCE and Dice), P(defective), quality; each with a weight."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from segment.head import HeadOutput
from segment.training.data import Example

_INSIDE = 4  # how much more a defective pixel weighs in the BCE: defects cover a few per cent of a picture


@dataclass(frozen=True)
class Weights:
    """The weights of the four terms."""

    bce: float = 4.0
    dice: float = 1.5
    detection: float = 1.0
    quality: float = 0.3


@dataclass(frozen=True)
class Targets:
    """What is known of b images; a weight (b,) of 0 leaves an image out of a term.

    `defective` (b,) 0 or 1; `quality` (b, 2): as it is if what looks wrong is a defect, and if it was asked for.
    `masked` tells whose mask is known, `sick` whose mask is not empty, `detect` weighs the classes alike.
    """

    defective: Tensor
    quality: Tensor
    masked: Tensor
    sick: Tensor
    detect: Tensor
    graded: Tensor  # (b, 2)


def balance(examples: Sequence[Example]) -> tuple[float, float]:
    """The weights of a flawless and of a defective image under which both classes weigh alike, 1 on average."""
    sick = sum(e.defective for e in examples)
    clean = sum(not e.defective and not e.asked for e in examples)
    total = sick + clean
    return total / (2 * max(clean, 1)), total / (2 * max(sick, 1))


def targets(
    examples: Sequence[Example], told: Sequence[bool], classes: tuple[float, float], device: torch.device
) -> Targets:
    """The targets of examples, of which those `told` have their description shown to the head.

    A picture whose prompt asked for what looks wrong teaches only the quality "if it was asked for"; a flawless
    one both; a defective one only the quality with its defects. Shown descriptions teach the mask alone.
    """

    def tensor(values: list[float]) -> Tensor:
        return torch.tensor(values, device=device)

    silent = [not t for t in told]
    return Targets(
        defective=tensor([float(e.defective) for e in examples]),
        quality=tensor([e.quality or 0.0 for e in examples])[:, None].expand(-1, 2),
        masked=tensor([float(not e.asked and (not e.defective or e.mask is not None)) for e in examples]),
        sick=tensor([float(e.mask is not None) for e in examples]),
        detect=tensor(
            [s * (not e.asked) * classes[int(e.defective)] for e, s in zip(examples, silent, strict=True)]
        ),
        graded=torch.stack(
            [
                tensor(
                    [
                        float(s and e.quality is not None and not e.asked)
                        for e, s in zip(examples, silent, strict=True)
                    ]
                ),
                tensor(
                    [
                        float(s and e.quality is not None and not e.defective)
                        for e, s in zip(examples, silent, strict=True)
                    ]
                ),
            ],
            1,
        ),
    )


def terms(out: HeadOutput, mask: Tensor, inside: Tensor, t: Targets, weights: Weights) -> dict[str, Tensor]:
    """The weighted terms of the loss; `mask` and `inside` (b, m, m) as in `cache.Batch`.

    Dice after Milletari et al. 2016, with 1 added above and below, over the images with a defect; the BCE is a mean
    over the picture's pixels, in which defective ones weigh more.
    """
    logits = out.mask.float()
    pixel = F.binary_cross_entropy_with_logits(logits, mask, reduction="none") * (1 + _INSIDE * mask) * inside
    bce = pixel.sum((1, 2)) / inside.sum((1, 2))
    p = logits.sigmoid() * inside
    dice = 1 - (2 * (p * mask).sum((1, 2)) + 1) / (p.sum((1, 2)) + mask.sum((1, 2)) + 1)
    detection = F.binary_cross_entropy_with_logits(out.presence.float(), t.defective, reduction="none")
    graded = F.smooth_l1_loss(out.quality.float(), t.quality, reduction="none")
    return {
        "bce": weights.bce * _mean(bce, t.masked),
        "dice": weights.dice * _mean(dice, t.sick),
        "detection": weights.detection * _mean(detection, t.detect),
        "quality": weights.quality * _mean(graded, t.graded),
    }


def _mean(values: Tensor, weight: Tensor) -> Tensor:
    """The mean over what counts."""
    return (values * weight).sum() / (weight > 0).sum().clamp(min=1)
