"""RichHF-18K: TFRecord files of people's scores and heatmaps of artifacts and misalignment, without the pictures.

Follows the fields of the publishers' own reader (google-research, richhf_18k/parse_tfrecord_file.py): `filename`,
`artifact_map` and `misalignment_map` (encoded pictures, 512 x 512, 0 to 255), `aesthetics_score`, `artifact_score`,
`misalignment_score`, `overall_score`, `prompt_misalignment_label`. The pictures come from Pick-a-Pic by their names.
"""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from flawscribe.errors import UserError, one_line
from flawscribe.images import ImageFailure, open_picture
from segment.importers.base import Found, Options, Problem, Reading, Size, bad_mask, bad_row, problem
from segment.importers.sources import base_name, existing, folder_of, other_extensions
from segment.importers.tfrecord import BadRecord, Feature, example, records

SCORES = ("aesthetics_score", "artifact_score", "misalignment_score", "overall_score")
_MAPS = {"artifact_map": "heatmap", "misalignment_map": "misalignment_heatmap"}


def read(source: Path, options: Options) -> Reading:
    """The examples of a `.tfrecord` file, or of a folder's (`train`, `dev`, `test`); needs `--images`.

    A picture is found by its whole name below `--images`, by the last part of it, or by that with another extension.
    """
    if options.images is None:
        raise UserError("RichHF-18K holds no pictures: say where Pick-a-Pic's are with --images")
    folder_of(options.images, "pictures")
    files = [source] if source.is_file() else sorted(source.glob("*.tfrecord"))
    if options.splits:
        files = [file for file in files if file.name.partition(".")[0] in options.splits]
    if not files:
        raise UserError(f"{source} holds no .tfrecord files" + (" of these splits" if options.splits else ""))
    return Reading(None, (row for file in files for row in _rows(file, options)))


def _rows(file: Path, options: Options) -> Iterator[Found | Problem]:
    for n, record in enumerate(records(file), 1):
        place = f"{file.name}:{n}"
        try:
            if isinstance(record, BadRecord):
                raise record
            yield _row(file, place, example(record), options)
        except BadRecord as e:
            bad = bad_row(str(e))
            yield problem(place, bad.kind, str(bad))
        except ImageFailure as e:
            yield problem(place, e.kind, str(e))


def _row(file: Path, place: str, features: dict[str, Feature], options: Options) -> Found:
    name = _bytes(features, "filename").decode("utf-8", "replace")
    heatmaps = {ours: _heatmap(_bytes(features, theirs), theirs) for theirs, ours in _MAPS.items()}
    scores = {score: _number(features, score) for score in SCORES}
    tokens = _bytes(features, "prompt_misalignment_label").decode("utf-8", "replace")
    last = base_name(name)
    assert options.images is not None
    image = existing(options.images, [name, last, *other_extensions(last)])
    row: dict[str, Any] = {
        "id": name,
        "split": file.name.partition(".")[0],
        "heatmap_threshold": options.heatmap_threshold,
        **scores,
        "prompt_misalignment_label": tokens,
    }

    def mask(size: Size) -> np.ndarray | None:
        marked = _fitted(heatmaps["heatmap"], size, options) >= options.heatmap_threshold
        return marked if marked.any() else None

    return Found(place, row, image, mask, decides=True, heatmaps=heatmaps)


def _bytes(features: dict[str, Feature], name: str) -> bytes:
    values = features.get(name)
    if not values or not isinstance(values[0], bytes):
        raise bad_row(f"the example has no {name}")
    return values[0]


def _number(features: dict[str, Feature], name: str) -> float:
    values = features.get(name)
    if not values or isinstance(values[0], bytes) or not math.isfinite(values[0]):
        raise bad_row(f"the example has no {name} that is a number")
    return round(float(values[0]), 6)


def _heatmap(content: bytes, name: str) -> np.ndarray:
    """The float32 (h, w) heatmap in [0, 1] of an encoded 8-bit grey picture."""
    try:
        image = open_picture(content, name)
    except ImageFailure as e:
        raise bad_mask(str(e)) from e
    values = np.asarray(image)
    if values.ndim == 3 and image.mode == "RGB" and (values == values[..., :1]).all():
        values = values[..., 0]
    if values.ndim != 2 or values.dtype != np.uint8:
        raise bad_mask(f"{name} is a picture of the mode {one_line(image.mode)}, not 8-bit grey")
    return values.astype(np.float32) / 255


def _fitted(heatmap: np.ndarray, size: Size, options: Options) -> np.ndarray:
    """The heatmap at its picture's size: as it is, or with `--scale-heatmaps` interpolated bilinearly."""
    height, width = heatmap.shape
    if (width, height) == size:
        return heatmap
    told = f"the heatmap has {width} x {height} pixels, but its picture {size[0]} x {size[1]}"
    if not options.scale_heatmaps:
        raise bad_mask(f"{told}: --scale-heatmaps interpolates it before the threshold")
    if abs(width * size[1] / (height * size[0]) - 1) > 0.01:
        raise bad_mask(f"{told}, which is of another shape: how it was fitted is not known")
    return np.asarray(Image.fromarray(heatmap).resize(size, Image.Resampling.BILINEAR))
