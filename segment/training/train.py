"""The whole job: a manifest and an encoder in, a head's checkpoint out."""

import fcntl
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list

from flawscribe.errors import UserError, one_line
from flawscribe.models import nano_head_path
from segment.checkpoint import load_head, own_weights, save_head
from segment.encoders import load_encoder
from segment.encoders.base import Encoder
from segment.head import DefectHead, EncoderRef, TextRef, head_over
from segment.places import region_of, sentences
from segment.texts import embedder, text_digest
from segment.training.cache import Cache
from segment.training.card import plot, write_card
from segment.training.data import Example, check_enough, data_digest, read_examples
from segment.training.loop import BEST, LOG, STATE, Plan, Trainer, read_log, trained
from segment.training.losses import Weights
from segment.training.scoring import choose, scores
from segment.training.split import split
from segment.words import Words

_NAMES = {"presence": "P(defective)", "quality": "quality"}
_PLAN, _CACHE, _LOCK = "plan.json", "cache", "lock"
# What is there before a training begins, of one that could not begin.
_BEFORE = ("digests.jsonl", "pictures", _CACHE, _LOCK)
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
    rate: float = 5e-5
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

    Goes on where the same training was interrupted in `out`; a finished one is returned as it is. Embeddings are kept
    in `cache` (default `out/cache`), which trainings may share, one filling it at a time. Raises UserError for data
    that cannot be learnt from, another training in `out` without `force`, an unknown encoder; SetupError for damaged
    checkpoints.
    """
    if not any(asdict(arguments.weights).values()):
        raise UserError("all losses weigh 0: nothing would be learnt")
    accelerator = Accelerator(mixed_precision=_precision())
    main = accelerator.is_main_process
    with _alone(out, force) if main else nullcontext():
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
        torch.manual_seed(arguments.seed)
        head, started = _start(arguments, encoder)
        head = head.to(accelerator.device)
        learning = sum(p.numel() for p in trained(head).values())
        say: Tell = tell if tell and main else lambda line: None
        say(
            f"{len(parts['training'])} images to learn from, {len(parts['validation'])} for validation, "
            f"{learning / 1e6:.1f} M weights that learn, on {accelerator.device} × {accelerator.num_processes}"
        )
        kept = _filled(arguments.views, accelerator, encoder, head, parts, cache or out / _CACHE)
        words = _words(arguments.text, examples)
        trainer = Trainer(accelerator, head, started, kept, parts, words, _plan(arguments), out)
        head.config = replace(head.config, unlearnt=_unlearnt(examples, arguments.weights))
        not_learnt = ", ".join(_NAMES[what] for what in head.config.unlearnt)
        if not_learnt:
            say(f"not learnt, so the head will say nothing of it: {not_learnt}")
        trainer.fit(say)
        kept_epoch = trainer.epoch - trainer.since
        say(
            f"kept: epoch {kept_epoch}"
            if kept_epoch
            else "kept: what training started from; no epoch was better"
        )
        answers = trainer.answers()
        mask, presence = choose(
            parts["validation"], answers, arguments.clean_marked if head.learnt("presence") else 1.0
        )
        head.set_thresholds(round(mask, 4), round(presence, 4))
        metrics = scores(parts["validation"], answers, mask, presence)
        for name, of in (("auc", "presence"), ("srcc", "quality")):
            if not head.learnt(of):
                metrics.pop(name, None)
        if main:
            about = {"encoder_digest": encoder.digest, "learnt_weights": learning, "kept_epoch": kept_epoch}
            about["not_learnt"] = not_learnt or "nothing"
            _write(head, out, arguments, parts, _about_data(examples, digest), about, metrics, left_out)
        accelerator.wait_for_everyone()
        return metrics


def _plan(arguments: Arguments) -> Plan:
    shared = {f.name for f in fields(Plan)} & {f.name for f in fields(Arguments)}
    return Plan(**{name: getattr(arguments, name) for name in shared})


def _about_data(examples: list[Example], digest: str) -> dict[str, Any]:
    return {
        "digest": digest,
        "defective": sum(e.defective for e in examples),
        "flawless": sum(not e.defective for e in examples),
        "flawless, asked for": sum(e.asked for e in examples),
        "with a mask": sum(e.mask is not None for e in examples),
        "with a quality": sum(e.quality is not None for e in examples),
    }


def _unlearnt(examples: list[Example], weights: Weights) -> tuple[str, ...]:
    """See `HeadConfig.unlearnt`."""
    quality = weights.quality > 0 and any(e.quality is not None for e in examples)
    return tuple(n for n, learnt in (("presence", weights.detection > 0), ("quality", quality)) if not learnt)


def _write(
    head: DefectHead,
    out: Path,
    arguments: Arguments,
    parts: dict[str, list[Example]],
    data: dict[str, Any],
    model: dict[str, Any],
    metrics: dict[str, float],
    left_out: list[str],
) -> None:
    """Curves, card and, last, the head: a folder with a head is a finished training."""
    log = read_log(out)
    data |= {f"{part}_images": len(found) for part, found in parts.items()}
    model |= {
        "epochs": len(log),
        "mask_threshold": head.config.mask_threshold,
        "presence_threshold": head.config.presence_threshold,
    }
    plot(log, model["kept_epoch"], out / "curves.png")
    write_card(out, _plain(arguments), data, model, metrics, left_out)
    save_head(head, out)
    for name in (STATE, BEST):
        (out / name).unlink(missing_ok=True)


def _precision() -> str:
    """Half precision on a GPU, bfloat16 where it has that; a CPU computes in float32."""
    if not torch.cuda.is_available():
        return "no"
    return "bf16" if torch.cuda.is_bf16_supported() else "fp16"


def _plain(arguments: Arguments) -> dict[str, Any]:
    return asdict(arguments) | {"data": str(Path(arguments.data).resolve())}


def _check_folder(out: Path) -> None:
    """UserError for a folder that is neither new nor an earlier training's."""
    if out.exists() and not out.is_dir():
        raise UserError(f"{out} is no folder: give a new one with -o")
    begun = (out / _PLAN).is_file()
    if out.is_dir() and not begun and any(p.name not in _BEFORE for p in out.iterdir()):
        raise UserError(f"{out} holds something else than a training: give a new folder with -o")


def _same(arguments: Arguments, data: str, encoder: str, out: Path) -> dict[str, float] | None:
    """The figures of a finished training, None for one to begin or to go on with; UserError for another one."""
    wanted = json.loads(json.dumps(_plain(arguments) | {"data": data, "encoder_digest": encoder}))
    file = out / _PLAN
    if file.is_file():
        there = _read(file)
        if there != wanted:
            differing = sorted(k for k in wanted.keys() | there.keys() if wanted.get(k) != there.get(k))
            raise UserError(
                f"{out} holds a training with other settings ({', '.join(differing)}): give another folder, or --force"
            )
        if (out / "config.json").is_file():
            figures = _read(out / "training.json").get("validation")
            if not isinstance(figures, dict) or not all(isinstance(v, int | float) for v in figures.values()):
                raise UserError(f"{out / 'training.json'} holds no figures: --force trains anew")
            return figures
        return None
    file.write_text(json.dumps(wanted, indent=1) + "\n", encoding="utf-8")
    return None


def _read(file: Path) -> dict[str, Any]:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as e:
        raise UserError(f"{file} is missing or damaged: --force trains anew") from e
    if not isinstance(found, dict):
        raise UserError(f"{file} is damaged: --force trains anew")
    return found


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
    path = Path(ref.name).expanduser()
    if ref.name != "nano" and path.exists():  # the head is to find it from anywhere
        absolute = EncoderRef(str(path.resolve()), ref.digest, ref.side, ref.width)
        head.config = replace(head.config, encoder=absolute)
    started = {name for name in own_weights(head) if name.startswith(("decoder.", "positions.", "dense"))}
    folder = _initial(arguments.init, encoder)
    if folder is None:
        return head, started
    theirs, ours = own_weights(load_head(folder)), own_weights(head)
    shared = {k for k in ours if k in theirs and theirs[k].shape == ours[k].shape}
    if not all(k in shared for k in ours if k.startswith("decoder.")):
        raise UserError(f"the decoder of the head {folder} is not of the shape of one over {encoder.name}")
    head.load_state_dict({k: theirs[k] for k in shared}, strict=False)
    return head, started | shared


def _initial(init: str | None, encoder: Encoder) -> Path | None:
    """The folder of the head to start from, None where there is none."""
    if init == "nano" or (init is None and encoder.name == "nano"):
        return nano_head_path()
    if init is not None and not os.path.isfile(os.path.join(init, "config.json")):
        raise UserError(
            f"no head {one_line(init, 120)} to start from: give a directory that train segment made"
        )
    return None if init is None else Path(init)


def _filled(
    views: int,
    accelerator: Accelerator,
    encoder: Encoder,
    head: DefectHead,
    parts: dict[str, list[Example]],
    folder: Path,
) -> Cache:
    """The cache with every view in it; each process computes its share."""
    rank, world = accelerator.process_index, accelerator.num_processes
    side = head.config.detail or encoder.side // 4
    with _lock(folder, wait=True) if accelerator.is_main_process else nullcontext():
        accelerator.wait_for_everyone()  # until the first process has the lock
        kept = Cache(folder, encoder, side, head.config.detail > 0, rank, world)
        accelerator.wait_for_everyone()  # what is incomplete is cut off: nobody may write while others open
        training = [(e, v) for e in parts["training"] for v in range(views)]
        kept.fill(training + [(e, 0) for e in parts["validation"]])
        accelerator.wait_for_everyone()
        kept.reopen()
        accelerator.wait_for_everyone()
    return kept


@contextmanager
def _alone(out: Path, force: bool) -> Iterator[None]:
    """`out` made ready, and held: a second training there is refused."""
    _check_folder(out)
    with _lock(out, wait=False):
        if force:
            for name in _MADE:
                (out / name).unlink(missing_ok=True)
            shutil.rmtree(out / "tensorboard", ignore_errors=True)
        yield


@contextmanager
def _lock(folder: Path, wait: bool) -> Iterator[None]:
    folder.mkdir(parents=True, exist_ok=True)
    with os.fdopen(os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)) as f:
        try:
            fcntl.flock(f, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            raise UserError(f"another process is working on {folder}") from None
        yield


def _words(text: str | None, examples: list[Example]) -> dict[str, list[Words]]:
    """The golden descriptions of each id that has some."""
    if text is None:
        return {}
    embed, _ = embedder(text)
    return {
        e.id: [
            Words(vector, tuple(r for s in sentences(t) if (r := region_of(s)) is not None))
            for t, vector in zip(e.texts, embed(e.texts), strict=True)
        ]
        for e in examples
        if e.texts
    }
