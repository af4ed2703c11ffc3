"""COCO object-detection files: `images`, `annotations` (polygons, run lengths, boxes) and `categories`.

Follows the format's own description (cocodataset.org, "Data format") and pycocotools' reading of it.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from flawscribe.errors import UserError, one_line
from flawscribe.images import ImageFailure
from flawscribe.records import FailureKind
from segment.importers.base import (
    Found,
    Options,
    Problem,
    Reading,
    Size,
    bad_mask,
    bad_row,
    problem,
)
from segment.importers.regions import box_mask, numbers, polygon_mask, rle_mask, union
from segment.importers.sources import inside, listed, load_json, table

_FOLDERS = ("", "images", "../images")


def read(source: Path, options: Options) -> Reading:
    """The pictures of a COCO file, each with the union of its annotations' regions; UserError where it is no such file.

    `file_name` is looked for in `--images`, else beside the file, in `images/` there or in `../images/`.
    """
    content = load_json(source)
    if not isinstance(content, dict) or not isinstance(content.get("images"), list):
        raise UserError(f"{source} is not a COCO file: it has no list of images")
    annotations = content.get("annotations", [])
    if not isinstance(annotations, list):
        raise UserError(f"{source} is not a COCO file: its annotations are not a list")
    categories = _categories(content.get("categories"), source)
    return Reading(len(content["images"]), _rows(source, content["images"], annotations, categories, options))


def _categories(listed: Any, source: Path) -> dict[int, str]:
    names = {}
    for category in listed if isinstance(listed, list) else []:
        if not isinstance(category, dict) or not isinstance(category.get("id"), int):
            raise UserError(f"{source}: a category has no number as its id")
        names[category["id"]] = one_line(category.get("name", category["id"]))
    return names


def _rows(
    source: Path, images: list[Any], annotations: list[Any], categories: dict[int, str], options: Options
) -> Iterator[Found | Problem]:
    of_image: defaultdict[Any, list[dict[str, Any]]] = defaultdict(list)
    known = Counter(image["id"] for image in images if isinstance(image, dict) and is_id(image.get("id")))
    for n, annotation in enumerate(annotations):
        owner = annotation.get("image_id") if isinstance(annotation, dict) else None
        if is_id(owner) and owner in known:
            of_image[owner].append(annotation)
        else:
            place = f"{source.name}:annotations[{n}]"
            yield problem(place, FailureKind.BAD_ROW, "its image_id names no image of the file")
    for n, image in enumerate(images):
        place = f"{source.name}:images[{n}]"
        try:
            yield _row(source, place, table(image, "it"), known, of_image, categories, options)
        except ImageFailure as e:
            yield problem(place, e.kind, str(e))


def _row(
    source: Path,
    place: str,
    image: dict[str, Any],
    known: Counter[int],
    of_image: dict[Any, list[dict[str, Any]]],
    categories: dict[int, str],
    options: Options,
) -> Found:
    if not is_id(image.get("id")):
        raise bad_row("its id is not a number")
    if known[image["id"]] > 1:
        raise bad_row(f"another image has the id {image['id']} too: whose the annotations are is not said")
    annotations = of_image.get(image["id"], [])
    regions = [_about(annotation, categories) for annotation in annotations]
    drawn = options.boxes_as_masks or any(annotation.get("segmentation") for annotation in annotations)

    def mask(size: Size) -> np.ndarray | None:
        return drawn_mask(image, annotations, size, options)

    row: dict[str, Any] = {
        "id": image.get("file_name"),
        "coco_image_id": image["id"],
        "categories": sorted({str(region["category"]) for region in regions}),
        "regions": regions,
    }
    if annotations or options.unmarked == "clean":
        row["defective"] = bool(annotations)
    return Found(place, row, _path(source, image.get("file_name"), options), mask if drawn else None)


def is_id(value: Any) -> bool:
    """Whether it is a number as COCO's ids are: true and false, which Python takes for 1 and 0, are none."""
    return isinstance(value, int) and not isinstance(value, bool)


def drawn_mask(
    image: dict[str, Any], annotations: list[dict[str, Any]], size: Size, options: Options | None = None
) -> np.ndarray | None:
    """The bool (h, w) union of an image's annotations, None where it is empty.

    `image` is the file's entry, `size` the picture's own (width, height); ImageFailure (bad_mask) where they differ,
    or an annotation is broken, or one has no region: the others alone would be a wrong mask.
    """
    _same_size(image, size)
    masks = [_mask(annotation, size, options or Options()) for annotation in annotations]
    return union(mask for mask in masks if mask is not None)


def _about(annotation: dict[str, Any], categories: dict[int, str]) -> dict[str, Any]:
    """What meta keeps of an annotation: its category's name and its box as x0, y0, x1, y1."""
    number = annotation.get("category_id")
    if not isinstance(number, int | None) or (categories and number not in categories):
        raise bad_row(f"the category {one_line(repr(number), 40)} of an annotation is not among the file's")
    about: dict[str, Any] = {
        "category": categories.get(number, str(number)) if isinstance(number, int) else ""
    }
    if (box := annotation.get("bbox")) is not None:
        about["box"] = list(_corners(box))
    return about


def _corners(box: Any) -> tuple[float, float, float, float]:
    values = numbers(box, "a bbox")
    if len(values) != 4:
        raise bad_mask(f"a bbox has {len(values)} numbers, not 4")
    x, y, width, height = values
    return x, y, x + width, y + height


def _same_size(image: dict[str, Any], size: Size) -> None:
    for name, own in zip(("width", "height"), size, strict=True):
        if image.get(name) is not None and image[name] != own:
            told = one_line(repr(image[name]), 40)
            raise bad_mask(f"the file says {name} {told}, but the picture has {size[0]} x {size[1]} pixels")


def _mask(annotation: dict[str, Any], size: Size, options: Options) -> np.ndarray | None:
    """An annotation's mask, None where it is empty: its segmentation, else with `--boxes-as-masks` its box."""
    what = f"annotation {one_line(repr(annotation.get('id')), 40)}"
    drawn = annotation.get("segmentation")
    if isinstance(drawn, dict):
        return rle_mask(drawn, size, what)
    if drawn:
        polygons = listed(drawn, f"{what}'s segmentation")
        return union(polygon_mask(p, size, options.clip, what) for p in polygons)
    if options.boxes_as_masks and annotation.get("bbox") is not None:
        return box_mask(_corners(annotation["bbox"]), size, options.clip, what)
    raise bad_mask(f"{what} has no segmentation: the mask without it would be a wrong one")


def _path(source: Path, name: Any, options: Options) -> Path:
    if options.images is not None:
        return inside(options.images, name)
    roots = [source.parent / folder for folder in _FOLDERS]
    paths = [inside(root, name) for root in roots if root.is_dir()]
    return next((path for path in paths if path.is_file()), paths[0])
