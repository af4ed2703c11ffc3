"""What the tables of the terminal and of the page are made of."""

import unicodedata
from dataclasses import dataclass
from typing import Any

_STEERING = ("Cc", "Cf", "Cs", "Zl", "Zp")
"""Controls (newlines too), format characters, surrogates, separators of lines and paragraphs."""


@dataclass(frozen=True)
class Line:
    """One figure: what it is, how to read it, its entry of metrics.json."""

    label: str
    hint: str
    entry: dict[str, Any]

    @property
    def value(self) -> str:
        """The value to three digits, or a dash."""
        return digits(self.entry["value"])

    @property
    def interval(self) -> str:
        """The 95 % interval, or nothing where there is none."""
        low, high = self.entry["low"], self.entry["high"]
        return "" if low is None or high is None else f"{digits(low)} – {digits(high)}"


@dataclass(frozen=True)
class Table:
    """A section: its lines, or why it is absent, and what to know about it."""

    title: str
    lines: tuple[Line, ...] = ()
    absent: str | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Grid:
    """A table of several figures a row: its columns' titles, and rows of a name, a number and a Line a column."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, int | None, tuple[Line, ...]], ...]
    notes: tuple[str, ...] = ()


def on_one_line(text: str, most: int) -> str:
    """At most `most` characters of a text, those that steer a terminal or hide shown by their codes (`[U+001B]`)."""
    shown = "".join(
        f"[U+{ord(x):04X}]" if unicodedata.category(x) in _STEERING else x for x in text[: most + 1]
    )
    return shown if len(shown) <= most else shown[: most - 1] + "…"


def digits(value: float | None) -> str:
    """Three digits, or a dash."""
    return "–" if value is None else f"{value:.3f}"
