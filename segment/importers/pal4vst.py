"""PAL4VST, and any folder of pictures with a folder of masks beside it.

PAL4VST's set has `images/` and `labels/`, masks with the value 1 (they look black), splits as folders below both; its
layout is known from its repository's scripts and threads only, which name these folders.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from flawscribe.errors import UserError
from flawscribe.images import ImageFailure
from flawscribe.records import FailureKind
from segment.importers.base import Found, Options, Problem, Reading, Size, bad_mask, problem
from segment.importers.mask_files import mask_file
from segment.importers.sources import folder_of, inside, pictures

LABELS = ("labels", "masks", "annotations")


def read(source: Path, options: Options) -> Reading:
    """The pictures of every `images/` in the folder, each with the mask of its name in `labels/` (or `LABELS`' others).

    An empty mask says that nobody found anything: the picture is flawless. A mask without a picture is a failure,
    and so is a picture without a mask.
    """
    folder_of(source, "pictures and masks")
    pairs = sorted(
        (folder, labels)
        for folder in [*source.glob("images"), *source.glob("*/images"), *source.glob("*/*/images")]
        if (labels := next((p for name in LABELS if (p := folder.parent / name).is_dir()), None))
    )
    if not pairs:
        raise UserError(f"{source} holds no folder images/ with labels/, masks/ or annotations/ beside it")
    rows = [
        (folder, labels, path)
        for folder, labels in pairs
        for path in pictures(folder)
        if not options.splits or path.relative_to(folder).parts[0] in options.splits
    ]
    return Reading(len(rows), _rows(source, pairs, rows, options))


def _rows(
    source: Path, pairs: list[tuple[Path, Path]], rows: list[tuple[Path, Path, Path]], options: Options
) -> Iterator[Found | Problem]:
    used: set[Path] = set()
    for folder, labels, path in rows:
        id = path.relative_to(source).as_posix()
        try:
            label = mask_of(labels, path.relative_to(folder))
            if label is None:
                raise bad_mask(
                    f"there is no mask {labels.name}/{path.relative_to(folder).with_suffix('.png')}"
                )
            used.add(label)
            yield _row(source, id, folder, label, options)
        except ImageFailure as e:
            yield problem(id, e.kind, str(e))
    for folder, labels in pairs:
        for label in pictures(labels):
            split = label.relative_to(labels).parts[0]
            if label not in used and (not options.splits or split in options.splits):
                place = label.relative_to(source).as_posix()
                yield problem(place, FailureKind.MISSING_IMAGE, f"the mask has no picture in {folder}")


def mask_of(labels: Path, name: Path) -> Path | None:
    """The mask of the picture `name`: the same name below `labels`, with a lossless picture's extension or its own."""
    for suffix in (".png", ".bmp", ".tif", ".tiff", name.suffix):
        path = inside(labels, name.with_suffix(suffix).as_posix())
        if path.is_file():
            return path
    return None


def _row(source: Path, id: str, folder: Path, label: Path, options: Options) -> Found:
    inner = Path(id).relative_to(folder.relative_to(source)).parts
    row: dict[str, Any] = {"id": id, "set": folder.parent.relative_to(source).as_posix()}
    row["split"] = inner[0] if len(inner) > 1 else None

    def mask(size: Size) -> np.ndarray | None:
        return mask_file(label, size, options.threshold)

    return Found(id, row, inside(source, id), mask, decides=True)
