"""The epochs: cosine rate, validation after each, early stopping, and a state from which a killed training goes on."""

import json
import math
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from torch import Tensor, nn
from tqdm import tqdm

from flawscribe.errors import SetupError
from segment.head import DefectHead, HeadOutput, Seen
from segment.training import losses, scoring
from segment.training.cache import Cache, Item
from segment.training.data import Example
from segment.training.scoring import Answers
from segment.training.views import lies_in, view_of
from segment.words import Words, row, silence

LOG, STATE, BEST = "log.jsonl", "state.pt", "best.pt"
_WARMUP = 0.05  # the share of all steps
_CLIP = 1.0
_WRONG = 0.25  # the share of shown descriptions that are another image's: those of a model will err, too
_NEW = 40  # how many times faster layers learn that begin at random


@dataclass(frozen=True)
class Plan:
    """How to learn: `rate` is that of weights that were trained before; `say` the share of images with a golden
    description that is shown to the head in training, `patience` the epochs without a better gIoU after which it
    ends."""

    epochs: int
    batch: int
    rate: float
    decay: float
    patience: int
    seed: int
    views: int
    say: float
    weights: losses.Weights


class Decoding(nn.Module):
    """The trained half of a head, as one call: what several GPUs share out."""

    def __init__(self, head: DefectHead) -> None:
        super().__init__()
        self.head = head

    def forward(self, seen: Seen, texts: Tensor | None) -> HeadOutput:
        """See `DefectHead.decode`."""
        return self.head.decode(seen, texts)


def trained(head: DefectHead) -> dict[str, nn.Parameter]:
    """The parameters that learn: not the encoder, nor SAM's parts that the head does without."""
    unused = ("encoder.", "decoder.iou", "decoder.mask_tokens", "positions.")
    spare = tuple(f"decoder.output_hypernetworks_mlps.{i}." for i in range(1, head.decoder.num_mask_tokens))
    return {n: p for n, p in head.named_parameters() if not n.startswith(unused) and not n.startswith(spare)}


class Trainer:
    """One training: `fit` runs the epochs that are left. `words` are the golden descriptions of each example's id; none
    where the head takes none."""

    def __init__(
        self,
        accelerator: Accelerator,
        head: DefectHead,
        started: set[str],
        cache: Cache,
        parts: dict[str, list[Example]],
        words: dict[str, list[Words]],
        plan: Plan,
        work: Path,
    ) -> None:
        self.accelerator, self.head, self.cache, self.parts = accelerator, head, cache, parts
        self.words, self.plan, self.work = words, plan, work
        learning = trained(head)
        head.requires_grad_(False)
        for p in learning.values():
            p.requires_grad_(True)
        old = [p for n, p in learning.items() if n in started]
        new = [p for n, p in learning.items() if n not in started]
        groups = [{"params": old, "lr": plan.rate}, {"params": new, "lr": plan.rate * _NEW}]
        optimiser = torch.optim.AdamW([g for g in groups if g["params"]], weight_decay=plan.decay)
        self.names = list(learning)
        self.rates = [g["lr"] for g in optimiser.param_groups]
        self.model, self.optimiser = accelerator.prepare(Decoding(head), optimiser)
        self.classes = losses.balance(parts["training"])
        self.epoch, self.best, self.since = 0, -1.0, 0

    def fit(self, say: Callable[[str], None]) -> None:
        """Train until the plan's end or until patience is exhausted; leaves the best weights in the head.

        `say` gets a line an epoch.
        """
        self._resume()
        steps = math.ceil(len(self.parts["training"]) / self.plan.batch)
        board: Any = _tensorboard(self.work) if self.accelerator.is_main_process else None
        valid = self.parts["validation"]
        if self.epoch == 0:  # what is no better than its start is not kept
            self.best = _score(scoring.scores(valid, self.answers(), 0.5, 0.0))
            if self.accelerator.is_main_process:
                _save(self._weights(), self.work / BEST)
        while self.epoch < self.plan.epochs and self.since < self.plan.patience:
            began = time.monotonic()
            line: dict[str, float] = {"epoch": self.epoch + 1, **self._epoch(steps)}
            line["seconds"] = time.monotonic() - began
            line |= scoring.scores(valid, self.answers(), 0.5, 0.0)
            score = _score(line)
            self.epoch += 1
            better = score > self.best
            self.best, self.since = (score, 0) if better else (self.best, self.since + 1)
            if self.accelerator.is_main_process:
                self._keep(line, better)
                say(_told(line))
                for name, value in line.items() if board else ():
                    board.add_scalar(name, value, self.epoch)
            self.accelerator.wait_for_everyone()
        self._load(torch.load(self.work / BEST, map_location="cpu", weights_only=True))
        if board:
            board.close()

    def _epoch(self, steps: int) -> dict[str, float]:
        """One pass over the training images, each in one of its views; the mean of each term."""
        examples, plan = self.parts["training"], self.plan
        rng = np.random.default_rng([plan.seed, self.epoch])
        order = rng.permutation(len(examples))
        numbers = rng.integers(plan.views, size=len(examples)) if self.epoch else np.zeros(len(examples), int)
        shown = self._shown(rng)
        sums: dict[str, Tensor] = {}
        self.model.train()
        main = self.accelerator.is_main_process
        bar = tqdm(range(steps), desc=f"epoch {self.epoch + 1}/{plan.epochs}", delay=2, disable=not main)
        for step in bar:
            chosen = order[step * plan.batch : (step + 1) * plan.batch]
            # Every process takes its share of the same batch; a short last one is filled up from its beginning.
            rank, world = self.accelerator.process_index, self.accelerator.num_processes
            mine = np.resize(chosen, math.ceil(len(chosen) / world) * world)[rank::world]
            found = self._loss([(examples[i], int(numbers[i])) for i in mine], [shown[i] for i in mine])
            self._rate((self.epoch * steps + step) / (plan.epochs * steps))
            self.accelerator.backward(torch.stack(list(found.values())).sum())
            self.accelerator.clip_grad_norm_(self.model.parameters(), _CLIP)
            self.optimiser.step()
            self.optimiser.zero_grad(set_to_none=True)
            sums = {k: v.detach() + sums.get(k, 0) for k, v in found.items()}
        means = {k: self.accelerator.reduce(v / steps, "mean") for k, v in sums.items()}
        return {"loss": float(sum(means.values())), **{k: float(v) for k, v in means.items()}}

    def _shown(self, rng: np.random.Generator) -> list[Words | None]:
        """What each training image is shown in an epoch: a golden description, at times another image's, or none."""
        examples = self.parts["training"]
        described = [i for i, e in enumerate(examples) if e.mask is not None and e.id in self.words]
        shown: list[Words | None] = [None] * len(examples)
        for i in described:
            said, wrong, which, whose = rng.random(4)
            if said < self.plan.say:
                told = self.words[
                    examples[described[int(whose * len(described))] if wrong < _WRONG else i].id
                ]
                shown[i] = told[int(which * len(told))]
        return shown

    def _loss(self, items: Sequence[Item], shown: Sequence[Words | None]) -> dict[str, Tensor]:
        device = self.accelerator.device
        batch = self.cache.batch(items, device)
        texts = None if self.head.config.text is None else self._texts(items, shown)
        with self.accelerator.autocast():
            out = self.model(batch.seen, texts)
        told = [words is not None for words in shown]
        t = losses.targets([e for e, _ in items], told, self.classes, device)
        return losses.terms(out, batch.mask, batch.inside, t, self.plan.weights)

    def _texts(self, items: Sequence[Item], shown: Sequence[Words | None]) -> Tensor:
        """The rows (see `segment.words`) of what each item is shown."""
        assert self.head.config.text is not None
        nothing = silence(self.head.config.text.width)
        rows = [
            nothing if words is None else row(words, lies_in(e, view_of(e, number), self.head))
            for (e, number), words in zip(items, shown, strict=True)
        ]
        return torch.from_numpy(np.stack(rows)).to(self.accelerator.device)

    @torch.inference_mode()
    def answers(self) -> Answers:
        """What the head says of the validation images as they are."""
        self.model.eval()
        examples, size = self.parts["validation"], self.plan.batch
        rank, world = self.accelerator.process_index, self.accelerator.num_processes
        mine = list(range(len(examples)))[rank::world]
        rows: list[tuple[int, Any]] = []
        for start in range(0, len(mine), size):
            indices = mine[start : start + size]
            chosen = [examples[i] for i in indices]
            batch = self.cache.batch([(e, 0) for e in chosen], self.accelerator.device)
            with self.accelerator.autocast():
                out = self.head.pool(self.head.decode(batch.seen), batch.seen)
                told = None
                if self.head.config.text is not None:
                    shown = [self.words[e.id][0] if e.id in self.words else None for e in chosen]
                    texts = self._texts([(e, 0) for e in chosen], shown)
                    told = self.head.follow(out, batch.seen, texts).mask
            masks, p = (
                (out.mask.float().sigmoid() * batch.inside).cpu().numpy(),
                out.presence.float().sigmoid().cpu(),
            )
            golden = batch.mask.cpu().numpy() >= 0.5
            follows = masks if told is None else (told.float().sigmoid() * batch.inside).cpu().numpy()
            for k, i in enumerate(indices):
                counts = (*scoring.count(masks[k], golden[k]), *scoring.count(follows[k], golden[k]))
                rows.append(
                    (i, (float(p[k]), out.quality[k].float().tolist(), int(golden[k].sum()), *counts))
                )
        everything = dict(gather_object(rows) if world > 1 else rows)
        ordered = [everything[i] for i in range(len(examples))]
        p_, quality, golden_, *counts_ = (np.array(column) for column in zip(*ordered, strict=True))
        return Answers(p_, quality, golden_, *counts_)

    def _rate(self, at: float) -> None:
        """A short linear warm-up, then half a cosine, over the share `at` of all steps."""
        factor = min(1.0, (at + 1e-3) / _WARMUP) * 0.5 * (1 + math.cos(math.pi * at))
        for group, rate in zip(self.optimiser.param_groups, self.rates, strict=True):
            group["lr"] = rate * factor

    def _keep(self, line: dict[str, float], better: bool) -> None:
        rounded = {k: round(v, 5) for k, v in line.items()}
        with (self.work / LOG).open("ab+") as f:
            f.seek(-min(1, f.tell()), os.SEEK_END)
            cut = f.read(1) not in (b"", b"\n")  # by a kill: the next line is one of its own
            f.write(b"\n" * cut + json.dumps(rounded).encode() + b"\n")
        if better:
            _save(self._weights(), self.work / BEST)
        state = {"weights": self._weights(), "optimiser": self.optimiser.state_dict(), "epoch": self.epoch}
        _save(state | {"best": self.best, "since": self.since}, self.work / STATE)

    def _weights(self) -> dict[str, Tensor]:
        return {n: p.detach().cpu() for n, p in self.head.named_parameters() if n in self.names}

    def _resume(self) -> None:
        if not (self.work / STATE).exists():
            return
        try:
            best = torch.load(self.work / BEST, map_location="cpu", weights_only=True)
            self._load(best)  # it is wanted in the end: whether it is whole is to be known now
            state = torch.load(self.work / STATE, map_location="cpu", weights_only=True)
            self._load(state["weights"])
            self.optimiser.load_state_dict(state["optimiser"])
            self.epoch, self.best, self.since = state["epoch"], state["best"], state["since"]
        except Exception as e:  # a damaged or foreign file fails in any way
            raise SetupError(
                f"cannot go on: {STATE} or {BEST} in {self.work} is damaged; --force begins anew"
            ) from e

    def _load(self, weights: dict[str, Tensor]) -> None:
        parameters = dict(self.head.named_parameters())
        with torch.no_grad():
            for name in self.names:
                parameters[name].copy_(weights[name])


def _score(line: dict[str, float]) -> float:
    """What early stopping goes by: gIoU whatever P(defective) is, which has its threshold only in the end.

    A head that follows words is to be good both with them and without.
    """
    return (line["giou"] + line.get("giou_told", line["giou"])) / 2


def read_log(work: Path) -> list[dict[str, float]]:
    """The epochs' lines; of an epoch logged twice (killed before its state was kept) the last."""
    lines: dict[float, dict[str, float]] = {}
    if not (work / LOG).is_file():
        return []
    for line in (work / LOG).read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            found = {str(name): float(value) for name, value in json.loads(line).items()}
            lines[found["epoch"]] = found
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            continue  # cut off by a kill
    return [lines[k] for k in sorted(lines)]


def _told(line: dict[str, float]) -> str:
    shown = {k: line[k] for k in ("loss", "giou", "giou_told", "f1", "auc", "srcc") if k in line}
    figures = ", ".join(f"{k} {v:.3f}" for k, v in shown.items())
    return f"epoch {line['epoch']:.0f}: {figures} ({line['seconds']:.0f} s)"


def _save(content: dict[str, Any], path: Path) -> None:
    temporary = path.with_name(path.name + ".tmp")
    try:
        torch.save(content, temporary)
        temporary.replace(path)
    except (OSError, RuntimeError) as e:  # torch's own writer raises the second
        temporary.unlink(missing_ok=True)
        told = e.strerror if isinstance(e, OSError) else "is the disk full?"
        raise SetupError(f"cannot write {path}: {told}") from e


def _tensorboard(work: Path) -> Any:
    """TensorBoard's writer where it is installed, else None."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(work / "tensorboard"))
