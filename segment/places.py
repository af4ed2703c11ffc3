"""Where a description says a defect is: its boxes, or the words of its sentences."""

import re
from dataclasses import dataclass

from flawscribe.records import Description

Fractions = tuple[float, float, float, float]

_ROWS = {"upper": (0.0, 0.5), "top": (0.0, 0.5), "lower": (0.5, 1.0), "bottom": (0.5, 1.0)}
_COLUMNS = {"left": (0.0, 0.5), "right": (0.5, 1.0)}
_MIDDLE = re.compile(r"\b(centre|center|central|middle)\b")
_SENTENCE = re.compile(r"(?<=[.!?;])\s+")


@dataclass(frozen=True)
class Place:
    """Where one defect is said to be: x0, y0, x1, y1 as fractions of the picture; `exact` for a box, not for words."""

    text: str
    region: Fractions
    exact: bool


def places(description: Description, size: tuple[int, int]) -> list[Place]:
    """The places that a description names in a picture of `size` = (height, width) pixels.

    One for each finding, by its box or else by the words of its location and text; where it has no findings, one
    for each sentence. What names no place has none.
    """
    height, width = size
    found = []
    said = [(f.text, f"{f.location or ''} {f.text}", f.box) for f in description.findings]
    for text, words, box in said or [(s, s, None) for s in sentences(description.text)]:
        if box is not None:
            x0, y0, x1, y1 = box
            found.append(Place(text, (x0 / width, y0 / height, x1 / width, y1 / height), True))
        elif (region := region_of(words)) is not None:
            found.append(Place(text, region, False))
    return found


def sentences(text: str) -> list[str]:
    """A text's sentences, as `places` takes them."""
    return _SENTENCE.split(text)


def region_of(words: str) -> Fractions | None:
    """The part of the picture that the words name, by the first word for each axis; None where they name none.

    "upper left" is a quarter, "left" a half, "centre" alone the middle quarter. Words are taken as they stand: of
    "the left hand" it cannot be told whose left is meant.
    """
    told = words.lower()
    row = _first(told, _ROWS)
    column = _first(told, _COLUMNS)
    if row is None and column is None:
        return (0.25, 0.25, 0.75, 0.75) if _MIDDLE.search(told) else None
    middle = (0.25, 0.75) if _MIDDLE.search(told) else (0.0, 1.0)
    x, y = column or middle, row or middle
    return x[0], y[0], x[1], y[1]


def _first(words: str, known: dict[str, tuple[float, float]]) -> tuple[float, float] | None:
    found = re.search(rf"\b({'|'.join(known)})\b", words)
    return known[found[1]] if found else None
