"""The whole job: a manifest and an encoder in, a head's checkpoint out."""

import json
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list

from flawscribe.errors import UserError
from flawscribe.models import nano_head_path
from segment.checkpoint import load_head, own_weights, save_head
from segment.encoders import load_encoder
from segment.encoders.base import Encoder
from segment.head import DefectHead, EncoderRef, TextRef, head_over
from segment.texts import embedder, text_digest
from segment.training.cache import Cache
from segment.training.card import plot, write_card
from segment.training.data import Example, check_enough, data_digest, read_examples
from segment.training.loop import BEST, LOG, STATE, Plan, Trainer, read_log, trained
from segment.training.losses import Weights
from segment.training.scoring import choose, scores
from segment.training.split import split

_PLAN, _CACHE = "plan.json", "cache"
_BEFORE = (
    "digests.jsonl",
    "pictures",
    _CACHE,
)  # what is there before a training begins, of one that could not
_MADE = (
    "config.json",
    "model.safetensors",
    "CARD.md",
    "curves.png",
    "training.json",
    _PLAN,
    LOG,
    STATE,
    BEST,
)
Tell = Callable[[str], None]


@dataclass(frozen=True)
class Arguments:
    """What decides a training; see the verb's help for each."""

    data: str
    encoder: str = "nano"
    init: str | None = None
    text: str | None = "hashed"
    refine: bool = True
    views: int = 4
    epochs: int = 24
    batch: int = 16
    rate: float = 2e-4
    decay: float = 0.05
    patience: int = 6
    validation: float = 0.2
    clean_marked: float = 0.05
    say: float = 0.5
    seed: int = 0
    weights: Weights = field(default_factory=Weights)
    skip_bad: bool = False


def train(
    arguments: Arguments,
    out: Path,
    *,
    cache: Path | None = None,
    force: bool = False,
    tell: Tell | None = None,
) -> dict[str, float]:
    """Train a head and write it to `out`; returns the validation figures at the thresholds chosen.

    Goes on where the same training was interrupted in `out`; a finished one is returned as it is. Embeddings are
    kept in
    `cache` (default `out/cache`). Raises UserError for data that cannot be learnt from, another training in `out`
    without `force`, an unknown encoder; SetupError for damaged checkpoints.
    """
    accelerator = Accelerator(mixed_precision=_precision())
    main = accelerator.is_main_process
    say: Tell = tell if tell and main else lambda line: None
    if main:
        _prepare(out, force)
    accelerator.wait_for_everyone()
    torch.manual_seed(arguments.seed)
    # The first process reads (and writes digests and embedded pictures), the others take over what it found.
    read: list[Any] = [read_examples(Path(arguments.data), out, arguments.skip_bad) if main else None]
    broadcast_object_list(read)
    examples, left_out = read[0]
    if not examples:
        raise UserError(f"{arguments.data} holds no image to learn from")
    parts = split(examples, arguments.validation, arguments.seed)
    check_enough(parts, detect=arguments.weights.detection > 0)
    encoder = load_encoder(arguments.encoder, str(accelerator.device))
    digest = data_digest(examples)
    finished: list[Any] = [_same(arguments, digest, encoder.digest, out) if main else None]
    broadcast_object_list(finished)
    if finished[0] is not None:
        figures: dict[str, float] = finished[0]
        return figures
    head, started = _start(arguments, encoder)
    head = head.to(accelerator.device)
    learning = sum(p.numel() for p in trained(head).values())
    say(
        f"{len(parts['training'])} images to learn from, {len(parts['validation'])} for validation, "
        f"{learning / 1e6:.1f} M weights that learn, on {accelerator.device} × {accelerator.num_processes}"
    )
    kept = _filled(arguments, accelerator, encoder, head, parts, cache or out / _CACHE)
    vectors = _vectors(arguments.text, examples)
    plan = Plan(
        epochs=arguments.epochs,
        batch=arguments.batch,
        rate=arguments.rate,
        decay=arguments.decay,
        patience=arguments.patience,
        seed=arguments.seed,
        views=arguments.views,
        say=arguments.say,
        weights=arguments.weights,
    )
    trainer = Trainer(accelerator, head, started, kept, parts, vectors, plan, out)
    trainer.fit(say)
    answers = trainer.answers()
    mask, presence = choose(parts["validation"], answers, arguments.clean_marked)
    head.set_thresholds(round(mask, 4), round(presence, 4))
    metrics = scores(parts["validation"], answers, mask, presence)
    if main:
        log = read_log(out)
        data = {
            "digest": digest,
            "training_images": len(parts["training"]),
            "validation_images": len(parts["validation"]),
            "defective": sum(e.defective for e in examples),
            "flawless": sum(not e.defective for e in examples),
            "flawless, asked for": sum(e.asked for e in examples),
            "with a mask": sum(e.mask is not None for e in examples),
        }
        model = {
            "encoder_digest": encoder.digest,
            "learnt_weights": learning,
            "epochs": len(log),
            "mask_threshold": head.config.mask_threshold,
            "presence_threshold": head.config.presence_threshold,
        }
        plot(log, out / "curves.png")
        write_card(out, _plain(arguments), data, model, metrics, left_out)
        save_head(head, out)  # last: a folder with a head is a finished training
        for name in (STATE, BEST):
            (out / name).unlink(missing_ok=True)
    accelerator.wait_for_everyone()
    return metrics


def _precision() -> str:
    """Half precision on a GPU, bfloat16 where it has that; a CPU computes in float32."""
    if not torch.cuda.is_available():
        return "no"
    return "bf16" if torch.cuda.is_bf16_supported() else "fp16"


def _plain(arguments: Arguments) -> dict[str, Any]:
    return asdict(arguments) | {"data": str(Path(arguments.data).resolve())}


def _prepare(out: Path, force: bool) -> None:
    """A folder that is new, or holds an earlier training; with `force` that makes way, all but its cache."""
    if out.exists() and not out.is_dir():
        raise UserError(f"{out} is no folder: give a new one with -o")
    begun = (out / _PLAN).is_file()
    if out.is_dir() and not begun and any(p.name not in _BEFORE for p in out.iterdir()):
        raise UserError(f"{out} holds something else than a training: give a new folder with -o")
    out.mkdir(parents=True, exist_ok=True)
    if force:
        for name in _MADE:
            (out / name).unlink(missing_ok=True)
        shutil.rmtree(out / "tensorboard", ignore_errors=True)


def _same(arguments: Arguments, data: str, encoder: str, out: Path) -> dict[str, float] | None:
    """The figures of a finished training, None for one to begin or to go on with; UserError for another one."""
    wanted = json.loads(json.dumps(_plain(arguments) | {"data": data, "encoder_digest": encoder}))
    file = out / _PLAN
    if file.is_file():
        there = json.loads(file.read_text(encoding="utf-8"))
        if there != wanted:
            differing = sorted(k for k in wanted.keys() | there.keys() if wanted.get(k) != there.get(k))
            raise UserError(
                f"{out} holds a training with other settings ({', '.join(differing)}): give another folder, or --force"
            )
        if (out / "config.json").is_file():
            figures: dict[str, float] = json.loads((out / "training.json").read_text())["validation"]
            return figures
        return None
    file.write_text(json.dumps(wanted, indent=1) + "\n", encoding="utf-8")
    return None


def _start(arguments: Arguments, encoder: Encoder) -> tuple[DefectHead, set[str]]:
    """A head to train, and the names of its tensors that were trained before.

    Over nano's encoder everything that the packaged head has starts from there; with `init` what another head has.
    """
    text = None
    if arguments.text is not None:
        text = TextRef(arguments.text, text_digest(arguments.text), embedder(arguments.text)[1])
    head = head_over(encoder, text, arguments.refine)
    ref = head.config.encoder
    assert ref is not None
    if Path(ref.name).exists():  # the head is to find it from anywhere
        absolute = EncoderRef(str(Path(ref.name).resolve()), ref.digest, ref.side, ref.width)
        head.config = replace(head.config, encoder=absolute)
    started = {name for name in own_weights(head) if name.startswith(("decoder.", "positions.", "dense"))}
    folder = arguments.init or (str(nano_head_path()) if encoder.name == "nano" else None)
    if folder is None:
        return head, started
    theirs, ours = own_weights(load_head(Path(folder))), own_weights(head)
    shared = {k for k in ours if k in theirs and theirs[k].shape == ours[k].shape}
    if not any(k.startswith("decoder.") for k in shared):
        raise UserError(f"the head {folder} fits no part of one over {encoder.name}")
    head.load_state_dict({k: theirs[k] for k in shared}, strict=False)
    return head, started | shared


def _filled(
    arguments: Arguments,
    accelerator: Accelerator,
    encoder: Encoder,
    head: DefectHead,
    parts: dict[str, list[Example]],
    folder: Path,
) -> Cache:
    rank, world = accelerator.process_index, accelerator.num_processes
    side = head.config.detail or encoder.side // 4
    kept = Cache(folder, encoder, side, head.config.detail > 0, rank, world)
    training = [(e, v) for e in parts["training"] for v in range(arguments.views)]
    items = training + [(e, 0) for e in parts["validation"]]
    kept.fill(items)
    accelerator.wait_for_everyone()
    kept.reopen()
    return kept


def _vectors(text: str | None, examples: list[Example]) -> dict[str, np.ndarray]:
    """The embedded golden descriptions of each id that has some."""
    if text is None:
        return {}
    embed, _ = embedder(text)
    return {e.id: embed(e.texts) for e in examples if e.texts}
