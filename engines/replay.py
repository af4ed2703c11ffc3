"""Recorded or computed answers in place of a model: for tests, docs and dry runs, and named so."""

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from engines.base import Answer, Fault, Request
from engines.registry import Options
from flawscribe.errors import UserError, did_you_mean, one_line
from flawscribe.models import ModelRef
from flawscribe.records import FailureKind

Respond = Callable[[Request], Answer | Fault]


class ReplayEngine:
    """Answers with `respond(request)`; no model is asked."""

    name = "replay"

    def __init__(self, respond: Respond, source: str = "computed") -> None:
        self._respond = respond
        self._source = source

    def stream(self, requests: Iterator[Request | None]) -> Iterator[tuple[Request, Answer | Fault]]:
        """One request at a time, in order."""
        for request in requests:
            if request is not None:
                yield request, self._respond(request)

    def facts(self) -> dict[str, Any]:
        """Where the answers come from."""
        return {
            "name": self.name,
            "source": self._source,
            "note": "recorded or computed answers, not a model's",
        }

    def close(self) -> None:
        """Nothing to release."""


def build(model: ModelRef, options: Options) -> ReplayEngine:
    """The engine over the file `options.replay`; the model's name plays no part."""
    if options.replay is None:
        raise UserError("--engine replay needs --replay FILE (JSON lines of id and text)")
    if options.params:
        raise UserError("--param is for models: recorded answers take none")
    answers = read_answers(Path(options.replay))
    missing = Fault(FailureKind.MISSING_ANSWER, "no recorded answer for this id")
    return ReplayEngine(lambda request: answers.get(request.id, missing), Path(options.replay).name)


def read_answers(path: Path) -> dict[str, Answer | Fault]:
    """Recorded answers by id.

    A line holds `{"id": …, "text": …}`, optionally `"finish_reason"`, or a failure to be replayed as
    `{"id": …, "fault": <failure kind>, "message": …}`. UserError names a line that holds neither.
    """
    answers: dict[str, Answer | Fault] = {}
    try:
        with path.open(encoding="utf-8") as f:
            for n, line in enumerate(f, 1):
                if line.strip():
                    key, answer = _answer(line, f"{path}:{n}")
                    answers[key] = answer
    except (OSError, UnicodeDecodeError) as e:
        raise UserError(f"cannot read {path}: {getattr(e, 'strerror', None) or e}") from e
    return answers


def _answer(line: str, where: str) -> tuple[str, Answer | Fault]:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as e:
        raise UserError(f"{where} is not JSON: {one_line(e)}") from e
    if not isinstance(row, dict) or not isinstance(row.get("id"), str):
        raise UserError(f"{where} needs an id and a text")
    kind = row.get("fault")
    if kind is not None:
        known = [known.value for known in FailureKind]
        if kind not in known:
            raise UserError(f"{where}: there is no failure kind {kind!r}.{did_you_mean(str(kind), known)}")
        return row["id"], Fault(FailureKind(kind), one_line(row.get("message", "replayed failure")))
    if not isinstance(row.get("text"), str):
        raise UserError(f"{where} needs a text")
    return row["id"], Answer(row["text"], str(row.get("finish_reason", "stop")))


def digest(file: str) -> str:
    """16 hex digits of SHA-256 of the file, the recorded answers' revision."""
    if os.path.exists(file) and not os.path.isfile(file):
        raise UserError(f"{file} is no file of recorded answers")
    try:
        with open(file, "rb") as f:
            return hashlib.file_digest(f, "sha256").hexdigest()[:16]
    except OSError as e:
        raise UserError(f"cannot read {file}: {e.strerror or e}") from e
