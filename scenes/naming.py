"""Which of the scenes' defect kinds an English text names: rules over the words of `naming.yaml`, no model.

A sentence becomes a row of tokens, each a thing (an eye, a chair) or what is said of one (extra, missing,
floating). Every state is joined to the things that it is said of, every part to the thing that it belongs to;
a kind is named where both are its own. What is denied ("no extra finger", "is not detached"), supposed ("if it had
…") or asked for ("the prompt asks for …", "as requested") names nothing; a part that is denied is missing.
"""

import re
import unicodedata
from collections.abc import Collection, Iterator
from functools import lru_cache
from itertools import accumulate, pairwise, product
from pathlib import Path
from typing import Any, NamedTuple

import yaml

MAX_CHARACTERS = 8_000
_LONGEST_SENTENCE = 120  # words; a longer one is read in parts, as the time grows with its square

_DATA: dict[str, Any] = yaml.safe_load(Path(__file__).with_name("naming.yaml").read_text(encoding="utf-8"))
_KEEP = frozenset(_DATA["unstemmed"].split())
_ARTICLES = frozenset(_DATA["articles"].split())
_NUMBERS: dict[str, int] = _DATA["numbers"]
_ORDINALS: dict[str, int] = _DATA["ordinals"]
_TOKEN = re.compile(r"[a-z]+|[0-9]+(?:st|nd|rd|th)?|&|[.!?;\n]|[,:()–—]| -+ ")
_INVISIBLE = re.compile("[\u00ad\u034f\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff]")
_HYPHEN, _POSSESSIVE = re.compile(r"(?<=\w)[-‐](?=\w)"), re.compile(r"'s?\b|(?<=s)'")
_SHORT_NOT = re.compile(r"\b(do|did|does|is|are|was|were|has|have|could|would)nt\b")
_NEAR = 4  # how far a word may stand from the part that it is said of, in tokens
_BESIDE = frozenset({"of", "in", "on", "at", "from", "to", "with"})  # any other place is another thing's


class _Token(NamedTuple):
    """A word or a phrase: its role ("thing", "state", …), its meaning, whether it is plural.

    `number`: that of a number; 1 for a state that is a verb's denial, whose object is no subject.
    """

    role: str
    what: str = ""
    plural: bool = False
    number: int = 0


class _Rule(NamedTuple):
    kind: str
    subject: str
    owners: frozenset[str]
    loose: bool
    beside: frozenset[str]


_FILL = _Token("fill")


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


def _table() -> dict[tuple[str, ...], _Token]:
    table = {
        phrase: _Token(role, " ".join(phrase))
        for role, text in _DATA["words"].items()
        for phrase in _phrases(text)
    }
    for section, role in (
        ("good", "good"),
        ("states", "state"),
        ("scenery", "scene"),
        ("subjects", "thing"),
        ("parts", "thing"),
    ):
        for key, text in _DATA[section].items():
            table |= {phrase: _Token(role, _name(key)) for phrase in _phrases(text)}
    for numbers, role in ((_NUMBERS, "number"), (_ORDINALS, "ordinal")):
        for words, n in numbers.items():
            table[next(_phrases(words))] = _Token(role, words, number=n)
    return table


def _rules() -> dict[tuple[str, str], list[_Rule]]:
    found: dict[tuple[str, str], list[_Rule]] = {}
    for kind, row in _DATA["kinds"].items():
        for says in row["says"]:
            said, _, beside = says.partition("+")
            owners = frozenset({row["subject"], *row.get("as", ())})
            near = frozenset(beside.replace("|", " ").split())
            rule = _Rule(kind, row["subject"], owners, bool(row.get("loose")), near)
            for state, thing in product(*(words.split("|") for words in said.split())):
                found.setdefault((state, thing), []).append(rule)
    return found


_TABLE = _table()
_RULES = _rules()
_LONGEST: dict[str, int] = {}
for _phrase in _TABLE:
    _LONGEST[_phrase[0]] = max(len(_phrase), _LONGEST.get(_phrase[0], 0))
_VOCABULARY = frozenset(word for phrase in _TABLE for word in phrase)
_SHORTENED = {known[:at] + known[at + 1 :]: known for known in _VOCABULARY for at in range(1, len(known))}
_REWRITTEN = [(re.compile(pattern), instead) for pattern, instead in _DATA["rewrite"]]
_LACKING, _NONE_OF = (frozenset(map(" ".join, _phrases(_DATA[name]))) for name in ("lacking", "none of"))
_EXPANDED = re.compile(rf"\b(?:{'|'.join(_DATA['expand'])})\b")
_OWNERS = {
    _name(key): frozenset(key.partition("<")[2].split())
    for section in ("subjects", "parts")
    for key in _DATA[section]
}
_SUBJECTS = frozenset(_name(key) for key in _DATA["subjects"])
_EVERYWHERE = frozenset(_name(key) for key in _DATA["states"] if "<" in key)


def named(text: str, subjects: Collection[str] | None = None) -> frozenset[str]:
    """The names of the defect kinds that an English text says are in the picture; empty if none.

    `subjects` (such as {"mug", "dog"}) restricts the answer to kinds of these subjects, and a part whose owner
    the text leaves unsaid ("a leg is missing") is then taken for theirs. Only the first 8,000 characters count.
    TypeError if `subjects` is a plain string.
    """
    if isinstance(subjects, str):
        raise TypeError(f'subjects is a collection of names, such as {{"{subjects}"}}, not a string')
    found: set[str] = set()
    topic: _Token | None = None  # what the sentence before was about, for "it"
    said: frozenset[str] = frozenset()  # the subjects that it named
    for tokens in _sentences(text[:MAX_CHARACTERS]):
        sentence = _Sentence(_resolved(tokens), topic, said)
        for state, thing, owners in sentence.faults():
            for rule in _RULES.get((state, thing), ()):
                if subjects is not None and rule.subject not in subjects:
                    continue
                if rule.beside and not rule.beside & (sentence.present | said):
                    continue
                own = thing in (rule.subject, f"{rule.subject}s") or owners & rule.owners
                if own or (not owners and (rule.loose or subjects is not None)):
                    found.add(rule.kind)
        topic = sentence.topic
        said = sentence.present & _SUBJECTS or said
    return frozenset(found)


def _sentences(text: str) -> Iterator[list[_Token]]:
    text = _INVISIBLE.sub("", unicodedata.normalize("NFKC", text))[:MAX_CHARACTERS]
    text = _HYPHEN.sub(" ", text.lower().replace("’", "'"))
    text = _SHORT_NOT.sub(r"\1 not", text.replace("n't", " not").replace("cannot", "can not"))
    text = _EXPANDED.sub(lambda match: _DATA["expand"][match[0]], _POSSESSIVE.sub("", text))
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


def _tokens(words: list[str]) -> list[_Token]:
    words = [word for word in words if word not in _ARTICLES]
    stems = [_known(word) for word in words]
    tokens: list[_Token] = []
    at = 0
    while at < len(stems):
        token, size = _FILL, 1
        if not words[at][0].isalnum() and words[at] != "&":
            token = _Token("bound")
        elif words[at][0].isdigit():
            digits = words[at].rstrip("sthnrd")
            role = "number" if digits == words[at] else "ordinal"
            token = _Token(role, words[at], number=int(digits[:4]))  # of an absurd number a part is enough
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


def _resolved(tokens: list[_Token]) -> list[_Token]:
    """The tokens with directions read as states, and without what is denied or only should be."""
    tokens = tokens.copy()
    for at, token in enumerate(tokens):
        if token.role == "unreal":
            for k in range(at + 1, min(at + 4, len(tokens))):
                if tokens[k].role in ("bound", "and", "not", "if"):
                    break
                tokens[k] = _FILL
        elif token.role in ("toward", "prep", "good"):
            tokens[at] = _directed(tokens, at)
    for at in range(len(tokens) - 1, -1, -1):  # from behind, as a denial moves what is behind it
        _suppose(tokens, at)
    for at, token in enumerate(tokens):
        ahead = tokens[at + 1].role if at + 1 < len(tokens) else ""
        denies = token.role == "none" or (token.role == "missing" and token.what in _LACKING)
        if denies and (ahead in _FAULTS or _beyond(tokens, at + 1)):
            tokens[at] = _Token("not", "not")
        elif token.role == "missing":
            _cancel(tokens, at)
        if tokens[at].role == "not":
            _deny(tokens, at)
    return [_FILL if token.role == "good" else token for token in tokens]


def _directed(tokens: list[_Token], at: int) -> _Token:
    token = tokens[at]
    scene = next((t.what for t in tokens[at + 1 : at + _NEAR] if t.role in ("scene", "bound", "thing")), "")
    state = ""
    if token.role == "toward":
        state = {"light": "towards_light", "sky": "up", "ground": "down"}.get(scene, "")
    elif token.role == "prep" and token.what in ("abov", "over") and scene in ("ground", "sea"):
        state = "above"
    elif token.role == "prep" and token.what in _UNDER and scene == "sea":
        state = "submerged"
    elif token.what == "apart" and scene == "ground" and "not" not in {t.role for t in tokens[:at][-3:]}:
        state = "ground"
    return _Token("state", state) if state else token


def _suppose(tokens: list[_Token], at: int) -> None:
    """Take back what the word at `at` makes a mere supposition or what the prompt asks for."""
    role, end = tokens[at].role, _ending(tokens, at)
    clause = max((k for k in range(at) if tokens[k].role == "bound"), default=0)
    opposed = {t.role for t in tokens[max(clause, at - 4) : at]} & {"not", "contrary", "unreal"}
    if role == "denies":
        tokens[at] = _FILL
        verb = next((k for k in range(at + 1, end) if tokens[k].role in _VERBS), None)
        if verb is not None:
            tokens.insert(verb, _Token("not", "not"))
    elif role == "if":
        turn = next((k for k in range(at, len(tokens)) if _contrast(tokens[k])), len(tokens))
        would = next((k for k in range(at, turn) if tokens[k].role in ("unreal", "supposed")), end)
        _forget(tokens, at, max(end, would))
    elif role == "supposed":
        _forget(tokens, clause, at)
    elif role == "sought":
        end = next((k for k in range(at + 1, end) if tokens[k].role == "and"), end)
        if any(tokens[k].role in _FAULTS or _beyond(tokens, k) for k in range(at, end)):
            tokens[at:end] = [_FILL] * (end - at)
    elif role == "asker" and not opposed:
        asks = next((k for k in range(at + 1, min(at + 5, end)) if tokens[k].role == "asks"), None)
        if asks is not None:
            opened = tokens[clause].what in _THOUGH
            _forget(tokens, at, end if opened else _ending(tokens, at, verbs=True))
    elif role in ("as", "excuse") and not opposed and "not" not in {t.role for t in tokens[at : at + 4]}:
        start = max((k + 1 for k in range(at - 1) if _contrast(tokens[k])), default=0)
        after = at if start < at else end  # "as requested, …": the clause behind the comma
        _forget(tokens, start, _ending(tokens, after, verbs=True))


def _cancel(tokens: list[_Token], at: int) -> None:
    """Take back both sides of "an extra finger is absent"."""
    if at < 3 or tokens[at - 1].role != "be" or tokens[at - 2].role != "thing":
        return
    if tokens[at - 3].role == "extra" or _beyond(tokens, at - 3):
        tokens[at] = tokens[at - 3] = _FILL


def _contrast(token: _Token) -> bool:
    return token.role == "bound" and token.what in _CONTRASTS


def _relative(tokens: list[_Token], at: int) -> bool:
    return tokens[at].role == "bound" and tokens[at].what in _RELATIVES


def _ending(tokens: list[_Token], at: int, verbs: bool = False) -> int:
    """Where the clause of `at` ends; with `verbs`, a comma ends it only if a verb of its own comes behind."""
    ends = [k for k in range(at + 1, len(tokens)) if tokens[k].role == "bound" and not _relative(tokens, k)]
    ends.append(len(tokens))
    for k, following in pairwise(ends):
        if not verbs or _contrast(tokens[k]) or {"be", "have"} & {t.role for t in tokens[k:following]}:
            return k
    return len(tokens)


def _forget(tokens: list[_Token], start: int, end: int) -> None:
    """Drop all that is said, but keep the things, for what "it" means later on."""
    for k in range(start, end):
        if tokens[k].role not in ("thing", "bound", "and", "prep", "with", "be"):
            tokens[k] = _FILL


def _beyond(tokens: list[_Token], at: int) -> bool:
    """Whether a number or an ordinal at `at` is more than its thing should have: a fault if true."""
    if at >= len(tokens) or tokens[at].role not in ("number", "ordinal"):
        return False
    what = next((t.what for t in tokens[at + 1 : at + 4] if t.role == "thing"), "")
    owners = sorted({t.what for t in tokens if t.role == "thing"})
    usual = next((_USUAL[f"{o} {what}"] for o in owners if f"{o} {what}" in _USUAL), None)
    return tokens[at].number > (usual or _USUAL.get(what) or _USUAL.get(f"other {what}", 99))


def _deny(tokens: list[_Token], at: int) -> None:
    """Take back what the negator at `at` denies; read "not attached" as detached and "no leg" as missing."""
    absent, of = tokens[at].what in ("no", "without"), tokens[at].what in _NONE_OF
    leads = of or at == 0 or tokens[at - 1].role in ("bound", "and")
    k, end = at, at + _NEAR
    while k < min(end, len(tokens) - 1):
        k += 1
        token = tokens[k]
        if token.what == "without" and k == at + 1:  # "not without"
            tokens[k] = _FILL
        if token.role in ("bound", "and", "only", "prep", "not"):
            return
        if token.role == "have":
            absent = True
        elif token.role == "thing":
            compound = k + 1 < len(tokens) and tokens[k + 1].role == "thing"
            if compound and (absent or of):
                end += 1
                continue
            if absent and token.what in _SUBJECTS and _described(tokens, k):
                _forget(tokens, k + 1, _ending(tokens, k))
                return
            if (absent or of) and not _said_missing(tokens, k, leads, of) and absent:
                tokens[at if tokens[k - 1].role == "thing" else k - 1] = _Token("missing", "not")
            return
        elif token.role == "good":
            if not (token.what == "missing" and k > at + 2):
                role = "missing" if token.what == "missing" else "state"
                tokens[k] = _Token(role, token.what, number=1)
            return
        elif token.role in (*_FAULTS, "ordinal", "number", "toward"):
            if token.role in ("number", "ordinal") and absent and not _beyond(tokens, k):
                continue  # "without its four legs"
            instead = _DATA["denied"].get(token.what)
            tokens[k] = _Token("state", instead) if instead else _FILL
            if token.role == "state" and tokens[k + 1 : k + 2] == [token]:  # "split in half"
                tokens[k + 1] = _FILL
            absent = of = False
            more = _listed(tokens, k)
            if more is None:
                return
            for j in range(k + 1, more):
                tokens[j] = _FILL if tokens[j].role in _FAULTS else tokens[j]
            k, end = more, more + _NEAR


def _described(tokens: list[_Token], at: int) -> bool:
    """Whether the denied thing at `at` is only denied as what is told behind it: "no hand with six fingers"."""
    thing, ahead = tokens[at], tokens[at + 1 : at + 2]
    if not ahead or (thing.plural and ("missing", f"{thing.what}s") in _RULES):
        return False
    return ahead[0].role in ("with", "state") or _relative(tokens, at + 1)


def _listed(tokens: list[_Token], at: int) -> int | None:
    """The last "or" of the list that the denied word at `at` begins, as in "no extra arm, missing leg or gap"."""
    last = None
    for k in range(at + 1, len(tokens)):
        token = tokens[k]
        if token.role == "or":
            last = k
        elif token.role not in ("thing", "fill", *_FAULTS, "ordinal", "number", "prep") and (
            token != _COMMA or last is not None
        ):
            return last
    return last


def _said_missing(tokens: list[_Token], at: int, leads: bool, said: bool) -> bool:
    """Take back what is said of the denied thing at `at`, as in "no finger is missing"; whether there is any.

    `leads`: the thing is the subject, so that "no finger is visible" says that all are missing. `said`: the verb
    need not be "be" or "have".
    """
    for k in range(at + 1, min(at + 9, len(tokens))):
        if tokens[k].role in ("bound", "and"):
            return False
        if said and tokens[k].role in ("missing", "extra", "state"):
            tokens[k] = _FILL
            return True
        if said and leads and tokens[k].role == "good":
            tokens[k] = _Token(
                "missing" if tokens[k].what == "missing" else "state", tokens[k].what, number=1
            )
            return True
        if k == at + 1 and (tokens[k].what, tokens[at].what) in _RULES:  # "no water floating beside it"
            tokens[k] = _FILL
            return True
        said = said or tokens[k].role in ("be", "have")
    return False


class _Sentence:
    """A sentence's tokens, with what each is joined to."""

    def __init__(self, tokens: list[_Token], topic: _Token | None, said: frozenset[str]) -> None:
        self.tokens, self.before, self.said = tokens, topic, said
        self.things = [at for at, token in enumerate(tokens) if token.role == "thing"]
        self.present = frozenset(t.what for t in tokens if t.role == "thing")
        self.clause = self._clauses()
        self.part = list(accumulate(token.role == "bound" for token in tokens))
        self.owners: dict[int, frozenset[str]] = {}
        self.place = {at: self._preposition(at) for at in self.things}
        first = next((at for at in self.things if not self.place[at]), self.things[0] if self.things else -1)
        self.first = first
        self.topic = tokens[first] if self.things else topic

    def _clauses(self) -> list[int]:
        """For every token its clause's number; "and" begins one where what is before it says something."""
        numbers, number, says = [], 0, False
        for token in self.tokens:
            if token.role == "bound" or (token.role == "and" and says):
                number, says = number + 1, False
            elif token.role in ("be", "have", "state", "missing", "extra", "not"):
                says = True
            numbers.append(number)
        return numbers

    def _preposition(self, at: int) -> str:
        """The preposition that a thing stands behind, or "": "of", "with", …"""
        for k in range(at - 1, max(-1, at - 5), -1):
            token = self.tokens[k]
            if token.role in ("prep", "with", "toward"):
                return token.what
            if token.role not in (
                "fill",
                "pronoun",
                "number",
                "ordinal",
                "state",
                "extra",
                "one_of",
            ) and not (token.role == "thing" and k == at - 1):
                return ""
        return ""

    def faults(self) -> Iterator[tuple[str, str, frozenset[str]]]:
        """Every state with the thing that it is said of and the things that this may belong to."""
        for at, token in enumerate(self.tokens):
            if token.role == "state":
                for thing in self._said_of(at):
                    yield from self._fault(token.what, thing)
            elif token.role in ("extra", "missing"):
                for thing in self._objects(at) or self._subjects(at):
                    yield from self._fault(token.role, thing)
            elif token.role in ("number", "ordinal"):
                yield from self._counted(at)
            elif token.role == "many":
                yield from self._fault("extra", self._many(at))
            elif token.role == "only":
                yield from self._only(at)
            elif token.role == "none":
                yield from self._none(at)
            elif token.role == "where":
                yield from self._where(at)

    def _fault(self, state: str, at: int | None) -> Iterator[tuple[str, str, frozenset[str]]]:
        if at is None:
            return
        token = self._at(at)
        if token is None:
            return
        owners = self._owners(at)
        plural = token.plural
        if (
            token.what == "clockhand"
            and len([k for k in self.things if self.tokens[k].what == token.what]) > 1
        ):
            plural = True  # "the hour hand and the minute hand"
        yield state, f"{token.what}s" if plural and f"{token.what}s" in _THINGS else token.what, owners

    def _at(self, at: int) -> _Token | None:
        """The thing at a place; -1 is what the sentence before was about."""
        return self.tokens[at] if at >= 0 else self.before

    def _owners(self, at: int) -> frozenset[str]:
        if at not in self.owners:
            self.owners[at] = self._nearest_owners(at)
        return self.owners[at]

    def _nearest_owners(self, at: int) -> frozenset[str]:
        token = self._at(at)
        assert token
        if at < 0:
            return self.said
        possible = _OWNERS[token.what]
        costs = {
            k: abs(k - at)
            + 8 * abs(self.clause[k] - self.clause[at])
            + (6 if self.place[k] not in ("", *_BESIDE) else 0)
            for k in self.things
            if k != at and self.tokens[k].what in possible
        }
        if costs:
            nearest = min(costs, key=lambda k: costs[k])
            return frozenset(self.tokens[k].what for k in self._joined(nearest))
        if len(possible) == 1:
            return possible
        pronoun = any(token.role == "pronoun" for token in self.tokens)
        return self.said & possible or (frozenset({"person"}) & possible if pronoun else frozenset())

    def _joined(self, at: int) -> list[int]:
        """A thing with those that "and" joins to it from before."""
        found = [at]
        while True:
            k = found[-1] - 1
            while k > 0 and self.tokens[k].role in ("fill", "number", "pronoun"):
                k -= 1
            if k <= 0 or self.tokens[k].role not in ("and", "or") or self.clause[k] != self.clause[k - 1]:
                return found
            if self.tokens[k - 1].role != "thing":
                return found
            found.append(k - 1)

    def _object(self, at: int, reach: int = _NEAR) -> int | None:
        for k in range(at + 1, min(at + 1 + reach, len(self.tokens))):
            role = self.tokens[k].role
            if role == "thing":
                while (
                    self.tokens[at].role != "number"
                    and k + 1 < len(self.tokens)
                    and self.tokens[k + 1].role == "thing"
                ):
                    k += 1  # a compound: its last word is what it is
                return k
            if role in ("bound", "and", "be", "have", "prep", "with", "not", "where") and (
                self.tokens[k].what != "of" or self.tokens[k - 1].what == "unreal"
            ):
                return None
        return None

    def _objects(self, at: int) -> list[int]:
        """The things behind a word such as "missing", with those that "and" joins to them."""
        first = self._object(at)
        if first is None:
            return []
        found = [first]
        while True:
            k = found[-1] + 1
            if k >= len(self.tokens) or self.tokens[k].role not in ("and", "or"):
                return found
            more = self._object(k, 3)
            if more is None:
                return found
            after = self.tokens[more + 1].role if more + 1 < len(self.tokens) else "bound"
            if after not in ("bound", "and", "prep", "or") or any(
                t.role in ("number", "extra", "missing", "state", "ordinal") for t in self.tokens[k:more]
            ):
                return found
            found.append(more)

    def _subjects(self, at: int) -> list[int]:
        """The things before a word that it is said of: the nearest that no preposition makes a place."""
        own = [k for k in self.things if k < at and self.clause[k] == self.clause[at]]
        if own and own[-1] == at - 1 and self.place[own[-1]] == "with":
            return own[-1:]
        free = [k for k in own if not self.place[k]]
        if free:
            return self._joined(free[-1])
        if own:
            return own[:1]
        if "which" in (
            token.what for k, token in enumerate(self.tokens[:at]) if self.clause[k] == self.clause[at]
        ):
            before = [k for k in self.things if k < at]
            return before[-1:] + [k for k in before[:-1] if not self.place[k]][-1:]
        earlier = [k for k in self.things if k < at and not self.place[k]]
        if earlier:
            last = self.clause[earlier[-1]]
            return [next(k for k in earlier if self.clause[k] == last)]
        if self.things and self.things[0] < at:
            return self.things[:1]
        return [-1] if self.before else []

    def _said_of(self, at: int) -> list[int]:
        if self.tokens[at].what in _EVERYWHERE:
            return [k for k in self.things if not self._parted(k, at)] or self._subjects(at)
        behind = self._object(at, 3)
        if behind is not None and behind == at + 1 and not self.tokens[at].number:  # "floating ball"
            return [behind]
        return self._subjects(at) + ([behind] if behind is not None else [])

    def _parted(self, a: int, b: int) -> bool:
        return self.part[a] != self.part[b]

    def _counted(self, at: int) -> Iterator[tuple[str, str, frozenset[str]]]:
        """A number of parts that is not the usual one: more are extra, one fewer is "few"."""
        thing = self._object(at, 3)
        if at and self.tokens[at - 1].role == "number":  # "twenty-one"
            return
        if thing is None or any(t.role in ("many", "extra") for t in self.tokens[at : thing + 3]):
            return
        number, owners = self.tokens[at].number, self._owners(thing)
        what = self.tokens[thing].what
        usual = next((_USUAL[f"{o} {what}"] for o in sorted(owners) if f"{o} {what}" in _USUAL), 0)
        usual = usual or _USUAL.get(what, 0)
        if not usual:
            return
        if number > usual:
            yield from self._fault("extra", thing)
        elif number == usual - 1 and self.tokens[at].role == "number" and not self._and_another(thing):
            before = {token.role for token in self.tokens[max(0, at - 2) : at]}
            after = self.tokens[thing + 1].role if thing + 1 < len(self.tokens) else "bound"
            if (
                number > 1
                or self.tokens[at].what == "single"
                or "only" in (*before, after)
                or (
                    "have" in before and after in ("bound", "prep", "and", "unreal")
                )  # not "has one eye closed"
            ):
                yield from self._fault("few", thing)

    def _and_another(self, thing: int) -> bool:
        """Whether the same is counted on, as in "four fingers and a thumb"."""
        return any(
            self.tokens[k].role in ("and", "with")
            and any(t.what == self.tokens[thing].what for t in self.tokens[k : k + 3])
            for k in range(thing + 1, min(thing + 3, len(self.tokens)))
        )

    def _many(self, at: int) -> int | None:
        behind = self._object(at, 1)
        return (
            behind if behind is not None else max((k for k in self.things if at - 3 <= k < at), default=None)
        )

    def _only(self, at: int) -> Iterator[tuple[str, str, frozenset[str]]]:
        thing = self._object(at, 3)
        if thing is not None and self.tokens[thing].what in ("half", "side", "halfdial"):
            yield from self._fault("onlyhalf", thing)

    def _none(self, at: int) -> Iterator[tuple[str, str, frozenset[str]]]:
        """As in "the chair lacks a leg, and the dog has none"."""
        parts = [k for k in self.things if k < at and self.tokens[k].what in _COUNTABLE]
        owners = self._subjects(at)
        if parts and owners:
            what = self.tokens[parts[-1]].what
            held = frozenset(owner.what for k in owners if (owner := self._at(k)))
            yield "missing", f"{what}s" if f"{what}s" in _THINGS else what, held & _OWNERS[what]

    def _where(self, at: int) -> Iterator[tuple[str, str, frozenset[str]]]:
        """As in "blank skin where the mouth should be"."""
        for k in range(at + 1, min(at + 9, len(self.tokens))):
            if self.tokens[k].role == "bound":
                return
            if self.tokens[k].role == "unreal":
                thing = max((t for t in self.things if at < t < k), default=None)
                yield from self._fault("missing", thing)
                return


_USUAL: dict[str, int] = _DATA["usual"]
_COUNTABLE = frozenset(key.split()[-1] for key in _USUAL)
_THINGS = frozenset(thing for _, thing in _RULES)  # as the rules write them, in the plural where it matters
_COMMA = _Token("bound")
_FAULTS = ("extra", "missing", "state", "many")
_VERBS = (*_FAULTS, "be", "have", "good", "number", "ordinal", "only")
_CONTRASTS, _THOUGH, _RELATIVES = (
    frozenset(map(" ".join, _phrases(_DATA[name]))) for name in ("contrasts", "though", "relatives")
)
_ENDS = frozenset(".!?;\n")
_UNDER = frozenset(map(_stem, ("below", "beneath", "under", "underneath", "at", "in", "inside", "into")))
