"""Stage 2: the language side, on the tower of stage 1.

Of each base scene three pictures feed four rows whose prompts differ only in what they excuse, so that
neither the picture nor the prompt alone can tell the answer; the boolean weighs most.
"""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.metrics import roc_auc_score
from torch import Tensor
from transformers import Idefics3ForConditionalGeneration, PreTrainedTokenizerFast

import prompts
from nano.build import IMAGE_TOKENS, PATCH, SIDE, copy_tower, new_vlm
from nano.data import TRAIN_SEED, VALIDATION_SEED, Triples
from nano.loop import Batch, fit, loader, optimisers
from nano.tokenizer import END, train_tokenizer
from nano.train_tower import normalise
from scenes import words
from scenes.draw import choose
from scenes.kinds import Kind
from scenes.subjects import KINDS, SUBJECTS
from segment.head import DefectHead

_FROZEN = 0.4  # the share of the steps in which the tower stays as stage 1 left it
_IMAGE = "<fake_token_around_image><global-img>" + "<image>" * IMAGE_TOKENS + "<fake_token_around_image>"


@dataclass(frozen=True)
class TextRow:
    """One row of a base scene: which of its three pictures, the user's text, the answer, and the pair it ranks in."""

    picture: int
    user: str
    kind: Kind | None

    def answer(self, place: str) -> str:
        """The wire format's JSON for this row, `place` being where its defect is."""
        text = [words.descriptions(self.kind, place)[0]] if self.kind else []
        return wire(self.kind is not None, text)


_protocol = cache(prompts.load)


def wire(defective: bool, text: list[str]) -> str:
    """The wire format without spaces: the one form that every server's constrained decoding allows."""
    return json.dumps({"Defective": defective, "Description": text}, separators=(",", ":"))


def user_text(prompt: str | None) -> str:
    """The user message of the describing protocol, exactly as `describe` asks it."""
    texts = _protocol("describe")
    return texts.render("user", prompt=prompt) if prompt is not None else texts.render("user_without_prompt")


def rows_of(seed: int, index: int) -> list[TextRow]:
    """Four rows: two under a neutral prompt (clean, defective), two under one that excuses one of the defects."""
    rng = np.random.default_rng((seed, index, 55))
    subject, a, b = choose(seed, index)
    kinds: list[Kind | None] = [None, a, b]
    excused, other = (1, 2) if rng.random() < 0.5 else (2, 1)
    excuse = words.excusing_prompt((a, b)[excused - 1], rng)
    plain = words.plain_prompt(subject, rng) if rng.random() < 0.75 else None
    clean = excuse if rng.random() < 0.2 else plain
    wrong = int(rng.integers(1, 3))
    return [
        TextRow(0, user_text(clean), None),
        TextRow(wrong, user_text(plain), kinds[wrong]),
        TextRow(excused, user_text(excuse), None),
        TextRow(other, user_text(excuse), kinds[other]),
    ]


def corpus() -> list[str]:
    """Every text the tokenizer should know: all prompts' and all descriptions' words in use."""
    rng, texts = np.random.default_rng(1), []
    places = [f"{r} {c}" for r in ("upper", "middle", "lower") for c in ("left", "centre", "right")] + [
        "centre"
    ]
    for _ in range(6):
        for subject in SUBJECTS.values():
            texts += [user_text(words.plain_prompt(subject, rng)) for _ in range(4)] + [user_text(None)]
        for kind in KINDS.values():
            texts += [user_text(words.excusing_prompt(kind, rng)) for _ in range(3)]
            for place in places:
                texts += [wire(True, [t]) for t in words.descriptions(kind, place)]
                texts.append(wire(False, []))
    return texts


def place_of(mask: Tensor) -> str:
    """Where a (32, 32) covered-share map's defect is, in words."""
    seen = (mask >= 0.5).cpu().numpy()
    return words.location(seen if seen.any() else (mask > 0).cpu().numpy())


class VlmTrainer(torch.nn.Module):
    """The VLM with its tokenizer: losses and answers for batches of triples."""

    def __init__(self, vlm: Idefics3ForConditionalGeneration, tokenizer: PreTrainedTokenizerFast) -> None:
        super().__init__()
        self.vlm, self.tokenizer = vlm, tokenizer
        self.true, self.false = (tokenizer.encode(w, add_special_tokens=False)[0] for w in ("true", "false"))
        contrast = torch.zeros(len(tokenizer))
        contrast[self.true], contrast[self.false] = 1.0, -1.0
        self.register_buffer("contrast", contrast, persistent=False)

    def pictures(self, images: Tensor, frozen: bool) -> Tensor:
        """Image tokens (n, 16, hidden) of uint8 pictures (n, h, w, 3)."""
        grid = torch.ones(len(images), SIDE // PATCH, SIDE // PATCH, dtype=torch.bool, device=images.device)
        with torch.set_grad_enabled(torch.is_grad_enabled() and not frozen):
            seen = self.vlm.model.vision_model(normalise(images), patch_attention_mask=grid).last_hidden_state
        return self.vlm.model.connector(seen)

    def encode(self, batch: Batch, seed: int) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """ids (n, l), answer mask (n, l), the boolean's place (n,), picture (n,) and label (n,) of each row."""
        ids, answers, booleans, pictures, labels = [], [], [], [], []
        for b, index in enumerate(batch["index"].tolist()):
            for row in rows_of(seed, index):
                ask = f"<|user|>{_IMAGE}{row.user}{END}<|assistant|>"
                place = place_of(batch["mask"][b, row.picture]) if row.kind else ""
                before = self.tokenizer.encode(ask, add_special_tokens=False)
                after = self.tokenizer.encode(row.answer(place) + END, add_special_tokens=False)
                ids.append(before + after)
                answers.append([0] * len(before) + [1] * len(after))
                booleans.append(len(before) + after.index(self.true if row.kind else self.false))
                pictures.append(3 * b + row.picture)
                labels.append(float(row.kind is not None))
        longest = max(map(len, ids))
        pad = self.tokenizer.pad_token_id
        device = batch["image"].device
        padded = torch.tensor([i + [pad] * (longest - len(i)) for i in ids], device=device)
        wanted = torch.tensor([a + [0] * (longest - len(a)) for a in answers], device=device)
        boolean, picture, label = (torch.tensor(v, device=device) for v in (booleans, pictures, labels))
        return padded, wanted, boolean, picture, label

    def forward(self, batch: Batch, seed: int, frozen: bool) -> tuple[dict[str, Tensor], Tensor, Tensor]:
        """Loss terms, log-odds of true against false (n,), labels (n,)."""
        ids, wanted, boolean, picture, label = self.encode(batch, seed)
        seen = self.pictures(batch["image"].flatten(0, 1), frozen)[picture]
        text = self.vlm.model.text_model
        embedded = text.get_input_embeddings()(ids)
        at = (ids == self.vlm.config.image_token_id)[..., None].expand_as(embedded)
        embedded = embedded.masked_scatter(at, seen.to(embedded.dtype))
        # Padding stands on the right, so the causal mask alone keeps every answer from seeing it.
        hidden = text(inputs_embeds=embedded, use_cache=False).last_hidden_state
        rows = torch.arange(len(ids), device=ids.device)
        answer = wanted[:, 1:].bool()
        nll = F.cross_entropy(self.vlm.lm_head(hidden[:, :-1][answer]), ids[:, 1:][answer], reduction="none")
        weight = torch.ones_like(ids, dtype=torch.float)
        weight[rows, boolean] = 4.0
        odds = self.vlm.lm_head(hidden[rows, boolean - 1]) @ self.contrast
        pairs = odds.view(-1, 2, 2)  # (clean, defective) and (excused, not excused) of each base scene
        truth = label.view(-1, 2, 2)
        gap = (pairs[..., 1] - pairs[..., 0]) * (truth[..., 1] - truth[..., 0])
        terms = {
            "text": (nll * weight[:, 1:][answer]).mean(),
            "pairs": 0.25 * F.softplus(-gap).mean(),
        }
        return terms, odds, label


@torch.inference_mode()
def validate(model: VlmTrainer, scenes: int = 112) -> dict[str, float]:
    """AUC of clean against defective under neutral prompts, and accuracies under excusing ones."""
    device = next(model.parameters()).device
    odds, labels, nll = [], [], []
    for batch in loader(Triples(VALIDATION_SEED, 0, scenes, augment=True), workers=0):
        terms, o, label = model({k: v.to(device) for k, v in batch.items()}, VALIDATION_SEED, True)
        odds.append(o.cpu())
        labels.append(label.cpu())
        nll.append(terms["text"].item())
    o, label = torch.cat(odds).view(-1, 4), torch.cat(labels).view(-1, 4)
    return {
        "auc": float(roc_auc_score(label[:, :2].flatten(), o[:, :2].flatten())),
        "accuracy": float(((o[:, :2] > 0) == (label[:, :2] > 0.5)).float().mean()),
        "excused": float((o[:, 2] < 0).float().mean()),
        "not_excused": float((o[:, 3] > 0).float().mean()),
        "text_loss": sum(nll) / len(nll),
    }


def train_vlm(
    head: DefectHead, work: Path, steps: int, device: str = "cpu", workers: int = 1
) -> tuple[Idefics3ForConditionalGeneration, PreTrainedTokenizerFast]:
    """Train (or go on from `work/vlm.pt`) on the tower of `head`."""
    torch.manual_seed(0)
    tokenizer = train_tokenizer(corpus())
    vlm = new_vlm(tokenizer)
    copy_tower(head, vlm)
    model = VlmTrainer(vlm, tokenizer).to(device)
    opts = optimisers(model, vlm.model.text_model.layers, 1e-3)
    tower = {id(p) for p in vlm.model.vision_model.parameters()}
    rest = opts[1].param_groups[0]
    slow = [p for p in rest["params"] if id(p) in tower]
    rest["params"] = [p for p in rest["params"] if id(p) not in tower]
    opts[1].add_param_group({"params": slow, "lr": 1e-4})

    def loss(batch: Batch, step: int) -> dict[str, Tensor]:
        return model(batch, TRAIN_SEED, frozen=step < _FROZEN * steps)[0]

    fit("vlm", model, opts, loss, lambda: validate(model), work, steps, workers)
    return vlm, tokenizer
