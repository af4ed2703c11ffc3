"""COCO's form of a run: images, annotations of masks and of boxes, and beside them what COCO has no place for."""

import json
from collections.abc import Iterable
from typing import IO, Any

from flawscribe.images import ImageFailure
from flawscribe.runs import Run
from report.join import Joined
from report.pictures import size_of
from segment.coco import annotation as mask_annotation

CATEGORY, BOXED = 1, 2


def write_coco(run: Run, rows: Iterable[tuple[Joined, dict[str, Any]]], f: IO[str]) -> int:
    """Write one JSON object; returns the number of samples.

    `images` holds every sample whose picture's size is known, with the exported row under `flawscribe`
    (without the gated mask, which is its annotation); `failed` the rows of the others, which COCO's
    readers skip. An annotation is a gated mask (category 1: RLE, area in pixels, bbox as x, y, width, height) or a
    finding's box (category 2: the same as a rectangle, with the finding's `text`).
    """
    info = {"description": "flawscribe predictions", "date_created": run.info().get("created")}
    categories = [{"id": CATEGORY, "name": "defect"}, {"id": BOXED, "name": "described defect"}]
    head = {"info": info, "licenses": [], "categories": categories}
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
        found = []
        if j.mask is not None and (of_mask := mask_annotation(j.mask)):
            score = row["p_mask"] if row["p_mask"] is not None else row["p_defective"]
            found.append({**of_mask, "score": score})
        for finding in j.description.findings if j.description else ():
            if finding.box is not None:
                found.append({**_rectangle(finding.box), "text": finding.text, "score": row["p_defective"]})
        for annotation in found:
            annotations.append({"id": len(annotations) + 1, "image_id": image_id, **annotation})
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


def _rectangle(box: tuple[float, float, float, float]) -> dict[str, Any]:
    """The parts of an annotation that a finding's box decides."""
    x0, y0, x1, y1 = box
    return {
        "category_id": BOXED,
        "segmentation": [[x0, y0, x1, y0, x1, y1, x0, y1]],
        "area": (x1 - x0) * (y1 - y0),
        "bbox": [x0, y0, x1 - x0, y1 - y0],
        "iscrowd": 0,
    }
