"""SynthScars (LEGION): a JSON list of `{number: {img_file_name, caption, refs}}` with polygons, beside `images/`.

Follows the file that the LEGION repository holds and its loader: each of `refs` has `sentence`, `explanation`, `bbox`
(null) and `segmentation`, a list of polygons [x0, y0, x1, y1, …] in pixels.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from flawscribe.errors import UserError, one_line
from flawscribe.images import ImageFailure
from segment.importers.base import Found, Options, Problem, Reading, Size, bad_row, problem
from segment.importers.regions import polygon_mask, union
from segment.importers.sources import base_name, existing, listed, load_json, table

_ANNOTATIONS = ("annotations", "annoations")  # the second stands in the repository's README


def read(source: Path, options: Options) -> Reading:
    """The pictures of one JSON file, or of every split of a folder (`SPLIT/annotations/*.json`, `SPLIT/images/`).

    Several entries of one picture are one row: the union of their regions, each caption a description. The files
    name pictures by paths of the publishers' own machines; only their last part counts.
    """
    files = [source] if source.is_file() else _files(source, options)
    rows = [(file, name, entries) for file in files for name, entries in _grouped(file).items()]
    return Reading(len(rows), (_safe_row(*row, options) for row in rows))


def _files(source: Path, options: Options) -> list[Path]:
    found = [
        file
        for folder in _ANNOTATIONS
        for pattern in (f"*/{folder}/*.json", f"{folder}/*.json")
        for file in sorted(source.glob(pattern))
        if not options.splits or file.parents[1].name in options.splits
    ]
    if not found:
        raise UserError(f"{source} holds no SPLIT/annotations/*.json")
    return found


def _grouped(file: Path) -> dict[str, list[tuple[str, Any]]]:
    """(number, entry) by picture; an entry that names none stands alone, under its number."""
    content = load_json(file)
    if not isinstance(content, list) or not all(isinstance(item, dict) for item in content):
        raise UserError(f"{file} is not SynthScars' JSON: a list of objects, each with its number as a name")
    grouped: dict[str, list[tuple[str, Any]]] = {}
    for item in content:
        for number, entry in item.items():
            try:
                name = base_name(entry["img_file_name"])
            except (ImageFailure, KeyError, TypeError):
                name = f"#{number}"
            grouped.setdefault(name, []).append((number, entry))
    return grouped


def _safe_row(file: Path, name: str, entries: list[tuple[str, Any]], options: Options) -> Found | Problem:
    place = f"{file.name}:{name}"
    try:
        return _row(file, place, name, entries, options)
    except ImageFailure as e:
        return problem(place, e.kind, str(e))


def _row(file: Path, place: str, name: str, entries: list[tuple[str, Any]], options: Options) -> Found:
    if name.startswith("#"):
        raise bad_row("it names no picture (img_file_name)")
    refs = [
        table(ref, "a ref")
        for _, e in entries
        for ref in listed(table(e, "an entry").get("refs", []), "refs")
    ]

    def polygons(size: Size) -> Iterator[np.ndarray]:
        for ref in refs:
            for polygon in listed(ref.get("segmentation", []), "segmentation"):
                yield polygon_mask(polygon, size, options.clip)

    captions = [caption for _, entry in entries if (caption := _text(entry, "caption"))]
    split = file.parents[1].name if file.parent.name in _ANNOTATIONS else ""
    row: dict[str, Any] = {
        "id": f"{split}/{name}" if split else name,
        "defective": True,
        "descriptions": [caption.strip('"').strip() for caption in captions],
        "annotations": [number for number, _ in entries],
        "regions": [{"phrase": _text(ref, "sentence"), "text": _text(ref, "explanation")} for ref in refs],
    }
    root = options.images or (file.parent.parent / "images" if split else file.parent / "images")
    return Found(place, row, existing(root, [name]), lambda size: union(polygons(size)))


def _text(entry: dict[str, Any], name: str) -> str:
    value = entry.get(name) or ""
    if not isinstance(value, str):
        raise bad_row(f"{name} is {one_line(repr(value), 40)}, not a text")
    return value
