"""HADM's Human Artifact Dataset: one JSON file a picture, with boxes around deformed parts and incomplete people.

Follows the folder structure of the repository's README and the fields that its own loader reads: `image` (height,
width), `annotation` (`body_parts`, `level`, `bbox`) and `human` (`tag`, `bbox`), boxes as two corners in any order.
The prompts are in `info.pkl`, a pickle, which is not read.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from flawscribe.errors import UserError, one_line
from flawscribe.images import ImageFailure
from segment.importers.base import Found, Options, Problem, Reading, Size, bad_mask, bad_row, problem
from segment.importers.regions import box_mask, numbers, union
from segment.importers.sources import folder_of, inside, listed, load_json, pictures, table


def read(source: Path, options: Options) -> Reading:
    """The pictures of `images/SPLIT/`, with `annotations/SPLIT/NAME.json`; UserError where there are no such folders.

    Where there are splits called `*_ALL`, the others are parts of them: without `--split` those alone are read.
    """
    root = folder_of(source / "images", "pictures: HADM's data set holds images/ and annotations/")
    folder_of(source / "annotations", "annotations")
    splits = sorted(path.name for path in root.iterdir() if path.is_dir())
    wanted = list(options.splits) or [name for name in splits if name.endswith("_ALL")] or splits
    if missing := set(wanted) - set(splits):
        raise UserError(f"{root} has no split {min(missing)} (it has {', '.join(splits)})")
    paths = [path for split in wanted for path in pictures(root / split)]
    return Reading(len(paths), _rows(source, root, paths, options))


def _rows(source: Path, root: Path, paths: list[Path], options: Options) -> Iterator[Found | Problem]:
    for path in paths:
        id = path.relative_to(root).as_posix()
        try:
            yield _row(source, root, id, options)
        except (ImageFailure, UserError) as e:
            failure = e if isinstance(e, ImageFailure) else bad_row(str(e))
            yield problem(id, failure.kind, str(failure))


def _row(source: Path, root: Path, id: str, options: Options) -> Found:
    file = inside(source / "annotations", id.rpartition(".")[0] + ".json")
    content = table(load_json(file), file.name)
    said = table(content.get("image"), "image")
    regions = [
        {"part": _word(a, "body_parts"), "level": _word(a, "level"), "box": _box(a)}
        for a in map(_table, listed(content.get("annotation", []), "annotation"))
    ]
    for human in map(_table, listed(content.get("human", []), "human")):
        tags = [one_line(tag) for tag in listed(human.get("tag", []), "tag")]
        regions += [{"tag": tag, "box": _box(human)} for tag in tags]

    def mask(size: Size) -> np.ndarray | None:
        if (said.get("width"), said.get("height")) != size:
            told = f"{one_line(said.get('width'), 20)} x {one_line(said.get('height'), 20)}"
            raise bad_mask(f"{file.name} says {told} pixels, but the picture has {size[0]} x {size[1]}")
        return union(box_mask(region["box"], size, options.clip) for region in regions)

    row: dict[str, Any] = {"id": id, "split": id.partition("/")[0], "regions": regions}
    row["categories"] = sorted({str(region.get("part") or region.get("tag")) for region in regions})
    if regions or options.unmarked == "clean":
        row["defective"] = bool(regions)
    return Found(id, row, inside(root, id), mask if options.boxes_as_masks else None)


def _table(value: Any) -> dict[str, Any]:
    return table(value, "an annotation")


def _word(annotation: dict[str, Any], name: str) -> str:
    value = annotation.get(name, "")
    if not isinstance(value, str):
        raise bad_row(f"{name} is not a text")
    return value


def _box(annotation: dict[str, Any]) -> list[float]:
    """x0, y0, x1, y1: the corners come in any order."""
    values = numbers(annotation.get("bbox"), "a bbox")
    if len(values) != 4:
        raise bad_mask(f"a bbox has {len(values)} numbers, not 4")
    x0, y0, x1, y1 = values
    return [min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1)]
