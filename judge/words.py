"""English words as the claims judge sees them: sentences, tokens, stems and phrases over stems."""

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

LONGEST = 6  # words of a phrase
MAX_CHARACTERS = 20_000  # of one text; descriptions run to about 1,200, the rest of a hostile one is not read

_IRREGULAR = """
foot: feet, tooth: teeth, man: men, woman: women, person: people, child: children, mouse: mice,
goose: geese, grow: grew grown, hang: hung, break: broke, broken: broken, torn: torn, bend: bent,
cut: cut, draw: drawn, show: shown, run: ran, lose: lost, left: left, stick: stuck, melt: melted,
fly: flew, shelf: shelves, knife: knives, wolf: wolves, leaf: leaves, hoof: hooves, half: halves,
during: during, nothing: nothing, something: something, anything: anything, building: building,
earring: earring earrings, ceiling: ceiling, clothing: clothing, letter: lettering, lie: lying,
wing: wings, forget: forgot forgotten, stand: stood stands, hold: held, sit: sat, write: written,
sink: sank sunken, swim: swam, fall: fell fallen, writing: writing, glasses: glasses eyeglasses,
this: this, its: its, his: his, severe: severe severely, do: does, go: goes, have: has had having,
be: is are was were been being,
not: isnt arent wasnt doesnt dont didnt cannot cant couldnt wouldnt wont hasnt werent havent,
color: colour colours coloured, gray: grey, center: centre
"""  # stem: the words that have it, where the endings below would not find it
_STEMS = {
    word: entry.split(":")[0].strip()
    for entry in _IRREGULAR.split(",")
    for word in entry.split(":")[1].split()
}
_VOWEL = re.compile(r"[aeiouy]")
_TOKEN = re.compile(r"[a-z0-9]+|[.,;:!?()]")
_HAVING = "leg|arm|head|eye|finger|hand|tail|wing|ear|tooth|nose|toe|horn|face|foot|neck|pupil|mouth|handle"
_LESS = re.compile(rf"\b({_HAVING})-?less\b")  # "headless" lacks a head
_FOLD = re.compile(rf"\b(\w+)[- ]({_HAVING})(?:g?ed)\b")  # "five-legged" has five legs
_SENTENCE = re.compile(r"(?<=[.!?])\s+|\s*;\s*|\n+|(?<=\.)(?=[A-Z])")


@cache
def stem(word: str) -> str:
    """A light stem: plural, -ing, -ed and -ly endings go, so that "merges" and "merging" meet."""
    if word in _STEMS:
        return _STEMS[word]
    for ending in ("ing", "edly", "ied", "ed", "ly", "ies", "s"):
        rest = word.removesuffix(ending)
        if (
            rest == word
            or len(rest) < 3
            or not _VOWEL.search(rest)
            or (ending == "s" and word.endswith(("ss", "us")))
        ):
            continue
        if ending in ("ies", "ied"):
            return rest + "y"
        if ending == "s":
            rest = re.sub(r"(s|x|z|ch|sh)e$", r"\1", rest)
        elif len(rest) > 3 and rest[-1] == rest[-2] and rest[-1] not in "sle":
            rest = rest[:-1]
        return _without_e(rest)
    return _without_e(word)


def _without_e(word: str) -> str:
    return word.removesuffix("e") if len(word) > 4 else word


def plain(text: str) -> str:
    """`text` in one form: letters folded, quotes and dashes plain, at most `MAX_CHARACTERS`."""
    text = unicodedata.normalize("NFKC", text[:MAX_CHARACTERS])[:MAX_CHARACTERS]
    # One blank a run: the patterns below and in `_SENTENCE` take quadratic time on long runs.
    text = re.sub(r"\s+", lambda run: "\n" if "\n" in run[0] else " ", text)
    text = re.sub(r"[‘’]", "'", text)
    return re.sub(r"\s*[–—]\s*|\s-+\s", "; ", text)


def sentences(text: str) -> list[str]:
    """The sentences of a text, list marks and blanks stripped."""
    parts = (
        re.sub(r"^[\s\-*•\d.)(]+(?=[A-Za-z])", "", part).strip() for part in _SENTENCE.split(plain(text))
    )
    return [part for part in parts if _VOWEL.search(part.lower())]


def stems(text: str) -> list[str]:
    """The stems and punctuation marks of a text; hyphens part words, apostrophes join them."""
    text = re.sub(r"(\w)'s\b", r"\1", text.lower())
    text = _FOLD.sub(lambda m: f"{'only ' * (m[1] == 'one')}{m[1]} {m[2]}", _LESS.sub(r"without \1", text))
    return [stem(token) for token in _TOKEN.findall(text.replace("n't", "nt").replace("'", ""))]


def lookup(table: Iterable[tuple[str, Iterable[str]]]) -> dict[tuple[str, ...], tuple[str, ...]]:
    """From a phrase's stems to the concepts it stands for, for `mentions`."""
    found: dict[tuple[str, ...], tuple[str, ...]] = {}
    for concept, phrases in table:
        for phrase in phrases:
            key = tuple(stems(phrase))
            if concept not in found.get(key, ()):
                found[key] = (*found.get(key, ()), concept)
    return found


@dataclass(frozen=True)
class Mention:
    """A concept found at the tokens `start` to `end` (exclusive)."""

    concept: str
    start: int
    end: int


def mentions(tokens: list[str], table: dict[tuple[str, ...], tuple[str, ...]]) -> list[Mention]:
    """The concepts of `table` in `tokens`, longest phrases first, without overlaps."""
    found, at = [], 0
    while at < len(tokens):
        for length in range(min(LONGEST, len(tokens) - at), 0, -1):
            if concepts := table.get(tuple(tokens[at : at + length])):
                found += [Mention(concept, at, at + length) for concept in concepts]
                at += length
                break
        else:
            at += 1
    return found
