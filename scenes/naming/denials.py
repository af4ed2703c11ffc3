"""Direction, denial and supposition: what a sentence's tokens say once these are taken into account."""

from itertools import pairwise

from scenes.naming.words import (
    COMMA,
    CONTRASTS,
    DATA,
    FAULTS,
    FILL,
    LACKING,
    NEAR,
    NONE_OF,
    RELATIVES,
    RULES,
    SUBJECTS,
    THOUGH,
    UNDER,
    USUAL,
    VERBS,
    Token,
)


def resolved(tokens: list[Token]) -> list[Token]:
    """The tokens with directions read as states, and without what is denied or only should be."""
    tokens = tokens.copy()
    for at, token in enumerate(tokens):
        if token.role == "unreal":
            for k in range(at + 1, min(at + 4, len(tokens))):
                if tokens[k].role in ("bound", "and", "not", "if"):
                    break
                tokens[k] = FILL
        elif token.role in ("toward", "prep", "good"):
            tokens[at] = _directed(tokens, at)
    for at in range(len(tokens) - 1, -1, -1):  # from behind, as a denial moves what is behind it
        _suppose(tokens, at)
    for at, token in enumerate(tokens):
        ahead = tokens[at + 1].role if at + 1 < len(tokens) else ""
        denies = token.role == "none" or (token.role == "missing" and token.what in LACKING)
        if denies and (ahead in FAULTS or _beyond(tokens, at + 1)):
            tokens[at] = Token("not", "not")
        elif token.role == "missing":
            _cancel(tokens, at)
        if tokens[at].role == "not":
            _deny(tokens, at)
    return [FILL if token.role == "good" else token for token in tokens]


def _directed(tokens: list[Token], at: int) -> Token:
    token = tokens[at]
    scene = next((t.what for t in tokens[at + 1 : at + NEAR] if t.role in ("scene", "bound", "thing")), "")
    state = ""
    if token.role == "toward":
        state = {"light": "towards_light", "sky": "up", "ground": "down"}.get(scene, "")
    elif token.role == "prep" and token.what in ("abov", "over") and scene in ("ground", "sea"):
        state = "above"
    elif token.role == "prep" and token.what in UNDER and scene == "sea":
        state = "submerged"
    elif token.what == "apart" and scene == "ground" and "not" not in {t.role for t in tokens[:at][-3:]}:
        state = "ground"
    return Token("state", state) if state else token


def _suppose(tokens: list[Token], at: int) -> None:
    """Take back what the word at `at` makes a mere supposition or what the prompt asks for."""
    role, end = tokens[at].role, _ending(tokens, at)
    clause = max((k for k in range(at) if tokens[k].role == "bound"), default=0)
    opposed = {t.role for t in tokens[max(clause, at - 4) : at]} & {"not", "contrary", "unreal"}
    if role == "denies":
        tokens[at] = FILL
        verb = next((k for k in range(at + 1, end) if tokens[k].role in VERBS), None)
        if verb is not None:
            tokens.insert(verb, Token("not", "not"))
    elif role == "if":
        turn = next((k for k in range(at, len(tokens)) if _contrast(tokens[k])), len(tokens))
        would = next((k for k in range(at, turn) if tokens[k].role in ("unreal", "supposed")), end)
        _forget(tokens, at, max(end, would))
    elif role == "supposed":
        _forget(tokens, clause, at)
    elif role == "sought":
        end = next((k for k in range(at + 1, end) if tokens[k].role == "and"), end)
        if any(tokens[k].role in FAULTS or _beyond(tokens, k) for k in range(at, end)):
            tokens[at:end] = [FILL] * (end - at)
    elif role == "asker" and not opposed:
        asks = next((k for k in range(at + 1, min(at + 5, end)) if tokens[k].role == "asks"), None)
        if asks is not None:
            opened = tokens[clause].what in THOUGH
            _forget(tokens, at, end if opened else _ending(tokens, at, verbs=True))
    elif role in ("as", "excuse") and not opposed and "not" not in {t.role for t in tokens[at : at + 4]}:
        start = max((k + 1 for k in range(at - 1) if _contrast(tokens[k])), default=0)
        after = at if start < at else end  # "as requested, …": the clause behind the comma
        _forget(tokens, start, _ending(tokens, after, verbs=True))


def _cancel(tokens: list[Token], at: int) -> None:
    """Take back both sides of "an extra finger is absent"."""
    if at < 3 or tokens[at - 1].role != "be" or tokens[at - 2].role != "thing":
        return
    if tokens[at - 3].role == "extra" or _beyond(tokens, at - 3):
        tokens[at] = tokens[at - 3] = FILL


def _contrast(token: Token) -> bool:
    return token.role == "bound" and token.what in CONTRASTS


def _relative(tokens: list[Token], at: int) -> bool:
    return tokens[at].role == "bound" and tokens[at].what in RELATIVES


def _ending(tokens: list[Token], at: int, verbs: bool = False) -> int:
    """Where the clause of `at` ends; with `verbs`, a comma ends it only if a verb of its own comes behind."""
    ends = [k for k in range(at + 1, len(tokens)) if tokens[k].role == "bound" and not _relative(tokens, k)]
    ends.append(len(tokens))
    for k, following in pairwise(ends):
        if not verbs or _contrast(tokens[k]) or {"be", "have"} & {t.role for t in tokens[k:following]}:
            return k
    return len(tokens)


def _forget(tokens: list[Token], start: int, end: int) -> None:
    """Drop all that is said, but keep the things, for what "it" means later on."""
    for k in range(start, end):
        if tokens[k].role not in ("thing", "bound", "and", "prep", "with", "be"):
            tokens[k] = FILL


def _beyond(tokens: list[Token], at: int) -> bool:
    """Whether a number or an ordinal at `at` is more than its thing should have: a fault if true."""
    if at >= len(tokens) or tokens[at].role not in ("number", "ordinal"):
        return False
    what = next((t.what for t in tokens[at + 1 : at + 4] if t.role == "thing"), "")
    owners = sorted({t.what for t in tokens if t.role == "thing"})
    usual = next((USUAL[f"{o} {what}"] for o in owners if f"{o} {what}" in USUAL), None)
    return tokens[at].number > (usual or USUAL.get(what) or USUAL.get(f"other {what}", 99))


def _deny(tokens: list[Token], at: int) -> None:
    """Take back what the negator at `at` denies; read "not attached" as detached and "no leg" as missing."""
    absent, of = tokens[at].what in ("no", "without"), tokens[at].what in NONE_OF
    leads = of or at == 0 or tokens[at - 1].role in ("bound", "and")
    k, end = at, at + NEAR
    while k < min(end, len(tokens) - 1):
        k += 1
        token = tokens[k]
        if token.what == "without" and k == at + 1:  # "not without"
            tokens[k] = FILL
        if token.role in ("bound", "and", "only", "prep", "not"):
            return
        if token.role == "have":
            absent = True
        elif token.role == "thing":
            compound = k + 1 < len(tokens) and tokens[k + 1].role == "thing"
            if compound and (absent or of):
                end += 1
                continue
            if absent and token.what in SUBJECTS and _described(tokens, k):
                _forget(tokens, k + 1, _ending(tokens, k))
                return
            if (absent or of) and not _said_missing(tokens, k, leads, of) and absent:
                tokens[at if tokens[k - 1].role == "thing" else k - 1] = Token("missing", "not")
            return
        elif token.role == "good":
            if not (token.what == "missing" and k > at + 2):
                role = "missing" if token.what == "missing" else "state"
                tokens[k] = Token(role, token.what, number=1)
            return
        elif token.role in (*FAULTS, "ordinal", "number", "toward"):
            if token.role in ("number", "ordinal") and absent and not _beyond(tokens, k):
                continue  # "without its four legs"
            instead = DATA["denied"].get(token.what)
            tokens[k] = Token("state", instead) if instead else FILL
            if token.role == "state" and tokens[k + 1 : k + 2] == [token]:  # "split in half"
                tokens[k + 1] = FILL
            absent = of = False
            more = _listed(tokens, k)
            if more is None:
                return
            for j in range(k + 1, more):
                tokens[j] = FILL if tokens[j].role in FAULTS else tokens[j]
            k, end = more, more + NEAR


def _described(tokens: list[Token], at: int) -> bool:
    """Whether the denied thing at `at` is only denied as what is told behind it: "no hand with six fingers"."""
    thing, ahead = tokens[at], tokens[at + 1 : at + 2]
    if not ahead or (thing.plural and ("missing", f"{thing.what}s") in RULES):
        return False
    return ahead[0].role in ("with", "state") or _relative(tokens, at + 1)


def _listed(tokens: list[Token], at: int) -> int | None:
    """The last "or" of the list that the denied word at `at` begins, as in "no extra arm, missing leg or gap"."""
    last = None
    for k in range(at + 1, len(tokens)):
        token = tokens[k]
        if token.role == "or":
            last = k
        elif token.role not in ("thing", "fill", *FAULTS, "ordinal", "number", "prep") and (
            token != COMMA or last is not None
        ):
            return last
    return last


def _said_missing(tokens: list[Token], at: int, leads: bool, said: bool) -> bool:
    """Take back what is said of the denied thing at `at`, as in "no finger is missing"; whether there is any.

    `leads`: the thing is the subject, so that "no finger is visible" says that all are missing. `said`: the verb
    need not be "be" or "have".
    """
    for k in range(at + 1, min(at + 9, len(tokens))):
        if tokens[k].role in ("bound", "and"):
            return False
        if said and tokens[k].role in ("missing", "extra", "state"):
            tokens[k] = FILL
            return True
        if said and leads and tokens[k].role == "good":
            tokens[k] = Token("missing" if tokens[k].what == "missing" else "state", tokens[k].what, number=1)
            return True
        if k == at + 1 and (tokens[k].what, tokens[at].what) in RULES:  # "no water floating beside it"
            tokens[k] = FILL
            return True
        said = said or tokens[k].role in ("be", "have")
    return False
