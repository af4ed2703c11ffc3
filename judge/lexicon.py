"""The claims judge's table of words, `lexicon.yaml`, in the forms that its rules look up."""

from functools import cache
from pathlib import Path
from typing import Any

import yaml

from judge.words import lookup, stem, stems

_DATA: dict[str, Any] = yaml.safe_load(Path(__file__).with_name("lexicon.yaml").read_text(encoding="utf-8"))


def _phrases(text: str) -> list[str]:
    return [phrase.strip() for phrase in text.split(",")]


def _table(section: str) -> dict[tuple[str, ...], tuple[str, ...]]:
    rows = _DATA[section] if isinstance(_DATA[section], dict) else {section: _DATA[section]}
    return lookup((str(name).partition("<")[0].strip(), _phrases(text)) for name, text in rows.items())


_OWNERS = {
    name.partition("<")[0].strip(): tuple(name.partition("<")[2].split())
    for name in (*_DATA["parts"], *_DATA["objects"])
}
COMPONENTS = frozenset(name.partition("<")[0].strip() for name in _DATA["parts"])
SCENERY = frozenset({"ground", "sky", "background", "water", "wall", "rain", "light", "shadow", "horizon"})
PARTS = lookup(
    (name.partition("<")[0].strip(), _phrases(text))
    for name, text in (_DATA["parts"] | _DATA["objects"]).items()
)
KINDS = _table("kinds")
EFFECT, SEVERITY, PRAISE, ASIDE, INTRODUCTION = map(
    _table, ("effect", "severity", "praise", "aside", "introduction")
)
CLASHES = tuple(frozenset(pair) for pair in _DATA["clash"])
DENIED = {stem(word): kind for kind, words in _DATA["denied"].items() for word in words}
_NEAR = {frozenset({a, b}): float(near) for a, row in _DATA["near"].items() for b, near in row.items()}
OPPOSITE_KINDS = frozenset({frozenset({"extra", "missing"}), frozenset({"extra", "incomplete"})})
PLACES = {
    stem(word): place
    for place, words in {
        "left": "left leftmost lefthand",
        "right": "right rightmost righthand",
        "upper": "upper top",
        "lower": "lower bottom",
        "centre": "centre middle central",
        "foreground": "foreground",
        "background": "background",
    }.items()
    for word in words.split()
}
OPPOSITE_PLACES = (("left", "right"), ("upper", "lower"), ("foreground", "background"))
NEGATORS = frozenset(
    stems("no not never neither nor without free nothing none nobody unable hardly fail rather")
)
_COUNTED = ("two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
NUMBERS = {stem(word): n for n, word in enumerate(_COUNTED, 2)} | {str(n): n for n in range(2, 13)}
_ORDERED = ("second", "third", "fourth", "fifth", "sixth", "seventh", "eighth")
ORDINALS = {stem(word): n for n, word in enumerate(_ORDERED, 2)} | {"2nd": 2, "3rd": 3, "4th": 4}
STOP = frozenset(stems(_DATA["stop"]))


def usual(part: str, hosts: frozenset[str], paired: bool) -> int | None:
    """How many of `part` its owner usually has, or None; `paired`: of its front or its hind ones."""
    if (
        part == "leg"
        and not paired
        and "bird" not in hosts
        and any("animal" in {h, *owners(h)} for h in hosts - COMPONENTS)
    ):
        return 4
    if part == "leg" and "furniture" in hosts:
        return 4
    return _DATA["usual"].get(part)


@cache
def owners(part: str) -> frozenset[str]:
    """Everything that `part` is a part or a kind of, at any remove."""
    direct = _OWNERS.get(part, ())
    return frozenset(direct).union(*(owners(owner) for owner in direct))


@cache
def part_nearness(a: str, b: str) -> float:
    """How nearly two parts are the same thing, 0 to 1: itself 1, its owner 0.7, an owner's owner 0.5."""
    if a == b:
        return 1.0
    for small, large in ((a, b), (b, a)):
        if large in _OWNERS.get(small, ()):
            return 0.7 if small in COMPONENTS else 0.8
        if large in owners(small):
            return 0.5
    return 0.0


@cache
def kind_nearness(a: str, b: str) -> float:
    """How nearly two kinds of defect mean the same, 0 to 1; a generic "wrong" is half near every kind."""
    return 1.0 if a == b else 0.5 if "generic" in (a, b) else _NEAR.get(frozenset({a, b}), 0.0)
