"""X-AIGD: Parquet files with the pictures inside, and polygons with a category each.

Follows the data set's card (Coxy7/X-AIGD) and its repository's own reader. That one draws polygons with OpenCV, border
pixels included; here they are filled as COCO's are, so masks are about half a pixel smaller all round.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from flawscribe.errors import UserError, one_line
from flawscribe.images import ImageFailure
from flawscribe.manifest_rows import BadRow
from flawscribe.manifest_tables import table_rows
from flawscribe.records import FailureKind
from segment.importers.base import Found, Options, Problem, Reading, Size, bad_mask, bad_row, problem
from segment.importers.regions import polygon_mask, union
from segment.importers.sources import listed, table

_KEPT = (
    "uid", "original_prompt", "positive_prompt", "negative_prompt", "guidance_scale", "num_inference_steps",
    "scheduler", "seed", "image_format", "jpeg_quality", "chroma_subsampling",
)  # fmt: skip


def read(source: Path, options: Options) -> Reading:
    """The rows of a Parquet file, or of those in a folder or its `data/`, by split: `labeled_test-*.parquet`.

    An empty list of labels says that people found nothing: the picture is flawless. No list: nobody looked.
    """
    files = (
        [source] if source.is_file() else sorted([*source.glob("*.parquet"), *source.glob("data/*.parquet")])
    )
    if options.splits:
        files = [file for file in files if file.name.partition("-")[0] in options.splits]
    if not files:
        raise UserError(f"{source} holds no Parquet files" + (" of these splits" if options.splits else ""))
    return Reading(None, (row for file in files for row in _rows(file, options)))


def _rows(file: Path, options: Options) -> Iterator[Found | Problem]:
    for place, raw in table_rows(file, file.name):
        try:
            if isinstance(raw, BadRow):
                raise bad_row(str(raw))
            yield _row(file, place, raw, options)
        except ImageFailure as e:
            yield problem(place, e.kind, str(e))


def _row(file: Path, place: str, raw: dict[str, Any], options: Options) -> Found:
    image = table(raw.get("image"), "image").get("bytes")
    if not isinstance(image, bytes):
        raise ImageFailure(FailureKind.MISSING_IMAGE, "the picture is not inside the file")
    said = raw.get("width"), raw.get("height")
    labels = [table(label, "a label") for label in listed(raw.get("labels") or [], "labels")]

    def mask(size: Size) -> np.ndarray | None:
        if None not in said and said != size:
            raise bad_mask(
                f"the row says {said[0]} x {said[1]} pixels, but the picture has {size[0]} x {size[1]}"
            )
        # Points outside are cut off: the publisher's own reader does.
        return union(polygon_mask(_flat(label.get("points")), size, clip=True) for label in labels)

    row: dict[str, Any] = {
        "id": f"{raw.get('generator')}/{raw.get('uid')}",
        "prompt": raw.get("positive_prompt") or raw.get("original_prompt"),
        "generator": raw.get("generator"),
        "split": file.name.partition("-")[0],
        "categories": sorted({one_line(label.get("label", "")) for label in labels}),
        **{name: raw[name] for name in _KEPT if raw.get(name) is not None},
    }
    if raw.get("labels") is not None:
        row["defective"] = bool(labels)
    return Found(place, row, image, mask if labels else None)


def _flat(points: Any) -> list[float]:
    """[[x, y], …] as [x, y, …]."""
    pairs = listed(points, "points")
    if not all(isinstance(pair, list) and len(pair) == 2 for pair in pairs):
        raise bad_mask("a polygon's points are not pairs of numbers")
    return [value for pair in pairs for value in pair]
