"""Stage 1: the vision tower and the defect head, supervised densely on clean/defect triples.

Losses: part of every cell, mask, kinds, P(defective) and a ranking between the pictures of one base scene
(without the ranking and the dense labels a small tower learns the subject instead of its defect).
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn

from nano.build import LAYERS, MEAN, PATCH, SIDE, STD, WIDTH, new_head
from nano.data import GRID, KIND_NAMES, VALIDATION_SEED, Triples
from nano.loop import fit, loader, optimisers, steps_from
from scenes.canvas import PARTS
from scenes.draw import choose
from segment.head import DefectHead, HeadOutput, Seen

_EASY = (
    0.25  # the share of the steps that see one subject a picture: small ones among others teach nothing yet
)
_CELLS = (GRID * PATCH // SIDE) ** 2


def normalise(images: Tensor) -> Tensor:
    """uint8 (b, h, w, 3) RGB to float (b, 3, h, w) as nano takes it."""
    mean, std = (torch.tensor(v, device=images.device).view(3, 1, 1) for v in (MEAN, STD))
    return (images.permute(0, 3, 1, 2).float() / 255 - mean) / std


class TowerTrainer(nn.Module):
    """The head with two further outputs that only training needs: parts of cells and kinds."""

    def __init__(self) -> None:
        super().__init__()
        self.head = new_head()
        self.parts = nn.Linear(WIDTH, _CELLS * len(PARTS))
        self.kinds = nn.Linear(2 * WIDTH, len(KIND_NAMES))

    def forward(self, pixels: Tensor) -> tuple[HeadOutput, Tensor, Tensor]:
        """HeadOutput, part logits (b, parts, 32, 32), kind logits (b, kinds)."""
        encoder: Any = self.head.encoder
        hidden = encoder.patch_embed(pixels) + encoder.pos_embed
        for layer in encoder.layers:
            hidden = layer(hidden)
        out = self.head.decode(Seen(encoder.neck(hidden)))
        b, h, w, _ = hidden.shape
        cell = GRID // h
        parts = self.parts(hidden).view(b, h, w, cell, cell, len(PARTS))
        parts = parts.permute(0, 5, 1, 3, 2, 4).reshape(b, len(PARTS), GRID, GRID)
        flat = hidden.flatten(1, 2)
        return out, parts, self.kinds(torch.cat([flat.mean(1), flat.amax(1)], -1))


def initialise(model: TowerTrainer, pictures: Tensor) -> None:
    """Whitened patches, sine positions, small residual branches: a start from which a ViT learns in minutes."""
    encoder: Any = model.head.encoder
    patches = F.unfold(pictures, PATCH, stride=PATCH).transpose(1, 2).reshape(-1, 3 * PATCH * PATCH)
    mean = patches.mean(0)
    values, vectors = torch.linalg.eigh(torch.cov((patches - mean).T))
    weight = (vectors[:, -WIDTH:] / (values[-WIDTH:] + 1e-3).sqrt()).T
    with torch.no_grad():
        encoder.patch_embed.projection.weight.copy_(weight.view(WIDTH, 3, PATCH, PATCH))
        encoder.patch_embed.projection.bias.copy_(-weight @ mean)
        side = SIDE // PATCH
        frequency = 1 / 100 ** (torch.arange(WIDTH // 4) / (WIDTH // 4))
        angle = torch.arange(side)[:, None] * frequency
        wave = torch.cat([angle.sin(), angle.cos()], -1)
        grid = torch.cat([wave[:, None].expand(side, side, -1), wave[None].expand(side, side, -1)], -1)
        encoder.pos_embed.copy_(grid[None])
        for layer in encoder.layers:
            nn.init.xavier_uniform_(layer.attn.qkv.weight)
            nn.init.zeros_(layer.attn.qkv.bias)
            for last in (layer.attn.proj, layer.mlp.lin2):
                nn.init.normal_(last.weight, std=0.3 / math.sqrt(2 * LAYERS * last.in_features))
                nn.init.zeros_(last.bias)


def losses(model: TowerTrainer, batch: dict[str, Tensor]) -> dict[str, Tensor]:
    """The weighted terms of the loss for one batch of triples."""
    pixels = normalise(batch["image"].flatten(0, 1))
    kinds, mask = batch["kinds"].flatten(0, 1), batch["masks"].flatten(0, 1).sum(1)
    defective = kinds.amax(1)
    out, parts, kind_logits = model(pixels)
    # Defects cover a few per cent of the area: their pixels weigh more, a clean picture's all the same.
    weight = 1 + 4 * mask
    bce = (F.binary_cross_entropy_with_logits(out.mask, mask, reduction="none") * weight).mean()
    p, sick = out.mask.sigmoid().flatten(1), defective > 0
    inter, total = (p * mask.flatten(1)).sum(1), p.sum(1) + mask.flatten(1).sum(1)
    dice = (1 - (2 * inter + 1) / (total + 1))[sick].mean()
    score = out.presence.view(-1, 3)
    return {
        "parts": F.cross_entropy(parts, batch["parts"].flatten(0, 1).long()),
        "mask": 4 * bce,
        "dice": 1.5 * dice,
        "kind": F.binary_cross_entropy_with_logits(kind_logits, kinds, reduction="none").sum(1).mean(),
        "presence": F.binary_cross_entropy_with_logits(out.presence, defective),
        "ranking": 0.5 * F.softplus(score[:, :1] - score[:, 1:]).mean(),
        "quality": 0.3 * F.smooth_l1_loss(out.quality, batch["quality"].flatten(0, 1)),
    }


@torch.inference_mode()
def validate(head: DefectHead, scenes: int = 200) -> dict[str, float]:
    """AUC, pair accuracy, gIoU at 0.5 and the share of clean pictures marked, on unseen scenes as they are drawn.

    `auc_one` is over the scenes of one subject.
    """
    device = next(head.parameters()).device
    score, label, ious, marked, alone = [], [], [], [], []
    for batch in loader(Triples(VALIDATION_SEED, range(scenes), augment=False), workers=0):
        out = head(normalise(batch["image"].flatten(0, 1).to(device)))
        golden = batch["masks"].flatten(0, 1).sum(1) >= 0.5
        shown = (out.mask.cpu() > 0) & (out.presence.cpu() > 0)[:, None, None]
        sick = batch["kinds"].flatten(0, 1).amax(1) > 0
        union = (golden | shown).sum((1, 2)).clamp(min=1)
        ious += ((golden & shown).sum((1, 2)) / union)[sick].tolist()
        marked += shown.any(-1).any(-1)[~sick].float().tolist()
        score += out.presence.cpu().tolist()
        label += sick.tolist()
        for index in batch["index"].tolist():
            alone += [len(choose(VALIDATION_SEED, index).cells) == 1] * 3
    s, one = torch.tensor(score).view(-1, 3), np.array(alone)
    return {
        "auc": float(roc_auc_score(label, score)),
        "auc_one": float(roc_auc_score(np.array(label)[one], np.array(score)[one])),
        "pair_accuracy": float((s[:, 1:] > s[:, :1]).float().mean()),
        "giou": sum(ious) / len(ious),
        "clean_marked": sum(marked) / len(marked),
    }


def train_tower(work: Path, cycles: Sequence[int], device: str = "cpu", workers: int = 1) -> DefectHead:
    """Train (or go on from `work/tower.pt`) and return the head."""
    torch.manual_seed(0)
    model = TowerTrainer()
    first = torch.cat([b["image"].flatten(0, 1) for b in steps_from(0, 12, workers=0)])
    initialise(model, normalise(first))
    model.to(device)
    encoder: Any = model.head.encoder
    opts = optimisers(model, encoder.layers, 1e-3)
    fit(
        "tower",
        model,
        opts,
        lambda b, _: losses(model, b),
        lambda: validate(model.head),
        work,
        cycles,
        workers,
        easy=int(_EASY * cycles[0]),
    )
    return model.head
