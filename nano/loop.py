"""The training loop of both stages: cosine schedule, a log line and a checkpoint every so often, resumable."""

import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from flawscribe.errors import SetupError, one_line
from nano.data import TRAIN_SEED, Triples, of_one_subject
from nano.muon import Muon

BATCH = 14  # base scenes a step; three pictures each

Batch = dict[str, Tensor]


def loader(data: Triples, workers: int) -> DataLoader[Batch]:
    """Batches in the data's own order, drawn by `workers` processes."""
    pictures = cast("Dataset[Batch]", data)  # its arrays become tensors on the way into a batch
    return DataLoader(pictures, BATCH, num_workers=workers, prefetch_factor=8 if workers else None)


def steps_from(start: int, stop: int, workers: int, easy: int = 0) -> Iterator[Batch]:
    """The training batches from step `start` on: step k always draws the same scenes.

    The first `easy` steps see one subject a picture, the others any scene.
    """
    easy = min(easy, stop)
    indices = [*of_one_subject(TRAIN_SEED, easy * BATCH), *range(easy * BATCH, stop * BATCH)]
    return iter(loader(Triples(TRAIN_SEED, indices[start * BATCH :], augment=True), workers))


def optimisers(model: nn.Module, blocks: nn.Module, lr: float) -> list[torch.optim.Optimizer]:
    """Muon at twice the rate for the matrices of `blocks`, AdamW for everything else."""
    matrices = [p for p in blocks.parameters() if p.ndim == 2]
    chosen = {id(p) for p in matrices}
    rest = [p for p in model.parameters() if id(p) not in chosen]
    return [Muon(matrices, lr=2 * lr), torch.optim.AdamW(rest, lr=lr, betas=(0.9, 0.98), weight_decay=0.05)]


def rate(step: int, cycles: Sequence[int], warmup: int = 60) -> float:
    """The factor on every learning rate: in each cycle of so many steps a linear warm-up, then a cosine to zero.

    Cycles after the first (SGDR, Loshchilov and Hutter 2017) start at half the rate: they go on where it ended.
    """
    top, first = 1.0, 0
    for steps in cycles:
        if step < first + steps:
            at = step - first
            return top * min(1.0, (at + 1) / warmup) * 0.5 * (1 + math.cos(math.pi * at / steps))
        top, first = 0.5, first + steps
    return 0.0


def fit(
    name: str,
    model: nn.Module,
    opts: list[torch.optim.Optimizer],
    loss: Callable[[Batch, int], dict[str, Tensor]],
    validate: Callable[[], dict[str, float]],
    work: Path,
    cycles: Sequence[int],
    workers: int = 1,
    every: int = 200,
    easy: int = 0,
) -> None:
    """Train for `cycles` of steps (see `rate`), from `work/NAME.pt` if it is there; a log line per `every` steps.

    The log is `work/NAME.jsonl`. `loss(batch, step)` gives the weighted terms, whose sum is minimised; for
    `easy` see `steps_from`.
    """
    device, steps = next(model.parameters()).device, sum(cycles)
    base = [[g["lr"] for g in o.param_groups] for o in opts]
    checkpoint, first = work / f"{name}.pt", 0
    if checkpoint.exists():
        try:
            state = torch.load(checkpoint, map_location=device, weights_only=True)
            model.load_state_dict(state["model"])
            for o, s in zip(opts, state["opts"], strict=True):
                o.load_state_dict(s)
            first = state["step"]
        except Exception as e:  # a damaged or foreign checkpoint fails in any way
            raise SetupError(f"cannot go on from {checkpoint}: {one_line(e)}. Delete it to begin anew") from e
    model.train()
    began = time.monotonic()
    for step, batch in enumerate(steps_from(first, steps, workers, easy), first):
        for o, lrs in zip(opts, base, strict=True):
            for group, lr in zip(o.param_groups, lrs, strict=True):
                group["lr"] = lr * rate(step, cycles)
        terms = loss({k: v.to(device) for k, v in batch.items()}, step)
        torch.stack(list(terms.values())).sum().backward()
        nn.utils.clip_grad_norm_(model.parameters(), 2.0)
        for o in opts:
            o.step()
            o.zero_grad(set_to_none=True)
        if (step + 1) % every == 0 or step + 1 == steps:
            speed = (step + 1 - first) * BATCH * 3 / (time.monotonic() - began)
            model.eval()
            line = {"step": step + 1, "images_per_second": speed}
            _log(work / f"{name}.jsonl", line | {k: v.item() for k, v in terms.items()} | validate())
            model.train()
            saved = {"model": model.state_dict(), "opts": [o.state_dict() for o in opts], "step": step + 1}
            torch.save(saved, work / f"{name}.tmp")
            (work / f"{name}.tmp").replace(checkpoint)
    model.eval()


def _log(path: Path, line: dict[str, float]) -> None:
    text = json.dumps({k: round(v, 4) for k, v in line.items()})
    print(text, flush=True)
    with path.open("a", encoding="utf-8") as f:
        f.write(text + "\n")
