"""The words of `words.yaml` and what they mean: an English text as sentences of tokens."""

import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import yaml

MAX_CHARACTERS = 8_000
_LONGEST_SENTENCE = 120  # words; a longer one is read in parts, as the time grows with its square

DATA: dict[str, Any] = yaml.safe_load(Path(__file__).with_name("words.yaml").read_text(encoding="utf-8"))
_KEEP = frozenset(DATA["unstemmed"].split())
_ARTICLES = frozenset(DATA["articles"].split())
_NUMBERS: dict[str, int] = DATA["numbers"]
_ORDINALS: dict[str, int] = DATA["ordinals"]
_ENDS = frozenset(".!?;\n")
_TOKEN = re.compile(r"[a-z]+|[0-9]+(?:st|nd|rd|th)?|&|[.!?;\n]|[,:()–—]| -+ ")
_INVISIBLE = re.compile("[\u00ad\u034f\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff]")
_HYPHEN, _POSSESSIVE = re.compile(r"(?<=\w)[-‐](?=\w)"), re.compile(r"'s?\b|(?<=s)'")
_SHORT_NOT = re.compile(r"\b(do|did|does|is|are|was|were|has|have|could|would)nt\b")


class Token(NamedTuple):
    """A word or a phrase: its role ("thing", "state", …), its meaning, whether it is plural.

    `number`: that of a number; 1 for a state that is a verb's denial, whose object is no subject.
    """

    role: str
    what: str = ""
    plural: bool = False
    number: int = 0


class Rule(NamedTuple):
    """A kind that a state of a thing names: of which subject, what else may own the thing, what must stand near."""

    kind: str
    subject: str
    owners: frozenset[str]
    loose: bool
    beside: frozenset[str]


FILL = Token("fill")


@lru_cache(maxsize=20_000)
def _stem(word: str) -> str:
    if word in _KEEP:
        return word
    for suffix in ("ing", "ed", "ly", "es", "s"):
        if word.endswith(suffix) and len(word) - len(suffix) >= 3 and not word.endswith("ss"):
            word = word[: -len(suffix)]
            if suffix in ("ing", "ed") and word[-1] == word[-2] and word[-1] not in "slfz":
                word = word[:-1]
            break
    if word.endswith("e") and len(word) > 3:  # "one" is not "on"
        word = word[:-1]
    return f"{word[:-1]}i" if word.endswith("y") and len(word) > 2 else word


def _phrases(text: str) -> Iterator[tuple[str, ...]]:
    for phrase in text.split(","):
        yield tuple(_stem(word) for word in phrase.split())


def _name(key: str) -> str:
    return key.partition("<")[0].strip()


def _table() -> dict[tuple[str, ...], Token]:
    table = {
        phrase: Token(role, " ".join(phrase))
        for role, text in DATA["words"].items()
        for phrase in _phrases(text)
    }
    for section, role in (
        ("good", "good"),
        ("states", "state"),
        ("scenery", "scene"),
        ("subjects", "thing"),
        ("parts", "thing"),
    ):
        for key, text in DATA[section].items():
            table |= {phrase: Token(role, _name(key)) for phrase in _phrases(text)}
    for numbers, role in ((_NUMBERS, "number"), (_ORDINALS, "ordinal")):
        for words, n in numbers.items():
            table[next(_phrases(words))] = Token(role, words, number=n)
    return table


def _rules() -> dict[tuple[str, str], list[Rule]]:
    found: dict[tuple[str, str], list[Rule]] = {}
    for kind, row in DATA["kinds"].items():
        for says in row["says"]:
            said, _, beside = says.partition("+")
            owners = frozenset({row["subject"], *row.get("as", ())})
            near = frozenset(beside.replace("|", " ").split())
            rule = Rule(kind, row["subject"], owners, bool(row.get("loose")), near)
            for state, thing in product(*(words.split("|") for words in said.split())):
                found.setdefault((state, thing), []).append(rule)
    return found


_TABLE = _table()
RULES = _rules()
_LONGEST: dict[str, int] = {}
for _phrase in _TABLE:
    _LONGEST[_phrase[0]] = max(len(_phrase), _LONGEST.get(_phrase[0], 0))
_VOCABULARY = frozenset(word for phrase in _TABLE for word in phrase)
_SHORTENED = {known[:at] + known[at + 1 :]: known for known in _VOCABULARY for at in range(1, len(known))}
_REWRITTEN = [(re.compile(pattern), instead) for pattern, instead in DATA["rewrite"]]
LACKING, NONE_OF = (frozenset(map(" ".join, _phrases(DATA[name]))) for name in ("lacking", "none of"))
_EXPANDED = re.compile(rf"\b(?:{'|'.join(DATA['expand'])})\b")
OWNERS = {
    _name(key): frozenset(key.partition("<")[2].split())
    for section in ("subjects", "parts")
    for key in DATA[section]
}
SUBJECTS = frozenset(_name(key) for key in DATA["subjects"])
EVERYWHERE = frozenset(_name(key) for key in DATA["states"] if "<" in key)
USUAL: dict[str, int] = DATA["usual"]
COUNTABLE = frozenset(key.split()[-1] for key in USUAL)
THINGS = frozenset(thing for _, thing in RULES)  # as the rules write them, in the plural where it matters
NEAR = 4  # how far a word may stand from the part that it is said of, in tokens
BESIDE = frozenset({"of", "in", "on", "at", "from", "to", "with"})  # any other place is another thing's
COMMA = Token("bound")
FAULTS = ("extra", "missing", "state", "many")
VERBS = (*FAULTS, "be", "have", "good", "number", "ordinal", "only")
CONTRASTS, THOUGH, RELATIVES = (
    frozenset(map(" ".join, _phrases(DATA[name]))) for name in ("contrasts", "though", "relatives")
)
UNDER = frozenset(map(_stem, ("below", "beneath", "under", "underneath", "at", "in", "inside", "into")))


def sentences(text: str) -> Iterator[list[Token]]:
    """The tokens of each sentence of the first MAX_CHARACTERS characters."""
    text = _INVISIBLE.sub("", unicodedata.normalize("NFKC", text))[:MAX_CHARACTERS]
    text = _HYPHEN.sub(" ", text.lower().replace("’", "'"))
    text = _SHORT_NOT.sub(r"\1 not", text.replace("n't", " not").replace("cannot", "can not"))
    text = _EXPANDED.sub(lambda match: DATA["expand"][match[0]], _POSSESSIVE.sub("", text))
    for pattern, instead in _REWRITTEN:
        text = pattern.sub(instead, text)
    words: list[str] = []
    for word in [*_TOKEN.findall(text), "."]:
        if word not in _ENDS:
            words.append(word)
        if words and (word in _ENDS or len(words) == _LONGEST_SENTENCE):
            yield _tokens(words)
            words = []


@lru_cache(maxsize=20_000)
def _known(word: str) -> str:
    """The word's stem, a misspelt one's as it should be: a letter too many, too few, or two swapped."""
    stem = _stem(word)
    if stem in _VOCABULARY or len(stem) < 6:
        return stem
    if stem in _SHORTENED:
        return _SHORTENED[stem]
    for at in range(1, len(stem)):
        shorter = stem[:at] + stem[at + 1 :]
        swapped = _SHORTENED.get(shorter)
        if shorter in _VOCABULARY and len(shorter) >= 5:
            return shorter
        if swapped and sorted(swapped) == sorted(stem):
            return swapped
    return stem


def _tokens(words: list[str]) -> list[Token]:
    words = [word for word in words if word not in _ARTICLES]
    stems = [_known(word) for word in words]
    tokens: list[Token] = []
    at = 0
    while at < len(stems):
        token, size = FILL, 1
        if not words[at][0].isalnum() and words[at] != "&":
            token = Token("bound")
        elif words[at][0].isdigit():
            digits = words[at].rstrip("sthnrd")
            role = "number" if digits == words[at] else "ordinal"
            token = Token(role, words[at], number=int(digits[:4]))  # of an absurd number a part is enough
        for length in range(min(_LONGEST.get(stems[at], 0), len(stems) - at), 0, -1):
            known = _TABLE.get(tuple(stems[at : at + length]))
            if known:
                token, size = known, length
                break
        if token.role == "thing":
            last = words[at + size - 1]
            of_one = any(known.role == "one_of" for known in tokens[-3:])
            token = token._replace(plural=last.endswith("s") and not last.endswith("ss") and not of_one)
        tokens.append(token)
        at += size
    return tokens
