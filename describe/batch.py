"""OpenAI batch files: a run's requests written as one, and the answers that come back as an engine.

A line's `custom_id` is the row's key, so that an answer finds its row whatever became of the manifest, and none
is taken for a picture, prompt or setting other than what was asked.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from describe.protocol import Ask, request_for
from engines.base import Answer, Fault, Request, with_picture
from engines.openai_answers import MALFORMED, answer_of
from engines.openai_body import Form
from engines.openai_faults import Reply, refusal_of
from flawscribe.errors import UserError, one_line
from flawscribe.images import ImageFailure, sent_note
from flawscribe.records import FailureKind, Sample, Usage

MOST_LINES, MOST_BYTES = 50_000, 190_000_000  # of one file; OpenAI takes 50,000 and 200 MB
_URL = "/v1/chat/completions"


def emit(pairs: Iterable[tuple[Sample, str]], ask: Ask, form: Form, path: Path) -> tuple[list[Path], int]:
    """Write the requests of `(sample, key)` pairs; the files written (a second is `NAME-2.jsonl`) and their lines.

    Pictures that cannot be read are left out: they fail when the answers are taken in. UserError where a file is there.
    """
    files: list[Path] = []
    lines = size = total = 0
    out = None
    try:
        for sample, key in pairs:
            try:
                body, _ = form.body(request_for(sample, ask))
            except ImageFailure:
                continue
            line = b'{"custom_id":"%s","method":"POST","url":"%s","body":%s}\n' % (
                key.encode(),
                _URL.encode(),
                body,
            )
            if out is None or lines == MOST_LINES or size + len(line) > MOST_BYTES:
                if out is not None:
                    out.close()
                number = len(files) + 1
                files.append(path if number == 1 else path.with_name(f"{path.stem}-{number}{path.suffix}"))
                try:
                    out = files[-1].open("xb")
                except FileExistsError:
                    raise UserError(f"{files[-1]} is there already: give another file") from None
                lines = size = 0
            out.write(line)
            lines, size, total = lines + 1, size + len(line), total + 1
    finally:
        if out is not None:
            out.close()
    return files, total


class BatchEngine:
    """Answers from batch files; `key_of` gives the key of the row that a request is for."""

    name = "batch"

    def __init__(self, files: Iterable[Path], key_of: Callable[[str], str]) -> None:
        self._files = list(files)
        self._key_of = key_of
        self._answers: dict[str, Answer | Fault] = {}
        self._given: set[str] = set()
        self._paid: set[str] = set()
        for path in self._files:
            self._answers.update(_read(path))

    def stream(self, requests: Iterator[Request | None]) -> Iterator[tuple[Request, Answer | Fault]]:
        """One request at a time, in order; a second attempt at a sample finds nothing."""
        missing = Fault(FailureKind.MISSING_ANSWER, "the batch holds no answer to this request")
        for request in requests:
            if request is not None:
                again = request.id in self._given
                self._given.add(request.id)
                found = missing if again else self._take(self._key_of(request.id)) or missing
                yield request, with_picture(found, _note(request)) if isinstance(found, Answer) else found

    def _take(self, key: str) -> Answer | Fault | None:
        """The answer to a key. Samples that ask the same share one, which was paid for once."""
        found = self._answers.get(key)
        usage = Usage() if found is None or key in self._paid else found.usage
        self._paid.add(key)
        return found and replace(found, usage=usage.model_copy(update={"batch": True}))

    def facts(self) -> dict[str, Any]:
        """Where the answers come from."""
        return {"name": self.name, "files": [path.name for path in self._files]}

    def close(self) -> None:
        """Nothing to release."""


def _note(request: Request) -> str:
    """How what was written for a request differs from its picture's file."""
    try:
        return sent_note(request.image, request.box, request.max_pixels) if request.image else ""
    except ImageFailure:
        return ""


def _read(path: Path) -> Iterator[tuple[str, Answer | Fault]]:
    """A batch's output, line by line; UserError where the file cannot be read or is no such thing."""
    if not path.is_file():
        raise UserError(f"cannot read {path}: {'not a regular file' if path.exists() else 'no such file'}")
    with path.open("rb") as f:
        for n, line in enumerate(f, 1):
            if not line.strip():
                continue
            try:
                found = json.loads(line)
                key = found["custom_id"]
                if not isinstance(key, str):
                    raise TypeError("custom_id is no text")
                yield key, _outcome(found)
            except MALFORMED as e:
                raise UserError(
                    f"{path}:{n} is no line of a batch's output ({one_line(e, 80)}): it needs custom_id and response"
                ) from e


def _outcome(line: dict[str, Any]) -> Answer | Fault:
    response = line["response"]
    if response is None:
        error = line.get("error")
        told = error.get("message") if isinstance(error, dict) else error
        return Fault(
            FailureKind.SERVER_ERROR, one_line(told or "the batch gave neither an answer nor a reason")
        )
    body = json.dumps(response["body"]).encode()
    if response["status_code"] == 200:
        return answer_of(body)
    return refusal_of(Reply(int(response["status_code"]), {}, body)).fault
