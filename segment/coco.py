"""COCO's form of a run's masks: `images`, `annotations` with run-length masks, `categories`."""

import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from flawscribe.errors import UserError
from flawscribe.images import ImageFailure, shown_size
from flawscribe.records import RLE, MaskPrediction
from flawscribe.runs import Run, record_of
from segment.rle import area_of, box_of, decode_runs

CATEGORY = {"id": 1, "name": "defect", "supercategory": "defect"}


def annotation(rle: RLE) -> dict[str, Any] | None:
    """The parts of an annotation that its mask decides (bbox is x, y, width, height; area in pixels).

    None where the mask is damaged.
    """
    try:
        decode_runs(rle)
    except ValueError:
        return None
    x0, y0, x1, y1 = box_of(rle)
    return {
        "category_id": CATEGORY["id"],
        "segmentation": {"size": list(rle.size), "counts": rle.counts},
        "area": area_of(rle),
        "bbox": [x0, y0, x1 - x0, y1 - y0],
        "iscrowd": 0,
    }


def write_coco(run: Run, path: Path, force: bool = False) -> int:
    """Write the run's masks as one COCO file; returns the number of annotations.

    An annotation is an instance where the rows hold some (`--components`, prompted masks), else the image's one
    mask; its `score` the instance's own or P(defective). `images` holds every picture that can be opened, those
    without a mask too, with its sample's id beside COCO's number as `flawscribe_id`; `file_name` is the picture's
    path. The file is there as a whole or not at all. Raises UserError where it is there already and not `force`, or
    cannot be written.
    """
    if path.is_dir():
        raise UserError(f"{path} is a folder: give a file")
    if os.path.lexists(path) and not force:
        raise UserError(f"{path} is there already: give another file, or --force")
    if path.exists() and not path.is_file():
        return _write(run, path)  # a device or a pipe is written to, not replaced
    temporary = path.with_name(f".{path.name[:100]}.part")
    try:
        n = _write(run, temporary)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return n


def _write(run: Run, path: Path) -> int:
    n = 0
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Annotations wait in a file of their own: a run of any length is written in little memory.
        with tempfile.TemporaryFile("w+", encoding="utf-8") as rest, path.open("w", encoding="utf-8") as f:
            head = {"info": {"description": "flawscribe masks", "date_created": run.info().get("created")}}
            f.write(json.dumps({**head, "licenses": [], "categories": [CATEGORY]})[:-1] + ', "images": [')
            for number, (image, found) in enumerate(_images(run), 1):
                f.write(("," if number > 1 else "") + "\n" + json.dumps({"id": number, **image}))
                for one in found:
                    n += 1
                    rest.write(
                        ("," if n > 1 else "") + "\n" + json.dumps({"id": n, "image_id": number, **one})
                    )
            f.write('], "annotations": [')
            rest.seek(0)
            for line in rest:
                f.write(line)
            f.write("]}\n")
    except OSError as e:
        raise UserError(f"cannot write {path}: {e.strerror or e}") from e
    return n


def _images(run: Run) -> Iterator[tuple[dict[str, Any], list[dict[str, Any]]]]:
    """Every image that has an answer, and its annotations."""
    rows = run.lookup("segment")
    for sample in run.samples():
        row = rows(sample.id)
        if row is None or row.record is None:
            continue
        answer = record_of(row, MaskPrediction, "segment")
        try:
            width, height = shown_size(sample.image)
        except ImageFailure:
            continue  # gone since it was answered
        image = {
            "file_name": sample.image,
            "width": width,
            "height": height,
            "flawscribe_id": sample.id,
            "p_mask": answer.p_mask,
            "quality": answer.quality,
        }
        yield image, [one for one in _annotations(answer) if one["segmentation"]["size"] == [height, width]]


def _annotations(answer: MaskPrediction) -> Iterator[dict[str, Any]]:
    parts: list[tuple[RLE | None, float | None, str | None]] = [
        (i.rle, i.score, i.text) for i in answer.instances
    ]
    for rle, score, text in parts or [(answer.rle, None, None)]:
        if rle is not None and (one := annotation(rle)):
            score = answer.p_mask if score is None else score
            yield {
                **one,
                "score": 1.0 if score is None else score,
                **({} if text is None else {"text": text}),
            }
