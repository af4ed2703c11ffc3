"""What is said of which thing in a sentence, and to which other thing that belongs."""

from collections.abc import Iterator
from itertools import accumulate

from scenes.naming.words import BESIDE, COUNTABLE, EVERYWHERE, NEAR, OWNERS, THINGS, USUAL, Token


class Sentence:
    """A sentence's tokens, with what each is joined to."""

    def __init__(self, tokens: list[Token], topic: Token | None, said: frozenset[str]) -> None:
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
        yield state, f"{token.what}s" if plural and f"{token.what}s" in THINGS else token.what, owners

    def _at(self, at: int) -> Token | None:
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
        possible = OWNERS[token.what]
        costs = {
            k: abs(k - at)
            + 8 * abs(self.clause[k] - self.clause[at])
            + (6 if self.place[k] not in ("", *BESIDE) else 0)
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

    def _object(self, at: int, reach: int = NEAR) -> int | None:
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
        if self.tokens[at].what in EVERYWHERE:
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
        usual = next((USUAL[f"{o} {what}"] for o in sorted(owners) if f"{o} {what}" in USUAL), 0)
        usual = usual or USUAL.get(what, 0)
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
        parts = [k for k in self.things if k < at and self.tokens[k].what in COUNTABLE]
        owners = self._subjects(at)
        if parts and owners:
            what = self.tokens[parts[-1]].what
            held = frozenset(owner.what for k in owners if (owner := self._at(k)))
            yield "missing", f"{what}s" if f"{what}s" in THINGS else what, held & OWNERS[what]

    def _where(self, at: int) -> Iterator[tuple[str, str, frozenset[str]]]:
        """As in "blank skin where the mouth should be"."""
        for k in range(at + 1, min(at + 9, len(self.tokens))):
            if self.tokens[k].role == "bound":
                return
            if self.tokens[k].role == "unreal":
                thing = max((t for t in self.things if at < t < k), default=None)
                yield from self._fault("missing", thing)
                return
