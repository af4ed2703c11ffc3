"""Stage 2: the language side, on the tower of stage 1.

Of each base scene three pictures feed four rows whose prompts differ only in what they excuse, so that
neither the picture nor the prompt alone can tell the answer; the boolean weighs most.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.metrics import roc_auc_score, roc_curve
from torch import Tensor
from transformers import Idefics3ForConditionalGeneration, PreTrainedTokenizerFast

import prompts
from nano.build import IMAGE_TOKENS, PATCH, SIDE, copy_tower, new_vlm
from nano.data import KIND_NAMES, TRAIN_SEED, VALIDATION_SEED, Triples, pictures_of
from nano.loop import Batch, fit, loader, optimisers
from nano.thresholds import FIRST
from nano.tokenizer import END, train_tokenizer
from nano.train_tower import normalise
from scenes import words
from scenes.draw import Base, choose, prompts_of
from segment.head import DefectHead

_CORPUS_SEED = 20_003
_FROZEN = 0.4  # the share of the steps in which the tower stays as stage 1 left it
_NAMING = 12  # so many tokens after the boolean tell which defect of which subject an answer is about
_IMAGE = "<fake_token_around_image><global-img>" + "<image>" * IMAGE_TOKENS + "<fake_token_around_image>"


@dataclass(frozen=True)
class TextRow:
    """One row of a base scene: which of its three pictures, the user's text, and what is wrong under that prompt.

    `defects` are the picture's anomalies, by their numbers, that the prompt does not ask for.
    """

    picture: int
    user: str
    defects: tuple[int, ...]

    def seen(self, masks: np.ndarray) -> list[int]:
        """Which of its defects lie in sight, by its picture's covered shares, float (3, 32, 32)."""
        return [i for i in self.defects if masks[i].any()]

    def answer(self, base: Base, masks: np.ndarray) -> str:
        """The wire format's JSON for this row, from its picture's covered shares, float (3, 32, 32)."""
        shown = pictures_of(base)[self.picture]
        found = []
        for i in self.seen(masks):
            kind, seen = shown[i].kind, masks[i] >= 0.5
            place = words.location(seen if seen.any() else masks[i] > 0)
            found.append((kind, place, words.severity(kind, float(masks[i].mean()))))
        return wire(bool(found), [words.descriptions(found)[0]] if found else [])


RowsOf = Callable[[Base], list[TextRow]]

_protocol = cache(prompts.load)


def wire(defective: bool, text: list[str]) -> str:
    """The wire format without spaces: the one form that every server's constrained decoding allows."""
    return json.dumps({"Defective": defective, "Description": text}, separators=(",", ":"))


def user_text(prompt: str | None) -> str:
    """The user message of the describing protocol, exactly as `describe` asks it."""
    texts = _protocol("describe")
    return texts.render("user", prompt=prompt) if prompt is not None else texts.render("user_without_prompt")


def rows_of(base: Base) -> list[TextRow]:
    """Four rows: two under a neutral prompt (clean, defective), two under one that asks for one of the anomalies."""
    rng = np.random.default_rng((base.seed, base.index, 55))
    plain, excuse_a, excuse_b = prompts_of(base)
    shown = pictures_of(base)
    # A stands alone in its picture only where nothing is beside it; else B is what the prompt asks for.
    for_a = len(base.several) == 1 and rng.random() < 0.5
    excused, other, asked, excuse = (1, 2, base.a, excuse_a) if for_a else (2, 1, base.b, excuse_b)
    neutral = plain if rng.random() < 0.8 else None
    clean = excuse if rng.random() < 0.2 else neutral
    wrong = int(rng.integers(1, 3))
    left = tuple(i for i, a in enumerate(shown[other]) if a != asked)
    return [
        TextRow(0, user_text(clean), ()),
        TextRow(wrong, user_text(neutral), tuple(range(len(shown[wrong])))),
        TextRow(excused, user_text(excuse), ()),
        TextRow(other, user_text(excuse), left),
    ]


def pairs_of(base: Base) -> list[TextRow]:
    """The four justified rows that the benchmark has of a base scene, where nothing stands beside A in its picture."""
    _, excuse_a, excuse_b = (user_text(p) for p in prompts_of(base))
    return [
        TextRow(1, excuse_a, ()),
        TextRow(1, excuse_b, (0,)),
        TextRow(2, excuse_b, ()),
        TextRow(2, excuse_a, (0,)),
    ]


def corpus(scenes: int = 1500) -> list[str]:
    """The texts that the tokenizer is trained on: prompts and answers of scenes that nothing else uses."""
    texts = []
    for index in range(scenes):
        base = choose(_CORPUS_SEED, index)
        masks = np.zeros((3, 9, 9), dtype=np.float32)
        masks[:, index % 9, index // 9 % 9] = 1
        texts += [row.user for row in rows_of(base)]
        texts += [row.answer(base, masks) for row in rows_of(base)]
    return texts


@dataclass(frozen=True)
class _Tokens:
    """A row for the language side: its tokens, where the answer and its boolean stand, its picture, its label."""

    ids: list[int]
    answer: int
    boolean: int
    picture: int
    label: bool


class VlmTrainer(torch.nn.Module):
    """The VLM with its tokenizer: losses and answers for batches of triples."""

    def __init__(self, vlm: Idefics3ForConditionalGeneration, tokenizer: PreTrainedTokenizerFast) -> None:
        super().__init__()
        self.vlm, self.tokenizer = vlm, tokenizer
        self.true, self.false = (tokenizer.encode(w, add_special_tokens=False)[0] for w in ("true", "false"))
        contrast = torch.zeros(len(tokenizer))
        contrast[self.true], contrast[self.false] = 1.0, -1.0
        self.register_buffer("contrast", contrast, persistent=False)
        # For training alone: what the image tokens must tell, whatever the text asks of them.
        self.kinds = torch.nn.Linear(2 * vlm.lm_head.in_features, len(KIND_NAMES))

    def pictures(self, images: Tensor, frozen: bool) -> Tensor:
        """Image tokens (n, 16, hidden) of uint8 pictures (n, h, w, 3)."""
        grid = torch.ones(len(images), SIDE // PATCH, SIDE // PATCH, dtype=torch.bool, device=images.device)
        with torch.set_grad_enabled(torch.is_grad_enabled() and not frozen):
            seen = self.vlm.model.vision_model(normalise(images), patch_attention_mask=grid).last_hidden_state
        return self.vlm.model.connector(seen)

    def encode(self, batch: Batch, seed: int, rows_of: RowsOf = rows_of) -> list[_Tokens]:
        """The four rows of each base scene of the batch, in their order.

        Of every second true answer all is learnt, of the others no more than what is named first: long texts
        would take most of the time.
        """
        rows = []
        masks = batch["masks"].cpu().numpy()
        for b, index in enumerate(batch["index"].tolist()):
            base = choose(seed, index)
            for r, row in enumerate(rows_of(base)):
                shares = masks[b, row.picture]
                label = bool(row.seen(shares))
                ask = f"<|user|>{_IMAGE}{row.user}{END}<|assistant|>"
                before = self.tokenizer.encode(ask, add_special_tokens=False)
                after = self.tokenizer.encode(row.answer(base, shares) + END, add_special_tokens=False)
                at = after.index(self.true if label else self.false)
                if label and (index + r // 2) % 2:
                    after = after[: at + 1 + _NAMING]
                rows.append(
                    _Tokens(before + after, len(before), len(before) + at, 3 * b + row.picture, label)
                )
        return rows

    def odds(self, state: Tensor) -> Tensor:
        """The log-odds of true against false (n,) from the states that the boolean is read from (n, hidden)."""
        return self.vlm.lm_head(state) @ self.contrast

    def forward(
        self, batch: Batch, seed: int, frozen: bool, rows_of: RowsOf = rows_of
    ) -> tuple[dict[str, Tensor], Tensor, Tensor]:
        """Loss terms, the states that the boolean is read from (n, hidden), labels (n,)."""
        rows = self.encode(batch, seed, rows_of)
        device = batch["image"].device
        seen = self.pictures(batch["image"].flatten(0, 1), frozen)
        states = seen.new_empty(len(rows), self.vlm.lm_head.in_features)
        nll, weight = [], []
        # Long rows and short ones apart: less padding to compute.
        order = sorted(range(len(rows)), key=lambda i: len(rows[i].ids))
        cut = len(order) * 3 // 4
        for group in (order[:cut], order[cut:]):
            found, losses, weights = self._read([rows[i] for i in group], seen)
            states[group] = found
            nll.append(losses)
            weight.append(weights)
        label = torch.tensor([float(r.label) for r in rows], device=device)
        pairs = self.odds(states).view(
            -1, 2, 2
        )  # (clean, defective) and (excused, not excused) of each base scene
        truth = label.view(-1, 2, 2)
        gap = (pairs[..., 1] - pairs[..., 0]) * (truth[..., 1] - truth[..., 0])
        kinds = self.kinds(torch.cat([seen.mean(1), seen.amax(1)], -1))
        shown = batch["kinds"].flatten(0, 1)
        terms = {
            "text": (torch.cat(nll) * torch.cat(weight)).mean(),
            "pairs": 0.25 * F.softplus(-gap).mean(),
            "kinds": 0.2 * F.binary_cross_entropy_with_logits(kinds, shown, reduction="none").sum(1).mean(),
        }
        return terms, states, label

    def _read(self, rows: list[_Tokens], seen: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The states that the boolean is read from (n, hidden), and the answers' tokens' losses and weights, given
        image tokens (pictures, 16, hidden)."""
        longest = max(len(r.ids) for r in rows)
        pad = self.tokenizer.pad_token_id
        ids = torch.tensor([r.ids + [pad] * (longest - len(r.ids)) for r in rows], device=seen.device)
        place = torch.arange(longest, device=seen.device)
        first, end = (
            torch.tensor(v, device=seen.device)[:, None]
            for v in zip(*((r.answer, len(r.ids)) for r in rows), strict=True)
        )
        text = self.vlm.model.text_model
        embedded = text.get_input_embeddings()(ids)
        at = (ids == self.vlm.config.image_token_id)[..., None].expand_as(embedded)
        shown = seen[[r.picture for r in rows]]
        embedded = embedded.masked_scatter(at, shown.to(embedded.dtype))
        # Padding stands on the right, so the causal mask alone keeps every answer from seeing it.
        hidden = text(inputs_embeds=embedded, use_cache=False).last_hidden_state
        answer = ((place >= first) & (place < end))[:, 1:]
        nll = F.cross_entropy(self.vlm.lm_head(hidden[:, :-1][answer]), ids[:, 1:][answer], reduction="none")
        number = list(range(len(rows)))
        boolean = [r.boolean for r in rows]
        # The rest follows from the boolean and from what is named first, or is the same in every answer.
        after = place - torch.tensor(boolean, device=seen.device)[:, None]
        weight = 1.0 + ((after > 0) & (after <= _NAMING)) + 3.0 * (after == 0)
        return hidden[number, [i - 1 for i in boolean]], nll, weight[:, 1:][answer]


@torch.inference_mode()
def validate(model: VlmTrainer, scenes: int = 196) -> dict[str, float]:
    """AUC of clean against defective under neutral prompts, and accuracies under excusing ones."""
    device = next(model.parameters()).device
    odds, labels, nll = [], [], []
    for batch in loader(Triples(VALIDATION_SEED, range(scenes), augment=False), workers=0):
        terms, states, label = model({k: v.to(device) for k, v in batch.items()}, VALIDATION_SEED, True)
        odds.append(model.odds(states).cpu())
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


@torch.inference_mode()
def level(model: VlmTrainer, scenes: int = 4500) -> float:
    """Shift the boolean's log-odds; returns by how much.

    Afterwards as many justified validation rows are called flawless as unjustified ones defective. The shift goes
    into the output embedding of `true`, along the direction in which all states agree: no server need know.
    """
    device = next(model.parameters()).device
    alone = [i for i in range(FIRST, FIRST + scenes) if len(choose(VALIDATION_SEED, i).several) == 1]
    found, truth = [], []
    for batch in loader(Triples(VALIDATION_SEED, alone, augment=False), workers=0):
        shown = {k: v.to(device) for k, v in batch.items()}
        _, states, label = model(shown, VALIDATION_SEED, True, pairs_of)
        found.append(states)
        truth.append(label > 0.5)
    states, wrong = torch.cat(found), torch.cat(truth).cpu()
    false, true, thresholds = roc_curve(wrong, model.odds(states).cpu())
    shift = -float(thresholds[np.abs(true - (1 - false)).argmin()])
    ones = torch.ones(len(states), 1, dtype=torch.float64)
    direction = torch.linalg.lstsq(states.double().cpu(), ones, driver="gelsd").solution[:, 0]
    model.vlm.lm_head.weight[model.true] += shift * direction.to(states)
    return shift


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

    fit("vlm", model, opts, loss, lambda: validate(model), work, (steps,), workers)
    print(f"log-odds of true shifted by {level(model):.3f}")
    return vlm, tokenizer
