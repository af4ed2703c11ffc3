"""Masks and overlays as pictures in a folder, a file a sample."""

import hashlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

from PIL import Image
from tqdm import tqdm

from flawscribe.errors import UserError
from flawscribe.images import ImageFailure, load_image, shown_size
from flawscribe.records import MaskPrediction, Sample
from flawscribe.runs import Run, record_of
from segment.overlay import overlaid
from segment.rle import decode

_Draw = Callable[[Sample, MaskPrediction], Image.Image]
_LONGEST_NAME = 250  # bytes; file systems allow 255


def write_pngs(run: Run, folder: Path, force: bool = False) -> int:
    """Write every mask of the run as a picture (see `mask_path`; white = defective); returns their number.

    An empty mask is written as a black picture. Raises UserError, before anything is written, where two ids share
    a file's name or, without `force`, a file is there already: it may be anything, the picture itself too.
    """
    return _write(run, folder, force, "png", _mask)


def write_overlays(run: Run, folder: Path, force: bool = False) -> int:
    """Write every picture with its mask over it (see `overlay.overlaid`), by the same names and rules."""
    return _write(run, folder, force, "overlay", _overlay)


def _mask(sample: Sample, answer: MaskPrediction) -> Image.Image:
    size = shown_size(sample.image)
    return Image.new("1", size) if answer.rle is None else Image.fromarray(decode(answer.rle))


def _overlay(sample: Sample, answer: MaskPrediction) -> Image.Image:
    return overlaid(load_image(sample.image), answer)


def _write(run: Run, folder: Path, force: bool, what: str, draw: _Draw) -> int:
    wanted = set[Path]()
    for sample, _ in _answered(run):
        path = mask_path(folder, sample.id)
        if path in wanted:
            raise UserError(f"two ids would both be written to {path}: rename one")
        if os.path.lexists(path) and not force:
            raise UserError(f"{path} is there already: give another folder, or --force")
        if path.exists() and os.path.exists(sample.image) and path.samefile(sample.image):
            raise UserError(f"{path} is the picture itself: give another folder")
        wanted.add(path)
    written = 0
    for sample, answer in tqdm(_answered(run), total=len(wanted), desc=what, unit="image", delay=1):
        path = mask_path(folder, sample.id)
        try:
            _fitting(sample, answer)
            picture = draw(sample, answer)
        except (ImageFailure, ValueError) as e:
            raise UserError(f"{sample.id}: {e}") from e
        path.parent.mkdir(parents=True, exist_ok=True)
        picture.save(path)
        written += 1
    return written


def _answered(run: Run) -> Iterator[tuple[Sample, MaskPrediction]]:
    rows = run.lookup("segment")
    for sample in run.samples():
        if (row := rows(sample.id)) is not None and row.record is not None:
            yield sample, record_of(row, MaskPrediction, "segment")


def _fitting(sample: Sample, answer: MaskPrediction) -> None:
    """ValueError where a mask is of another size than its picture: neither is ever stretched to fit."""
    width, height = shown_size(sample.image)
    for rle in filter(None, (answer.rle, *(i.rle for i in answer.instances))):
        if rle.size != (height, width):
            told = f"{rle.size[1]} x {rle.size[0]} pixels, but its image has {width} x {height}"
            raise ValueError(f"the mask has {told}: mark it again (--redo)")


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
