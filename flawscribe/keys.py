"""What identifies a row's content: everything that decides it, and nothing else."""

import hashlib
import json
from typing import Any

SCHEMA = 1
"""Of run directories: part of every key."""


class Keys:
    """`key_of` for many rows of which most parts are the same: `Keys(*varying, **fixed)(**varying values)`.

    The same keys, at a fraction of the time: the fixed parts are written as JSON once.
    """

    def __init__(self, *varying: str, **fixed: Any) -> None:
        names = sorted(varying)
        marks = {name: f"\0{name}\0" for name in names}
        text = json.dumps({"schema": SCHEMA, **fixed, **marks}, sort_keys=True, ensure_ascii=True)
        self._between: list[str] = []
        for name in names:
            before, text = text.split(json.dumps(marks[name]), 1)
            self._between.append(before)
        self._names, self._end = names, text

    def __call__(self, **values: Any) -> str:
        """The key with the varying parts as given."""
        parts = (b + json.dumps(values[n]) for b, n in zip(self._between, self._names, strict=True))
        return _digest("".join(parts) + self._end)


def key_of(**parts: Any) -> str:
    """A row's key: the first 32 hex digits of SHA-256 over the parts as canonical JSON.

    Give what decides a row's content (image digest, prompt, model and revision, prompt template
    version, sampling, schema version) and nothing else: no paths, no concurrency, no retries.
    """
    return _digest(json.dumps({"schema": SCHEMA, **parts}, sort_keys=True, ensure_ascii=True))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]
