"""Cuts a sentence into segments, at commas, conjunctions and the like, with what each names."""

import re
from dataclasses import dataclass

from judge import lexicon
from judge.cues import PICTURE, cues_in, parts_in_order, places_in
from judge.words import mentions, stems

_JOINT = re.compile(
    r"\s*([;:,()]|\b(?:and|but|while|whereas|"
    r"although|though|so that|which|where|because|since|as if|as though)\b)\s*",
    re.I,
)
SUBORDINATE = {
    ":",
    "so that",
    "which",
    "where",
    "although",
    "though",
    "because",
    "since",
    "as if",
    "as though",
    "(",
}
PRONOUNS = {"it", "its", "they", "their", "his", "her", "he", "she"}
_LEANING = PRONOUNS | {
    "on",
    "in",
    "at",
    "be",
    "have",
    "do",
    "look",
    "appear",
    "seem",
    "partly",
    "that",
    "not",
    "end",
}


@dataclass
class Segment:
    """A stretch between commas, conjunctions and the like, with what was found in it."""

    index: int
    joint: str
    text: str
    tokens: list[str]
    kinds: list[str]
    parts: list[str]
    places: frozenset[str]
    effect: bool


def segments_of(sentence: str) -> list[Segment]:
    pieces = _JOINT.split(sentence)
    segments: list[Segment] = []
    joint, earlier = "", list[str]()
    for piece, after in zip(pieces[::2], [*pieces[1::2], ""], strict=True):
        if tokens := stems(piece):
            found, cues = mentions(tokens, lexicon.PARTS), cues_in(tokens, earlier)
            earlier = [] if after.lower() in ("but", ";", ":") else earlier + tokens
            segments.append(
                Segment(
                    index=len(segments),
                    joint=joint,
                    text=piece.strip(),
                    tokens=tokens,
                    kinds=list(dict.fromkeys(cue.concept for cue in cues)),
                    parts=parts_in_order(found, cues, tokens),
                    places=places_in(tokens),
                    effect=bool(mentions(tokens, lexicon.EFFECT))
                    or (not found and not cues and _about_all(tokens)),
                )
            )
            joint = after.lower()
        else:
            joint = joint if joint in SUBORDINATE else after.lower()
    return segments


def _about_all(tokens: list[str]) -> bool:
    """Whether the picture as a whole is the subject, as in "the image looks odd"."""
    return len(tokens) > 1 and tokens[1] in PICTURE


def leans(segment: Segment) -> bool:
    """Whether a segment speaks of what stands before it: "it …", "on the jerseys", "is garbled"."""
    return segment.tokens[0] in _LEANING or not segment.parts


def has_subject(segment: Segment) -> bool:
    """Whether a segment can stand for itself ("an eye is missing"), unlike "leaving a gap"."""
    first = segment.text.split()[0].lower()
    return segment.joint == "" or not (
        first.endswith("ing") or first in ("detached", "with", "without", "instead")
    )
