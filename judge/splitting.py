"""Splits a text about defects into claims: what is wrong (kind), with what (part), where, how severely.

Rules over English words, *not an LLM*: no meaning beyond the tables in `lexicon.yaml` is understood.
"""

import re
from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache
from typing import Any

from judge import lexicon
from judge.segments import PRONOUNS, SUBORDINATE, Segment, has_subject, leans, segments_of
from judge.words import MAX_CHARACTERS, mentions, sentences, stems

MAX_CLAIMS = 60
_BACKDROP = {"sky", "ground", "background", "water", "horizon"}
_STARTING = set(stems("the a an his her its their one two both another"))


@dataclass(frozen=True)
class Claim:
    """One defect that a text claims. `kinds` and `parts` name the main one first; both may be empty.

    `places` are grid words ("left", "upper", …), `words` the stems that carry content, `severity` 1
    (slight) to 3 (severe) or None. A `weak` claim has no known kind: a sentence that may mean a defect.
    """

    text: str
    kinds: tuple[str, ...] = ()
    parts: tuple[str, ...] = ()
    places: frozenset[str] = frozenset()
    words: frozenset[str] = field(default=frozenset(), repr=False)
    severity: float | None = None

    @property
    def weak(self) -> bool:
        """Whether the kind is unknown, so that only the words can tell what is meant."""
        return not self.kinds

    def told(self) -> dict[str, Any]:
        """The claim as JSON for a report."""
        told = asdict(self)
        del told["words"]
        return told | {"places": sorted(self.places)}


def split(text: str) -> list[Claim]:
    """The claims of a text in their order. Sentences on the overall effect, negated defects
    ("no extra fingers") and praise ("is well formed") are none."""
    return list(_split(text[:MAX_CHARACTERS]))


def bare(text: str) -> list[Claim]:
    """The sentences of a text as weak claims, with nothing but their words."""
    found = [(sentence, _content(stems(sentence))) for sentence in sentences(text)]
    return [Claim(text=sentence, words=words) for sentence, words in found if words][:MAX_CLAIMS]


@lru_cache(maxsize=64)
def _split(text: str) -> tuple[Claim, ...]:
    claims: list[Claim] = []
    for sentence in sentences(text):
        for claim in _sentence_claims(sentence, claims):
            twin = next((i for i, known in enumerate(claims) if _same(known, claim)), None)
            if twin is None:
                claims.append(claim)
            else:
                claims[twin] = _joined(claims[twin], claim)
        if len(claims) >= MAX_CLAIMS:
            break
    return tuple(claims[:MAX_CLAIMS])


def severity(text: str) -> float | None:
    """How severe a text calls its defects, 1 (slight) to 3 (severe): the mean over the words for it."""
    levels = []
    for sentence in sentences(text):
        tokens = stems(sentence)
        if mentions(tokens, lexicon.EFFECT):
            levels += [int(found.concept) for found in mentions(tokens, lexicon.SEVERITY)]
    return sum(levels) / len(levels) if levels else None


def _sentence_claims(sentence: str, before: list[Claim]) -> list[Claim]:
    segments = segments_of(sentence)
    tokens = [token for segment in segments for token in segment.tokens]
    if not any(segment.kinds for segment in segments):
        return _weak(sentence, tokens, segments)
    claims: list[Claim] = []
    pending: list[Segment] = []
    for segment in segments:
        if segment.effect and (not segment.parts or _known(segment.parts, before + claims)):
            continue
        if _remark(segment) and (claims or before or not any(other.parts for other in segments)):
            continue
        elaborates = segment.joint in SUBORDINATE or not has_subject(segment)
        if not segment.kinds:
            if claims and _apart(segment, claims):
                claims.append(_claim([segment]))
            elif claims and elaborates:
                claims[-1] = _joined(claims[-1], _claim([segment]))
            else:
                pending.append(segment)
        elif claims and (not set(segment.parts) - _BACKDROP or elaborates or _repeats(claims[-1], segment)):
            claims[-1] = _joined(claims[-1], _claim([segment]))
        else:
            claims += [_claim([early]) for early in pending if _clause(early, segment)]
            pending = [early for early in pending if not _clause(early, segment)]
            claim = _claim([*pending, segment] if leans(segment) else [segment, *pending])
            pending = []
            claims.append(_referred(claim, segment, (before + claims)[-1:]))
    if claims and pending:
        claims[-1] = _joined(claims[-1], _claim(pending))
    return claims


def _claim(segments: list[Segment]) -> Claim:
    tokens = [token for segment in segments for token in segment.tokens]
    found = list(dict.fromkeys(kind for segment in segments for kind in segment.kinds))
    named = _read_as(list(dict.fromkeys(part for segment in segments for part in segment.parts)))
    if "text" in found and "text" not in named:
        named.insert(0, "text")
    if not {"environment", "inverted"} & set(found) and any(pair <= set(named) for pair in lexicon.CLASHES):
        found.append("environment")
    levels = [int(level.concept) for level in mentions(tokens, lexicon.SEVERITY)]
    return Claim(
        text=" ".join(segment.text for segment in sorted(segments, key=lambda segment: segment.index)),
        kinds=tuple(found),
        parts=tuple(named),
        places=frozenset().union(*(segment.places for segment in segments)),
        words=_content(tokens),
        severity=sum(levels) / len(levels) if levels else None,
    )


def _content(tokens: list[str]) -> frozenset[str]:
    """The stems that carry content, parts under their concept's name, so that "ship" and "boat" are one."""
    found = mentions(tokens, lexicon.PARTS)
    covered = {at for part in found for at in range(part.start, part.end)}
    rest = {token for at, token in enumerate(tokens) if at not in covered and token.isalnum()}
    return frozenset(rest - lexicon.STOP - lexicon.PLACES.keys() | {part.concept for part in found})


def _read_as(named: list[str]) -> list[str]:
    """The parts with ambiguous words read by their company: a clock's hand and face, an animal's trunk."""
    company = set(named) - {"torso", "hand", "face", "trunk"}
    living = any(
        part in ("person", "animal") or {"person", "animal"} & lexicon.owners(part) for part in company
    )
    reading = {"tableware": "fork"} if "bicycle" in company else {}
    reading |= {"torso": "backrest"} if "furniture" in company and not living else {}
    reading |= {"trunk": "torso" if living else "tree_trunk"}
    if company & {"clock", "dial", "clock_hand"} and not living:
        reading |= {"hand": "clock_hand", "face": "dial"}
    return list(dict.fromkeys(reading.get(part, part) for part in named))


def _referred(claim: Claim, segment: Segment, before: list[Claim]) -> Claim:
    """As in "its eyes bulge": a claim that begins with a pronoun or names no part is about the one before."""
    if before and before[0].parts and "one" in segment.tokens[1:3]:  # "the additional one"
        return replace(claim, parts=tuple(dict.fromkeys(before[0].parts[:1] + claim.parts)))
    if not before or (claim.parts and segment.tokens[0] not in PRONOUNS):
        return claim
    if not claim.parts:
        return replace(claim, parts=before[0].parts[:1], places=claim.places or before[0].places)
    owners = tuple(part for part in before[0].parts if part not in lexicon.COMPONENTS | lexicon.SCENERY)
    return replace(
        claim, parts=tuple(_read_as([*claim.parts, *owners[:1]])), places=claim.places or before[0].places
    )


def _joined(claim: Claim, more: Claim) -> Claim:
    return replace(
        claim,
        text=f"{claim.text}, {more.text}",
        kinds=tuple(dict.fromkeys(claim.kinds + more.kinds)),
        parts=tuple(dict.fromkeys(claim.parts + more.parts)),
        places=claim.places | more.places,
        words=claim.words | more.words,
        severity=claim.severity if claim.severity is not None else more.severity,
    )


def _weak(sentence: str, tokens: list[str], segments: list[Segment]) -> list[Claim]:
    """A sentence without a known kind still counts, weakly, if it names a part and is no praise or effect."""
    if (
        any(segment.effect for segment in segments)
        or mentions(tokens, lexicon.PRAISE)
        or mentions(tokens, lexicon.ASIDE)
    ):
        return []
    if mentions(tokens[:6], lexicon.INTRODUCTION) or mentions(
        tokens, lexicon.KINDS
    ):  # a kind that was denied
        return []
    claim = _claim(segments)
    return [replace(claim, text=sentence)] if claim.parts and len(claim.words) > 2 else []


def _apart(segment: Segment, claims: list[Claim]) -> bool:
    """Whether a segment without a known kind speaks of another part than its sentence's claims so far."""
    return (
        segment.joint not in SUBORDINATE
        and len(segment.tokens) > 4
        and segment.tokens[0] in _STARTING
        and not _known(segment.parts, claims)
        and segment.parts[:1] != []
        and segment.parts[0] not in _BACKDROP
    )


def _remark(segment: Segment) -> bool:
    """Whether a segment only says that something is wrong, as in "which is impossible"."""
    return not segment.parts and bool(segment.kinds) and set(segment.kinds) <= {"generic", "logic"}


def _clause(early: Segment, segment: Segment) -> bool:
    """Whether `early`, without a known kind, is a clause of its own before one that has its own subject."""
    independent = early.tokens[0] in _STARTING and segment.tokens[0] in _STARTING
    return (
        independent and len(early.tokens) > 4 and bool(early.parts and segment.parts) and segment.joint != ","
    )


def _known(named: list[str], claims: list[Claim]) -> bool:
    return any(
        lexicon.part_nearness(part, known) >= 0.5
        for claim in claims
        for known in claim.parts
        for part in named[:1]
    )


def _repeats(claim: Claim, segment: Segment) -> bool:
    """Whether a segment says more of the same defect as the claim before it in the sentence."""
    if segment.places and claim.places and not segment.places & claim.places:
        return False
    near = max((lexicon.kind_nearness(a, b) for a in claim.kinds for b in segment.kinds), default=0.0)
    return (
        near >= 0.5 and bool(claim.parts) and lexicon.part_nearness(claim.parts[0], segment.parts[0]) >= 0.5
    )


def _same(known: Claim, claim: Claim) -> bool:
    """Whether a later sentence ("The extra legs …") takes up a claim made before."""
    if not (known.parts and claim.parts and known.kinds and claim.kinds) or "also" in claim.words:
        return False
    if claim.places - known.places or known.parts[0] != claim.parts[0]:
        return False
    return known.kinds[0] == claim.kinds[0] and not re.match(
        r"(an?|another|one|two|three)\b", claim.text, re.I
    )
