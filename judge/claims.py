"""Matches the claims of a description with those of a reference and scores them, 0–2. Not an LLM."""

from dataclasses import dataclass
from typing import Any, Literal

from flawscribe.records import Criterion
from judge import lexicon
from judge.splitting import Claim, bare, severity, split

__all__ = ["Claim", "Match", "compare", "score", "severity", "split"]

# Completeness: the share of the reference's claims that counts as (nearly) all, and as some.
ALL, SOME = 0.8, 0.2
# Precision: the mean agreement of the description's claims that counts as consistent, and as partly so.
GOOD, FAIR = 0.85, 0.3
# What a contradiction takes: of place from its claim's agreement, of severity from the mean.
_WRONG_PLACE, _WRONG_SEVERITY = 0.5, 0.25
_LOOSELY = 0.35  # kind times part from which two claims speak of the same defect
_SEVERITY_GAP = 1.5  # of the scale 1–3: from here on two texts contradict each other


@dataclass(frozen=True)
class Match:
    """How a description's claim agrees with a reference's: `strength` 0 (not the same defect) to 1."""

    strength: float
    opposite: bool = False
    misplaced: bool = False

    @property
    def detail(self) -> float:
        """The part of the claim's details that agrees, 0 to 1."""
        agreed = 1.0 if self.strength >= 0.6 else 0.6
        return agreed - (_WRONG_PLACE if self.misplaced else 0)


NONE = Match(0.0)


def compare(reference: Claim, description: Claim) -> Match:
    """Whether two claims speak of the same defect. Kind and part must agree loosely, or most words."""
    misplaced = _misplaced(reference, description)
    kind, part = _kind(reference, description), _part(reference, description)
    words = _words(reference, description)
    opposite = _opposite(reference, description) and part >= 0.7
    if opposite:
        return Match(0.0, opposite=True)
    if kind >= 0.4 and part > 0.55 and kind * part >= _LOOSELY:
        return Match(0.5 * kind + 0.5 * part, misplaced=misplaced)
    unknown = reference.weak or description.weak
    if words >= (0.5 if unknown else 0.7) and (unknown or kind >= 0.3):
        return Match(0.5 + 0.5 * words - (0.2 if unknown else 0.1), misplaced=misplaced)
    if kind >= 0.9 and not (reference.parts and description.parts):
        return Match(0.5, misplaced=misplaced)
    if unknown and part >= 0.9 and reference.parts[0] in lexicon.COMPONENTS:
        return Match(0.5, misplaced=misplaced)
    return NONE


def score(description: str, reference: str, criterion: Criterion) -> tuple[Literal[0, 1, 2], dict[str, Any]]:
    """The score of `description` against `reference`, and what it rests on (claims, matches, misses, …).

    Completeness: 2 where at least 80 % of the reference's claims are acknowledged, 1 from 20 %. Precision:
    2 where the description's claims agree in 85 % of their details, 1 from 30 %; an invented
    claim agrees in none, a contradiction of place or severity costs part. A text without claims scores 0.
    """
    golden, told = split(reference), split(description)
    if not golden:  # a text whose every word is strange: only the words themselves can be compared
        golden, told = bare(reference), told or bare(description)
    table = [[compare(claim, mine) for claim in golden] for mine in told]
    best = [
        max(range(len(row)), key=lambda i: (row[i].strength, not row[i].misplaced), default=0)
        for row in table
    ]
    credit = [_credit(i, table, best) for i in range(len(golden))]
    share = _mean([(value, 0.5 if claim.weak else 1.0) for value, claim in zip(credit, golden, strict=True)])
    clash = _severity_clash(reference, description)
    weights = [
        _weight(mine, row, j, told, table) for j, (mine, row) in enumerate(zip(told, table, strict=True))
    ]
    details = [
        (row[at].detail if row and row[at].strength else 0.0) for row, at in zip(table, best, strict=True)
    ]
    agreement = _mean(list(zip(details, weights, strict=True))) - (_WRONG_SEVERITY if clash else 0)
    value = share if criterion == "completeness" else agreement
    high, low = (ALL, SOME) if criterion == "completeness" else (GOOD, FAIR)
    result: Literal[0, 1, 2] = 2 if value >= high else 1 if value >= low else 0
    return result, {
        "claims": {"reference": [c.told() for c in golden], "description": [c.told() for c in told]},
        "matches": [
            {
                "reference": at,
                "description": j,
                "strength": round(row[at].strength, 2),
                "misplaced": row[at].misplaced,
            }
            for j, (row, at) in enumerate(zip(table, best, strict=True))
            if row and row[at].strength
        ],
        "misses": [i for i, value in enumerate(credit) if value == 0],
        "invented": [j for j, weight in enumerate(weights) if weight and not details[j]],
        "contradictions": _contradictions(table, best) + ([clash] if clash else []),
        "value": round(max(value, 0.0), 3),
    }


def _kind(a: Claim, b: Claim) -> float:
    """Nearness of the kinds: a claim's first counts whole, those that it names after count less."""
    return max(
        (
            lexicon.kind_nearness(x, y) * (1.0 if i == j == 0 else 0.75 if 0 in (i, j) else 0.6)
            for i, x in enumerate(a.kinds)
            for j, y in enumerate(b.kinds)
        ),
        default=0.0,
    )


def _part(a: Claim, b: Claim) -> float:
    """Nearness of the parts, main part against main part first, less for strangers as their owners."""
    both = bool(a.parts and b.parts) and {a.parts[0], b.parts[0]} <= lexicon.COMPONENTS
    first = max(
        (
            lexicon.part_nearness(x, y) * (1.0 if i == j == 0 else 0.75 if 0 in (i, j) else 0.4)
            for i, x in enumerate(a.parts)
            for j, y in enumerate(b.parts)
            if not (lexicon.SCENERY & {x, y} and (i, j) != (0, 0))
            and (not both or {x, y} <= lexicon.COMPONENTS)
        ),
        default=0.0,
    )
    mine, other = _objects(a), _objects(b)
    strangers = mine and other and not any(lexicon.part_nearness(x, y) >= 0.5 for x in mine for y in other)
    return first * (0.5 if strangers else 1.0)


def _objects(claim: Claim) -> set[str]:
    return {part for part in claim.parts if part not in lexicon.COMPONENTS and part not in lexicon.SCENERY}


def _words(a: Claim, b: Claim) -> float:
    """The share of the shorter claim's content words that the other has too; 0 below two shared ones."""
    shared = a.words & b.words
    return len(shared) / max(1, min(len(a.words), len(b.words))) if len(shared) > 1 else 0.0


def _opposite(a: Claim, b: Claim) -> bool:
    if not a.kinds or not b.kinds or set(a.kinds) & set(b.kinds):
        return False
    return frozenset({a.kinds[0], b.kinds[0]}) in lexicon.OPPOSITE_KINDS and _part(a, b) >= 0.7


def _misplaced(a: Claim, b: Claim) -> bool:
    return any(
        x in a.places and y in b.places and y not in a.places and x not in b.places
        for pair in lexicon.OPPOSITE_PLACES
        for x, y in (pair, pair[::-1])
    )


def _credit(i: int, table: list[list[Match]], best: list[int]) -> float:
    """How well a reference's claim is acknowledged: by one in its place, or one without a better place."""
    values = [
        row[i].detail if not row[i].misplaced else 1.0 if row[i].strength >= 0.6 else 0.6
        for row, at in zip(table, best, strict=True)
        if row[i].strength and (at == i or not row[i].misplaced)
    ]
    return max(values, default=0.0)


def _weight(mine: Claim, row: list[Match], j: int, told: list[Claim], table: list[list[Match]]) -> float:
    """What a description's claim weighs in precision: nothing where it only says more of a matched one."""
    if any(match.strength for match in row):
        return 0.5 if mine.weak else 1.0
    if mine.weak:
        return 0.0
    return 1.0 if set(mine.kinds) - {"generic"} or any(match.opposite for match in row) else 0.5


def _severity_clash(reference: str, description: str) -> str | None:
    a, b = severity(reference), severity(description)
    if a is None or b is None or abs(a - b) < _SEVERITY_GAP:
        return None
    return f"severity: {_level(b)} where the reference says {_level(a)}"


def _level(value: float) -> str:
    return ("slight", "moderate", "severe")[min(2, max(0, round(value) - 1))]


def _contradictions(table: list[list[Match]], best: list[int]) -> list[str]:
    told = []
    for j, (row, at) in enumerate(zip(table, best, strict=True)):
        if row and row[at].misplaced:
            told.append(f"place: claim {j} is elsewhere than the reference's claim {at}")
        for i, match in enumerate(row):
            if match.opposite and not row[at].strength:
                told.append(f"kind: claim {j} says the opposite of the reference's claim {i}")
    return told


def _mean(weighted: list[tuple[float, float]]) -> float:
    total = sum(weight for _, weight in weighted)
    return sum(value * weight for value, weight in weighted) / total if total else 0.0
