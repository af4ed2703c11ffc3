"""COCO's form of a run: images, one annotation a mask, and beside them what COCO has no place for."""

import json
from collections.abc import Iterable
from typing import IO, Any

import numpy as np
from pycocotools import mask as coco

from flawscribe.images import ImageFailure
from flawscribe.records import RLE
from flawscribe.runs import Run
from report.join import Joined
from report.pictures import size_of
from segment.rle import decode

CATEGORY = 1


def write_coco(run: Run, rows: Iterable[tuple[Joined, dict[str, Any]]], f: IO[str]) -> int:
    """Write one JSON object; returns the number of samples.

    `images` holds every sample whose picture's size is known, with the exported row under `flawscribe`
    (without the gated mask, which is its annotation); `failed` the rows of the others, which COCO's
    readers skip. An annotation is a gated mask: RLE, area in pixels, bbox (x, y, width, height).
    """
    info = {"description": "flawscribe predictions", "date_created": run.info().get("created")}
    head = {"info": info, "licenses": [], "categories": [{"id": CATEGORY, "name": "defect"}]}
    annotations: list[dict[str, Any]] = []
    failed: list[dict[str, Any]] = []
    f.write(json.dumps(head)[:-1] + ', "images": [')
    n = image_id = 0
    for j, row in rows:
        n += 1
        size = _size(j)
        if size is None:
            failed.append(row)
            continue
        image_id += 1
        rest = {name: value for name, value in row.items() if name != "mask"}
        image = {
            "id": image_id,
            "file_name": row["image"],
            "width": size[0],
            "height": size[1],
            "flawscribe": rest,
        }
        f.write(("," if image_id > 1 else "") + "\n" + json.dumps(image, ensure_ascii=False, allow_nan=False))
        if j.mask is not None and (found := _annotation(j.mask)):
            score = row["p_mask"] if row["p_mask"] is not None else row["p_defective"]
            annotations.append({"id": len(annotations) + 1, "image_id": image_id, **found, "score": score})
    rest_of_file = json.dumps(
        {"annotations": annotations, "failed": failed}, ensure_ascii=False, allow_nan=False
    )
    f.write("], " + rest_of_file[1:] + "\n")
    return n


def _size(j: Joined) -> tuple[int, int] | None:
    """(width, height) of the picture, from its mask where it has one."""
    if j.prediction is not None and j.prediction.rle is not None:
        height, width = j.prediction.rle.size
        return width, height
    if j.sample is None:
        return None
    try:
        return size_of(j.sample.image)
    except ImageFailure:
        return None


def _annotation(rle: RLE) -> dict[str, Any] | None:
    """The parts of an annotation that its mask decides; None where the mask is damaged."""
    try:
        mask = decode(rle)
    except ValueError:
        return None
    box = coco.toBbox(coco.encode(np.asfortranarray(mask, dtype=np.uint8)))
    return {
        "category_id": CATEGORY,
        "segmentation": {"size": list(rle.size), "counts": rle.counts},
        "area": int(mask.sum()),
        "bbox": [float(side) for side in box],
        "iscrowd": 0,
    }
