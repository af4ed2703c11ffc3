"""A manifest as examples to learn from; whatever cannot be learnt from is refused by name."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from flawscribe.digests import Digests
from flawscribe.errors import UserError
from flawscribe.images import ImageFailure, load_image
from flawscribe.manifest import read_manifest
from flawscribe.manifest_rows import BadRow, boolean
from flawscribe.picture_files import is_url
from flawscribe.records import FailureKind, Sample
from segment.importers.mask_files import read_mask


@dataclass(frozen=True)
class Example:
    """One image to learn from.

    `size` is (height, width) in pixels, `box` the golden mask's bounding box (x0, y0, x1, y1), None where there is
    none.
    `asked` tells a flawless image whose prompt asked for what looks wrong (column `justified`): it cannot teach
    the head, which sees no prompt, what a defect looks like. `texts` are the golden descriptions, `part` the given
    split.
    """

    id: str
    image: str
    digest: str
    size: tuple[int, int]
    defective: bool
    asked: bool
    mask: str | None
    mask_digest: str | None
    box: tuple[int, int, int, int] | None
    quality: float | None
    texts: tuple[str, ...]
    prompt: str | None
    pair: str | None
    part: str | None
    hash: bytes  # see `dhash`


def read_examples(source: Path, work: Path, skip_bad: bool) -> tuple[list[Example], list[str]]:
    """The examples of a manifest or folder, and why other rows are none (only with `skip_bad`).

    Embedded pictures and digests are kept in `work`. Raises UserError that names the first row that cannot be used,
    unless `skip_bad` leaves such rows out.
    """
    digests = Digests(work)
    examples, bad = [], []
    for entry in tqdm(read_manifest(source, work / "pictures"), desc="reading", unit="image", delay=2):
        if isinstance(entry, Sample):
            try:
                examples.append(_example(entry, digests))
                continue
            except ImageFailure as e:
                bad.append(f"{entry.id}: {e}")
        else:
            place, message = entry[0], entry[1].message
            bad.append(message if message.startswith(place) else f"{place}: {message}")
    if bad and not skip_bad:
        more = f" (and {len(bad) - 1} more rows)" if len(bad) > 1 else ""
        raise UserError(f"{bad[0]}{more}: mend the data, or leave such rows out with --skip-bad")
    return examples, bad


def check_enough(parts: dict[str, list[Example]], detect: bool) -> None:
    """UserError where training or validation lacks what the losses need.

    Each part needs a defective image with a mask, and, where P(defective) is to be learnt, a flawless one.
    """
    everything = [e for part in parts.values() for e in part]
    for examples, where in ((everything, "the data"), *((parts[p], f"the part for {p}") for p in parts)):
        clean = sum(not e.defective and not e.asked for e in examples)
        masked = sum(e.box is not None for e in examples)
        if not masked:
            raise UserError(f"{where} holds no defective image with a mask ({len(examples)} images)")
        if not clean and detect:
            raise UserError(
                f"{where} holds no flawless image, so P(defective) cannot be learnt ({len(examples)} images): "
                "add some, or give --detection 0"
            )


def dhash(image: Image.Image) -> bytes:
    """The difference hash: 256 bits, whether each cell of a 16 × 16 grid is darker than its right neighbour."""
    small = np.asarray(image.convert("L").resize((17, 16), Image.Resampling.BOX), dtype=np.int16)
    return np.packbits(small[:, 1:] > small[:, :-1]).tobytes()


def _example(sample: Sample, digests: Digests) -> Example:
    golden = sample.golden
    if golden is None:
        raise ImageFailure(
            FailureKind.BAD_ROW,
            "nothing says whether it is defective (columns defective, descriptions, mask)",
        )
    for path in (sample.image, golden.mask or ""):
        if is_url(path):
            raise ImageFailure(FailureKind.MISSING_IMAGE, f"{path}: training takes local files")
    image = load_image(sample.image)
    box = None
    if golden.mask is not None:
        mask = read_mask(golden.mask, image.size)
        if bool(mask.any()) != golden.defective:
            told = "flawless, but its mask is not empty" if mask.any() else "defective, but its mask is empty"
            raise ImageFailure(FailureKind.BAD_MASK, f"{golden.mask}: the image is {told}")
        box = _box(mask) if golden.defective else None
    part, pair = sample.meta.get("split"), sample.meta.get("pair")
    try:
        justified = boolean(sample.meta, "justified")
    except BadRow as e:
        raise ImageFailure(FailureKind.BAD_ROW, str(e)) from e
    return Example(
        id=sample.id,
        image=sample.image,
        digest=digests.digest(sample.image),
        size=(image.height, image.width),
        defective=golden.defective,
        asked=not golden.defective and bool(justified),
        mask=golden.mask if box else None,
        mask_digest=digests.digest(golden.mask) if box and golden.mask else None,
        box=box,
        quality=golden.quality,
        texts=golden.references() if golden.defective else (),
        prompt=sample.prompt,
        pair=None if pair is None else str(pair),
        part=None if part is None else str(part),
        hash=dhash(image),
    )


def _box(mask: np.ndarray) -> tuple[int, int, int, int]:
    ys, xs = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return int(xs[0]), int(ys[0]), int(xs[-1]) + 1, int(ys[-1]) + 1


def data_digest(examples: Iterable[Example]) -> str:
    """16 hex digits over what training learns from: pictures, masks, labels, texts, the given split; not over paths."""
    total = hashlib.sha256()
    for e in sorted(examples, key=lambda e: e.id):
        told = (
            e.id,
            e.digest,
            e.mask_digest,
            e.defective,
            e.asked,
            e.quality,
            e.texts,
            e.prompt,
            e.pair,
            e.part,
        )
        total.update(repr(told).encode())
    return total.hexdigest()[:16]
