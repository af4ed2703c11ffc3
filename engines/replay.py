"""Recorded or computed answers in place of a model: for tests, docs and dry runs, and named so."""

import hashlib
import json
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from engines.base import Answer, Fault, Request
from engines.registry import Options
from flawscribe.errors import UserError, did_you_mean, one_line
from flawscribe.models import ModelRef
from flawscribe.records import FailureKind

_ID = re.compile(rb'\{"id": ?"([^"\\\n]*)", ?"(?:text|fault)":')  # as most lines begin
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
    answers = Recorded(Path(options.replay))
    missing = Fault(FailureKind.MISSING_ANSWER, "no recorded answer for this id")
    return ReplayEngine(lambda request: answers.find(request.id) or missing, Path(options.replay).name)


class Recorded:
    """Recorded answers by id, read as far as they are asked for: most files are in the order of their manifest.

    A line holds `{"id": …, "text": …}`, optionally `"finish_reason"`, or a failure to be replayed as
    `{"id": …, "fault": <failure kind>, "message": …}`. Of an id's lines the first counts. UserError names a line that
    holds neither: one of the first `checked` at once, a later one when it is come to.
    """

    def __init__(self, path: Path, checked: int = 1000) -> None:
        self._path = path
        self._at: dict[bytes, int] = {}
        self._number = self._end = 0
        try:
            self._file = path.open("rb")
        except OSError as e:
            raise UserError(f"cannot read {path}: {e.strerror or e}") from e
        for _ in range(checked):
            if (line := self._next()) is None:
                break
            _answer(line, self._where)

    @property
    def _where(self) -> str:
        return f"{self._path}:{self._number}"

    def find(self, id: str) -> Answer | Fault | None:
        """The answer for an id, None where there is none."""
        name = id.encode("utf-8", "surrogatepass")
        while (at := self._at.get(name)) is None:
            if self._next() is None:
                return None
        self._file.seek(at)
        answer = _answer(self._file.readline(), f"{self._path} (id {id!r})")[1]
        self._file.seek(self._end)
        return answer

    def _next(self) -> bytes | None:
        """The next line that is not blank, whose place is then known; None at the end."""
        while True:
            try:
                line = self._file.readline()
            except OSError as e:
                raise UserError(f"cannot read {self._path}: {e.strerror or e}") from e
            if not line:
                return None
            at, self._end = self._end, self._end + len(line)
            self._number += 1
            if found := _ID.match(line):
                self._at.setdefault(found[1], at)
                return line
            if line.strip():
                self._at.setdefault(_answer(line, self._where)[0].encode("utf-8", "surrogatepass"), at)
                return line


def _answer(line: bytes, where: str) -> tuple[str, Answer | Fault]:
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
