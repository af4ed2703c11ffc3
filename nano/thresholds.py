"""The head's two thresholds, chosen on scenes it was not trained on."""

from dataclasses import replace

import numpy as np
import torch
from sklearn.metrics import roc_curve

from nano.build import SIDE
from nano.data import VALIDATION_SEED, triple
from nano.train_tower import normalise
from segment.encoders import unframe
from segment.head import DefectHead

_GRID = np.linspace(0.2, 0.8, 13)
FIRST = 10_000
"""The first validation scene that thresholds are chosen on; the training log is made of those at the beginning."""
MARKED = 0.06
"""The share of clean pictures that may be marked."""


@torch.inference_mode()
def choose_thresholds(head: DefectHead, scenes: int = 500) -> None:
    """Set P(defective)'s threshold by Youden's index, but so that at most MARKED of the clean pictures pass, and the
    pixels' by the best gIoU over all defective pictures, those that do not pass counting as unmarked."""
    device = next(head.parameters()).device
    labels, scores, ious = [], [], []
    for index in range(FIRST, FIRST + scenes):
        pictures = triple(VALIDATION_SEED, index, augment=False)
        images = torch.from_numpy(np.stack([np.asarray(p.image) for p in pictures]))
        out = head(normalise(images.to(device)))
        scores += out.presence.sigmoid().tolist()
        labels += [bool(p.anomalies) for p in pictures]
        for picture, logits in zip(pictures, out.mask.cpu(), strict=True):
            pixels = unframe(logits, (SIDE, SIDE), (SIDE, SIDE)).sigmoid().numpy()
            ious.append([_iou(pixels >= threshold, picture.mask) for threshold in _GRID])
    label, score = np.array(labels), np.array(scores)
    false, true, thresholds = roc_curve(label, score)
    presence = max(thresholds[np.argmax(true - false)], np.quantile(score[~label], 1 - MARKED))
    presence = float(np.clip(presence, 0.05, 0.95))
    giou = (np.array(ious) * (score >= presence)[:, None])[label].mean(0)
    best = float(_GRID[np.argmax(giou)])
    head.config = replace(head.config, mask_threshold=round(best, 3), presence_threshold=round(presence, 3))


def _iou(marked: np.ndarray, truth: np.ndarray) -> float:
    return float((marked & truth).sum() / max((marked | truth).sum(), 1))
