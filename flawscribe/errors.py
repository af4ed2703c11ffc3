"""Errors that a user can mend: printed as one line, without a traceback, with a documented exit code."""

import difflib
import re
from collections.abc import Iterable

# Characters that steer a terminal or reorder text: controls, and bidirectional marks.
_STEERING = re.compile(r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")

OK, SOME_FAILED, USAGE, SETUP, INTERNAL = 0, 1, 2, 3, 4


class UserError(Exception):
    """Something the user asked for cannot be done as asked (exit code 2); the message says the mend."""

    exit_code = USAGE


class SetupError(UserError):
    """Something outside the arguments is missing or refuses: a package, a server, a key (exit code 3)."""

    exit_code = SETUP


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`" Did you mean 'x'?"` for the nearest of `known`, or the whole list where none is near."""
    names = sorted(known)
    near = difflib.get_close_matches(word, names, n=1)
    return f" Did you mean {near[0]!r}?" if near else f" Known: {', '.join(names)}."


def one_line(text: object, limit: int = 300) -> str:
    """`text` on one line of at most `limit` characters that any file can hold and no terminal obeys."""
    words = " ".join(str(text).split()).encode("utf-8", "replace").decode()
    words = _STEERING.sub(lambda found: f"[U+{ord(found[0]):04X}]", words)
    return words if len(words) <= limit else words[: limit - 1] + "…"


def is_text(text: str) -> bool:
    """Whether any file can hold it: half a surrogate pair can be said in JSON and is no text."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
