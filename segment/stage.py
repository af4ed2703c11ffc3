"""The stage `segment`: a mask, P(defective) and quality for every sample of a run."""

import hashlib
import os
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from urllib.parse import quote

from PIL import Image

from flawscribe.digests import Digests
from flawscribe.errors import SetupError, UserError, did_you_mean
from flawscribe.fetched import fetching
from flawscribe.images import ImageFailure, load_image
from flawscribe.keys import key_of
from flawscribe.models import directory_digest, nano_head_path
from flawscribe.records import Failure, MaskPrediction, Row, Sample
from flawscribe.runs import Run, record_of
from flawscribe.stages import Counts, noted, run_stage
from segment.rle import decode

_Opened = tuple[Sample, str, Image.Image]
_BATCH = 16
_BATCH_PIXELS = 16_000_000  # of large pictures fewer are held at a time
_LONGEST_NAME = 250  # bytes; file systems allow 255


def head_folder(head: str) -> Path:
    """The folder of a head: `nano`, or a directory that holds one; UserError for anything else."""
    if head == "nano":
        return nano_head_path()
    if not Path(head).is_dir():
        raise UserError(f"no mask head {head!r}.{did_you_mean(head, ['nano'])} Or give a directory with one.")
    return Path(head)


def segment_run(
    run: Run, *, head: str = "nano", allow_urls: bool = False, redo: bool = False, quiet: bool = False
) -> Counts:
    """Mark every sample of the run that has no good row yet; `quiet` draws no progress bar.

    With `allow_urls` pictures at http(s) addresses are fetched (see `flawscribe.fetch`).

    Raises SetupError where torch and transformers are not installed, UserError for an unknown head.
    """
    folder = head_folder(head)
    digests = Digests(run.path)
    settings = {"head": head, "revision": directory_digest(folder)}

    def key(sample: Sample) -> str | Failure:
        try:
            return key_of(stage="segment", image=digests.digest(sample.image), **settings)
        except ImageFailure as e:
            return e.failure("segment")

    def process(pairs: Iterator[tuple[Sample, str]]) -> Iterator[Row]:
        first = next(pairs, None)
        if first is None:
            return  # nothing to do loads nothing
        answer, device = _answerer(folder)
        rows = _batches(chain([first], pairs), answer)
        yield from noted(rows, lambda: run.note("segment", device=device))

    ready = fetching(run, "segment", allow_urls)
    return run_stage(run, "segment", settings, key, process, ready=ready, redo=redo, quiet=quiet)


def _batches(
    pairs: Iterator[tuple[Sample, str]], answer: Callable[[list[_Opened]], Iterator[Row]]
) -> Iterator[Row]:
    """Rows by batches of a bounded number of pictures and pixels."""
    opened: list[_Opened] = []
    for sample, k in pairs:
        try:
            opened.append((sample, k, load_image(sample.image)))
        except ImageFailure as e:
            yield Row(id=sample.id, key=k, failure=e.failure("segment"))
        if len(opened) == _BATCH or sum(i.width * i.height for *_, i in opened) > _BATCH_PIXELS:
            yield from answer(opened)
            opened = []
    yield from answer(opened)


def _answerer(folder: Path) -> tuple[Callable[[list[_Opened]], Iterator[Row]], str]:
    """The head loaded, as a function from opened pictures to their rows, and the device that it runs on."""
    try:
        import torch

        from segment.head import load_head
        from segment.predict import predict
    except ImportError as e:
        raise SetupError(f"masks need torch and transformers ({e}); install flawscribe[torch]") from e
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = load_head(folder, device)

    def answer(opened: list[_Opened]) -> Iterator[Row]:
        answers = predict(model, [image for *_, image in opened]) if opened else []
        for (sample, k, _), found in zip(opened, answers, strict=True):
            yield Row(id=sample.id, key=k, record=found.model_dump(mode="json"))

    return answer, device


def write_pngs(run: Run, folder: Path, force: bool = False) -> int:
    """Write every mask of the run as a picture (see `mask_path`; white = defective); returns their number.

    An empty mask is written as a black picture. Raises UserError, before anything is written, where two ids share
    a file's name or, without `force`, a file is there already: it may be anything, the picture itself too.
    """
    rows, wanted = run.lookup("segment"), set[Path]()
    for sample in run.samples():
        row = rows(sample.id)
        if row is None or row.record is None:
            continue
        path = mask_path(folder, sample.id)
        if path in wanted:
            raise UserError(f"two ids would both be written to {path}: rename one")
        if os.path.lexists(path) and not force:
            raise UserError(f"{path} is there already: give another folder, or --force")
        if path.exists() and os.path.exists(sample.image) and path.samefile(sample.image):
            raise UserError(f"{path} is the picture itself: give another folder")
        wanted.add(path)
    for sample in run.samples():
        path, row = mask_path(folder, sample.id), rows(sample.id)
        if path not in wanted or row is None:
            continue
        answer = record_of(row, MaskPrediction, "segment")
        path.parent.mkdir(parents=True, exist_ok=True)
        if answer.rle is None:
            Image.new("1", load_image(sample.image).size).save(path)
        else:
            Image.fromarray(decode(answer.rle)).save(path)
    return len(wanted)


def mask_path(folder: Path, sample_id: str) -> Path:
    """The file of an id's mask: `folder/<id>.png`, or `folder/<id>` where the id ends in .png itself.

    An id that would lead outside the folder is written with its slashes escaped (`..%2Fx.png`), one
    that is too long for a file's name as a digest of itself.
    """
    name = sample_id if sample_id.lower().endswith(".png") else f"{sample_id}.png"
    if "\0" in name or name == ".png" or not _within(folder, name):
        name = quote(name, safe="")
    if any(len(part.encode()) > _LONGEST_NAME for part in name.split("/")):
        name = f"{hashlib.sha256(sample_id.encode()).hexdigest()}.png"
    return folder / name


def _within(folder: Path, name: str) -> bool:
    """Whether the name leads to a place in the folder; not where links lead out of it or round in a circle."""
    try:
        return (folder / name).resolve().is_relative_to(folder.resolve())
    except (OSError, RuntimeError):  # the latter from circles of links, before Python 3.13
        return False
