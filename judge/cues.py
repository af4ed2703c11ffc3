"""What a stretch of text says of defects: cues of their kind, the parts in order, places in the picture."""

from itertools import pairwise

from judge import lexicon
from judge.words import Mention, mentions, stems

_AFTER_ADVERB = set(
    stems("out over off angle through next above below at beside behind under in on into across there where")
)
_SECONDABLE = {"person", "dog", "cat", "text"}  # a second one of these is usual
_MODAL = (["can"], ["could"], ["would"], ["will"], ["should"], ["may"])  # "no flame can …" denies no flame
_MORE = "more"
_LEADING = set(stems("a an any the its his her their left right visible proper real"))
_FEATURES = {"eye", "ear", "nose", "mouth", "tooth", "tongue", "eyebrow"}
_BODY = {"cheek", "forehead", "neck", "torso", "arm", "hand", "leg", "foot", "limb", "tail"}
_BEFORE_PLACE = set(stems("of on in at under above over behind beside below near between from into"))
PICTURE = {
    "picture",
    "imag",
    "fram",
    "photo",
    "scen",
    "photograph",
    "canva",
    "view",
    "background",
    "foreground",
}


def cues_in(tokens: list[str], earlier: list[str]) -> list[Mention]:
    """The kinds of defect named in `tokens`, negated ones left out, counts compared with anatomy.

    `earlier` is what the sentence says before them: a "none of …" there denies as well.
    """
    found = mentions(tokens, lexicon.PARTS)
    cues = [cue for cue in mentions(tokens, lexicon.KINDS) if not _negated(tokens, cue, found)]
    cues += (
        _denials(tokens, earlier) + _absences(tokens, found) + _counts(tokens, found) + _strays(tokens, found)
    )
    cues = [cue for cue in cues if cue.concept != "none"]
    specific = [cue for cue in cues if cue.concept != "generic"]
    return sorted(specific or cues, key=lambda cue: cue.start)


def _negated(tokens: list[str], cue: Mention, found: list[Mention]) -> bool:
    for at in range(cue.start - 1, max(-1, cue.start - 5), -1):
        if tokens[at] in lexicon.NEGATORS and tokens[at : at + 2] != ["not", "on"]:
            between = [part for part in found if at < part.start < cue.start]
            return not between or "be" in tokens[between[-1].end : cue.start]
    return False


def _denials(tokens: list[str], earlier: list[str]) -> list[Mention]:
    """As in "nobody can read" or "not connected": a word that is a defect when it is denied."""
    return [
        Mention(lexicon.DENIED[token], at, at + 1)
        for at, token in enumerate(tokens)
        if token in lexicon.DENIED
        and (
            lexicon.NEGATORS & set(tokens[max(0, at - 4) : at])
            or {"none", "nobody"} & set(earlier[-12:] + tokens[:at])
        )
    ]


def _absences(tokens: list[str], found: list[Mention]) -> list[Mention]:
    """In "no hands" or "without a cord" what is denied is missing, unless it is a defect that is denied."""
    absences = []
    for at, word in enumerate(tokens):
        if word not in ("no", "without", "neither", "nor"):
            continue
        part = next((part for part in found if at < part.start <= at + 3), None)
        if part is None and not (word == "without" or tokens[at - 1 : at] in (["have"], ["be"], ["with"])):
            continue
        if word == "without" and part and set(tokens[at + 1 : part.start]) - _LEADING:
            continue  # "without wetting the table"
        end = part.end if part else at + 1
        denied = mentions(tokens[at : part.start if part else at + 4], lexicon.KINDS)
        followed = tokens[end : end + 1]
        if denied or (
            part
            and (
                followed in _MODAL or (followed == ["be"] and mentions(tokens[end : end + 4], lexicon.KINDS))
            )
        ):
            continue
        absences.append(Mention("missing", at, end))
    return absences


def _counts(tokens: list[str], found: list[Mention]) -> list[Mention]:
    """Numbers ("three eyes", "a second head", "only one leg") against what the part's owner usually has."""
    counts = []
    hosts = frozenset(mention.concept for mention in found)
    for part in found:
        if tokens[max(0, part.start - 2) : part.start] in (["a", "second"], ["a", "third"]):
            if part.concept not in _SECONDABLE:
                counts.append(Mention("extra", part.start - 1, part.end))
            continue
        for at in range(part.start - 1, max(-1, part.start - 4), -1):
            between = tokens[at + 1 : part.start]
            paired = any(word in ("hind", "front", "back", "rear", "fore") for word in between)
            usual = lexicon.usual(part.concept, hosts, paired)
            if usual is None or any(inner.start in range(at + 1, part.start) for inner in found):
                break
            if tokens[at] == _MORE and "than" in tokens[part.end : part.end + 2]:
                counts.append(Mention("extra", at, part.end))
                break
            scarce = tokens[at] == "singl" or (
                tokens[at] == "one" and tokens[at - 1] in ("only", "just", "have", "with")
            )
            if scarce and at and usual > 1:
                counts.append(Mention("missing", at, part.end))
            elif lexicon.ORDINALS.get(tokens[at], 0) > usual:
                counts.append(Mention("extra", at, part.end))
            elif number := lexicon.NUMBERS.get(tokens[at]):
                if number != usual and (number > usual or usual > 2 or part.concept == "leg"):
                    counts.append(Mention("extra" if number > usual else "missing", at, part.end))
            else:
                continue
            break
    return counts


def _strays(tokens: list[str], found: list[Mention]) -> list[Mention]:
    """As in "an ear sits on the cheek": a feature of the face on a part that does not carry it."""
    return [
        Mention("misplaced", a.start, b.end)
        for a, b in pairwise(found)
        if a.concept in _FEATURES
        and b.concept in _BODY
        and "on" in tokens[a.end : b.start]
        and b.start - a.end < 6
    ]


def parts_in_order(found: list[Mention], cues: list[Mention], tokens: list[str]) -> list[str]:
    """The parts, the one that the cues speak of first: near a cue, neither scenery nor somebody's owner."""
    names = {part.concept for part in found}

    def rank(part: Mention) -> float:
        distance = min(
            (max(part.start - cue.end + 1, cue.start - part.end + 1, 0) for cue in cues), default=part.start
        )
        if part.concept in lexicon.SCENERY - {"shadow"}:
            distance += 6
        if any(part.concept in lexicon.owners(name) for name in names):
            distance += 4
        if _BEFORE_PLACE & set(tokens[max(0, part.start - 3) : part.start]):
            distance += 3
        return distance

    return list(dict.fromkeys(part.concept for part in sorted(found, key=rank)))


def places_in(tokens: list[str]) -> frozenset[str]:
    places = set()
    for at, token in enumerate(tokens):
        if token not in lexicon.PLACES:
            continue
        before, after = tokens[at - 1] if at else "", tokens[at + 1 : at + 4]
        if before in ("fac", "look", "point", "turn", "be") and token in ("left", "right"):
            continue
        if token in ("left", "right") and after[:1] and after[0] in _AFTER_ADVERB:
            continue
        if (
            token in ("top", "bottom", "middl", "center")
            and after[:1] == ["of"]
            and not PICTURE & set(after[1:])
        ):
            continue
        places.add(lexicon.PLACES[token])
    return frozenset(places)
