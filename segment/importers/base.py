"""What a reader of a public format yields, and the options that readers share."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from flawscribe.images import ImageFailure
from flawscribe.records import Failure, FailureKind

STAGE = "import"
Size = tuple[int, int]
"""(width, height) of a picture in pixels, upright."""

MaskOf = Callable[[Size], np.ndarray | None]
"""The bool (h, w) mask of a picture of that size, None where nothing is marked; ImageFailure (bad_mask) if broken."""


@dataclass(frozen=True)
class Options:
    """What the command line says; each format takes some of them (`segment.importers.FORMATS`)."""

    images: Path | None = None
    splits: tuple[str, ...] = ()
    boxes_as_masks: bool = False
    unmarked: Literal["unknown", "clean"] = "unknown"
    clip: bool = False
    threshold: float | None = None
    heatmap_threshold: float = 0.5
    scale_heatmaps: bool = False
    annotators: Literal["union", "majority", "each"] = "union"
    columns: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Found:
    """One picture of a source: `row` holds manifest columns (see docs/manifests.md) but `image` and `mask`.

    `image` is a path that stays within its source, or the picture itself. `heatmaps` are float32 (h, w) arrays
    in [0, 1], kept as they are. `place` names the row in messages. With `decides`, the row has no `defective`
    and the mask tells it.
    """

    place: str
    row: dict[str, Any]
    image: Path | bytes
    mask: MaskOf | None = None
    decides: bool = False
    heatmaps: dict[str, np.ndarray] = field(default_factory=dict)


@dataclass(frozen=True)
class Problem:
    """A row of the source that is not imported, and why."""

    place: str
    failure: Failure


@dataclass(frozen=True)
class Reading:
    """A source being read: how many rows it has, where that is known beforehand, and the rows."""

    total: int | None
    rows: Iterator[Found | Problem]


Read = Callable[[Path, Options], Reading]


def problem(place: str, kind: FailureKind, message: str) -> Problem:
    """The failure of the row at `place`."""
    return Problem(place, Failure(stage=STAGE, kind=kind, message=f"{place}: {message}"))


def bad_row(message: str) -> ImageFailure:
    """A row that does not have the format's form."""
    return ImageFailure(FailureKind.BAD_ROW, message)


def bad_mask(message: str) -> ImageFailure:
    """A mask that cannot be taken as it is."""
    return ImageFailure(FailureKind.BAD_MASK, message)
