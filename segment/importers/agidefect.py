"""Folders in the manner of AGIDefect-4K: `images/`, `masks/`, and one file of annotations.

The data set's own files are not published as this is written: read are the golden fields that its paper describes,
under the manifest's names (see docs/manifests.md) or those that `--column OURS=THEIRS` gives.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from flawscribe.errors import UserError
from flawscribe.images import ImageFailure
from flawscribe.manifest_rows import FIELDS, BadRow
from flawscribe.manifest_tables import table_rows
from segment.importers.base import Found, Options, Problem, Reading, Size, bad_mask, bad_row, problem
from segment.importers.mask_files import mask_file
from segment.importers.pal4vst import mask_of
from segment.importers.regions import union
from segment.importers.sources import existing, inside, listed, load_json, table

_TABLES = (".jsonl", ".ndjson", ".csv", ".tsv")


def read(source: Path, options: Options) -> Reading:
    """The rows of the annotation file `source`, or of the only one in the folder `source`.

    `image` is relative to the file's folder or to its `images/` (`--images`), `mask` to the folder or to its
    `masks/`; several masks, a list, are united. Without one, the mask of the picture's name in `masks/` counts.
    Without `id`, `image` is the id. UserError where there is no such file, or several.
    """
    file = source if source.is_file() else _only(source)
    if unknown := set(options.columns) - FIELDS:
        raise UserError(f"--column: {min(unknown)} is no column of a manifest ({', '.join(sorted(FIELDS))})")
    if file.suffix.lower() == ".json":
        content = load_json(file)
        if isinstance(content, dict):
            content = [{"id": id, **row} if isinstance(row, dict) else row for id, row in content.items()]
        if not isinstance(content, list):
            raise UserError(f"{file} is neither a list of rows nor an object of them by id")
        raws: Iterator[tuple[str, Any]] = ((f"{file.name}[{n}]", row) for n, row in enumerate(content))
        return Reading(len(content), _rows(file, raws, options))
    if file.suffix.lower() not in _TABLES:
        raise UserError(f"{file} is none of .json, {', '.join(_TABLES)}")
    image = options.columns.get("image", "image")
    return Reading(None, _rows(file, table_rows(file, file.name, image=image), options))


def _only(folder: Path) -> Path:
    found = sorted(p for p in folder.glob("*") if p.suffix.lower() in (".json", *_TABLES) and p.is_file())
    if len(found) != 1:
        names = ", ".join(path.name for path in found[:5]) or "none"
        raise UserError(f"{folder} needs one annotation file (.json, .jsonl or .csv); it has {names}")
    return found[0]


def _rows(file: Path, raws: Iterator[tuple[str, Any]], options: Options) -> Iterator[Found | Problem]:
    for place, raw in raws:
        try:
            if isinstance(raw, BadRow):
                raise bad_row(str(raw))
            yield _row(file, place, table(raw, "the row"), options)
        except ImageFailure as e:
            yield problem(place, e.kind, str(e))


def _row(file: Path, place: str, raw: dict[str, Any], options: Options) -> Found:
    theirs = set(options.columns.values())
    row = {name: value for name, value in raw.items() if name not in theirs}
    row |= {ours: raw.get(their) for ours, their in options.columns.items()}
    name, given = row.pop("image", None), row.pop("mask", None)
    if row.get("id") in (None, ""):
        row["id"] = name
    root = file.parent
    if options.images is not None:
        image = inside(options.images, name)
    else:
        image = next(
            (p for folder in (root, root / "images") if (p := inside(folder, name)).is_file()),
            inside(root, name),
        )
    paths = _masks(root, image, name, given)

    def mask(size: Size) -> np.ndarray | None:
        for path in paths:
            if path.exists() and image.exists() and path.samefile(image):
                raise bad_mask(f"{path} is the picture itself, not its mask")
        found = (mask_file(path, size, options.threshold) for path in paths)
        return union(m for m in found if m is not None)

    return Found(place, row, image, mask if paths else None)


def _masks(root: Path, image: Path, name: Any, given: Any) -> list[Path]:
    """The mask files of a row: those it names, else the one of the picture's name in `masks/`, else none."""
    if given in (None, "", []):
        if not (root / "masks").is_dir():
            return []
        inner = Path(str(name).removeprefix("images/"))
        found = mask_of(root / "masks", inner)
        return [] if found is None else [found]
    paths = []
    for mask in [given] if isinstance(given, str) else listed(given, "mask"):
        try:
            folders = [folder for folder in (root, root / "masks") if folder.is_dir()]
            found = next((p for folder in folders if (p := inside(folder, mask)).is_file()), None)
            paths.append(found or existing(root, [mask]))
        except ImageFailure as e:
            raise bad_mask(f"the mask: {e}") from e
    return paths
