"""The head's two thresholds, chosen on scenes it was not trained on."""

from dataclasses import replace

import numpy as np
import torch
from sklearn.metrics import roc_curve

from nano.data import VALIDATION_SEED, Triples
from nano.loop import loader
from nano.train_tower import normalise
from segment.head import DefectHead

_GRID = np.linspace(0.2, 0.8, 13)


@torch.inference_mode()
def choose_thresholds(head: DefectHead, scenes: int = 200) -> None:
    """Set P(defective)'s threshold by Youden's index and the pixels' by the best gIoU over defective scenes."""
    device = next(head.parameters()).device
    labels, scores, shown, golden = [], [], [], []
    # From the far end of the seed: the scenes that the training log is made of stand at its beginning.
    for batch in loader(Triples(VALIDATION_SEED, range(10_000, 10_000 + scenes), augment=False), workers=0):
        out = head(normalise(batch["image"].flatten(0, 1).to(device)))
        labels.append(batch["kinds"].flatten(0, 1).amax(1).numpy() > 0)
        scores.append(out.presence.sigmoid().cpu().numpy())
        shown.append(out.mask.sigmoid().cpu().numpy())
        golden.append(batch["masks"].flatten(0, 1).sum(1).numpy() >= 0.5)
    label, score = np.concatenate(labels), np.concatenate(scores)
    pixels, truth = np.concatenate(shown), np.concatenate(golden)
    false, true, thresholds = roc_curve(label, score)
    presence = float(np.clip(thresholds[np.argmax(true - false)], 0.05, 0.95))
    seen = label & (score >= presence)

    def giou(threshold: float) -> float:
        marked = pixels[seen] >= threshold
        both = (marked & truth[seen]).sum((1, 2))
        return float((both / np.maximum((marked | truth[seen]).sum((1, 2)), 1)).mean())

    best = float(max(_GRID, key=giou))
    head.config = replace(head.config, mask_threshold=round(best, 3), presence_threshold=round(presence, 3))
