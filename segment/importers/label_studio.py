"""Label Studio's JSON export of brush and polygon regions, of one annotator or of several.

Follows its documented task format: a list of tasks with `id`, `data` and `annotations`; of each annotation `result`,
`completed_by`, `was_cancelled`; of each result `type`, `value`, `original_width`, `original_height`, `image_rotation`.
A brush's `value.rle` is described in `segment.importers.brush`; a polygon's `value.points` are percent of the
picture's sides.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from flawscribe.errors import UserError, one_line
from flawscribe.images import ImageFailure
from segment.importers.base import Found, Options, Problem, Reading, Size, bad_mask, bad_row, problem
from segment.importers.brush import brush_mask
from segment.importers.regions import numbers, polygon_mask, union
from segment.importers.sources import base_name, existing, inside, listed, load_json, table

_UPLOADED = re.compile(r"^[0-9a-f]{8}-(.+)$")  # the prefix that Label Studio gives an uploaded file
_OTHER_SHAPES = (
    "rectangle",
    "rectanglelabels",
    "ellipse",
    "ellipselabels",
    "keypoint",
    "keypointlabels",
    "bitmask",
)


def read(source: Path, options: Options) -> Reading:
    """The tasks of an export, with `--annotators each` a row for every annotation; UserError where it is none.

    A picture is found in `--images`, else beside the export or in `images/` there, by the last part of the address that
    the task gives, with or without the prefix of an upload. Nothing is fetched.
    """
    content = load_json(source)
    if not isinstance(content, list) or not content or not all(isinstance(task, dict) for task in content):
        raise UserError(f"{source} is not a Label Studio export: a list of tasks")
    if not any("annotations" in task for task in content):
        raise UserError(f"{source} has tasks without annotations: export as JSON (not JSON-MIN)")
    return Reading(
        len(content), (row for n, task in enumerate(content) for row in _rows(source, n, task, options))
    )


def _rows(source: Path, n: int, task: dict[str, Any], options: Options) -> Iterator[Found | Problem]:
    place = f"{source.name}[{n}]"
    try:
        id, image = _id(task), _image(source, task, options)
        annotations = [
            a
            for a in (table(a, "an annotation") for a in listed(task.get("annotations", []), "annotations"))
            if not a.get("was_cancelled")
        ]
        if options.annotators != "each" or not annotations:
            yield _row(place, id, image, task, annotations, options)
            return
    except ImageFailure as e:
        yield problem(place, e.kind, str(e))
        return
    for k, annotation in enumerate(annotations):
        try:
            yield _row(f"{place}[{k}]", f"{id}/{annotation.get('id', k)}", image, task, [annotation], options)
        except ImageFailure as e:
            yield problem(f"{place}[{k}]", e.kind, str(e))


def _id(task: dict[str, Any]) -> str:
    id = task.get("id")
    if isinstance(id, bool) or not isinstance(id, int | str):
        raise bad_row("the task has no id")
    return str(id)


def _image(source: Path, task: dict[str, Any], options: Options) -> Path:
    data = table(task.get("data"), "data")
    given = data.get("image", next((v for v in data.values() if isinstance(v, str) and "." in v), None))
    name = base_name(given)
    names = [name, *([found[1]] if (found := _UPLOADED.match(name)) else [])]
    if options.images is not None:
        return existing(options.images, names)
    roots = [source.parent, source.parent / "images"]
    paths = (inside(root, name) for root in roots for name in names)
    return next((path for path in paths if path.is_file()), None) or existing(source.parent, names)


def _row(
    place: str,
    id: str,
    image: Path,
    task: dict[str, Any],
    annotations: list[dict[str, Any]],
    options: Options,
) -> Found:
    results = [[table(r, "a result") for r in listed(a.get("result", []), "result")] for a in annotations]
    labels = sorted({label for result in results for r in result for label in _labels(r)})
    texts = [text for result in results for r in result for text in _texts(r)]
    data = table(task.get("data"), "data")
    row: dict[str, Any] = {
        "id": id,
        "prompt": data.get("prompt") if isinstance(data.get("prompt"), str) else None,
        "task": task.get("id"),
        "annotators": [_annotator(a) for a in annotations],
        "categories": labels,
    }

    def mask(size: Size) -> np.ndarray | None:
        masks = [union(_regions(result, size, options)) for result in results]
        drawn = [m for m in masks if m is not None]
        if not drawn:
            return None
        needed = len(masks) // 2 + 1 if options.annotators == "majority" else 1
        marked = np.asarray(np.sum(drawn, axis=0) >= needed)
        return marked if marked.any() else None

    if not annotations:
        return Found(place, row, image)
    row["annotated_by"] = len(annotations)
    return Found(place, row | {"descriptions": texts}, image, mask, decides=True)


def _regions(result: list[dict[str, Any]], size: Size, options: Options) -> Iterator[np.ndarray]:
    """The masks of an annotation's regions; ImageFailure for one that cannot be read."""
    for region in result:
        kind, value = str(region.get("type", "")).lower(), region.get("value")
        if not isinstance(value, dict) or not (
            "rle" in value or kind.startswith("polygon") or "points" in value or kind in _OTHER_SHAPES
        ):
            continue  # choices, texts, ratings
        said = region.get("original_width"), region.get("original_height")
        if said != size:
            told = f"{one_line(said[0], 20)} x {one_line(said[1], 20)}"
            raise bad_mask(f"a region is for {told} pixels, but the picture has {size[0]} x {size[1]}")
        if region.get("image_rotation"):
            raise bad_mask("a region was drawn on a turned picture (image_rotation): not read")
        if "rle" in value:
            if value.get("format", "rle") != "rle":
                raise bad_mask(f"a brush has the format {one_line(value['format'], 40)}, not rle")
            yield brush_mask(value["rle"], size)
        elif "points" in value:
            yield polygon_mask(_pixels(value["points"], size), size, options.clip)
        else:
            raise bad_mask(f"a region is a {kind}: only brushes and polygons are read")


def _pixels(points: Any, size: Size) -> list[float]:
    """Percent of the sides [[x, y], …] as pixels [x, y, …]."""
    pairs = [numbers(pair, "a polygon's point") for pair in listed(points, "points")]
    if any(len(pair) != 2 for pair in pairs):
        raise bad_mask("a polygon's points are not pairs of numbers")
    return [value / 100 * side for pair in pairs for value, side in zip(pair, size, strict=True)]


def _labels(region: dict[str, Any]) -> list[str]:
    value = region.get("value")
    names = value.get(str(region.get("type"))) if isinstance(value, dict) else None
    if not str(region.get("type")).endswith("labels") or not isinstance(names, list):
        return []
    return [one_line(name, 100) for name in names]


def _texts(region: dict[str, Any]) -> list[str]:
    """What an annotator wrote about the picture."""
    value = region.get("value")
    if region.get("type") != "textarea" or not isinstance(value, dict):
        return []
    texts = value.get("text")
    return [text for text in (texts if isinstance(texts, list) else [texts]) if isinstance(text, str)]


def _annotator(annotation: dict[str, Any]) -> int | str | None:
    """Who made it: a number, or an email where the export has the whole user."""
    by = annotation.get("completed_by")
    if isinstance(by, dict):
        by = by.get("id", by.get("email"))
    return by if isinstance(by, int | str) else None
