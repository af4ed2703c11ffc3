"""The body of a chat completion, and what of it a server turned out not to accept."""

import json
import re
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pybase64

from engines.base import TOP, Request
from flawscribe.images import image_bytes

# OpenAI's reasoning models, by name: they refuse what other models take.
_REASONING = re.compile(r"(o\d|gpt-5)(?!\d)")
_NOT_FOR_REASONING = ("max_tokens", "logprobs", "temperature")

_WRITTEN = 64  # forms of a call that are kept: one for each step, seed and temperature
_Mend = tuple[str, str, dict[str, Any]]
# What a server may refuse in a request (as its message puts it), and how to ask without it.
_MENDS: tuple[_Mend, ...] = (
    ("max_tokens", r"max_completion_tokens", {"limit": "max_completion_tokens"}),
    ("response_format", r"response_format|json_schema|structured|guided|grammar", {"schema": False}),
    ("top_logprobs", r"top_logprobs|logprob", {"top": 5}),
    ("logprobs", r"top_logprobs|logprob", {"top": 0}),
    ("system", r"system.{0,20}role|role.{0,20}system", {"system": False}),
    ("seed", r"\bseed\b", {"seed": False}),
    ("temperature", r"\btemperature\b", {"temperature": False}),
)


class Form:
    """How one server is asked: everything at first, then without what it refuses.

    `media` "file" names a picture that goes as it is by its file:// address, for a server that reads this disk;
    "data" sends every picture's bytes.
    """

    def __init__(self, model: str, params: Mapping[str, Any], media: str = "data") -> None:
        self._model, self._params, self._media = model, params, media
        self._picture, self._user = secrets.token_hex(16), secrets.token_hex(16)
        self._written: dict[Any, tuple[tuple[bytes, bytes, bytes], Any]] = {}
        self._want: dict[str, Any] = {
            "limit": "max_tokens",
            "schema": True,
            "system": True,
            "top": TOP,
            "seed": True,
            "temperature": True,
        }
        self._left = list(_MENDS)
        self.dropped: list[str] = []
        if _REASONING.match(model.rpartition("/")[2]):
            for mend in _MENDS:
                if mend[0] in _NOT_FOR_REASONING:
                    self._leave_out(mend)

    def mend(self, said: str) -> bool:
        """Leave out what a server's refusal names; False where it names nothing that is left to leave out."""
        mend = next((m for m in self._left if re.search(m[1], said, re.IGNORECASE)), None)
        if mend is None:
            return False
        self._leave_out(mend)
        return True

    def _leave_out(self, mend: _Mend) -> None:
        self._left.remove(mend)
        self._written.clear()
        self._want.update(mend[2])
        self.dropped.append(mend[0])

    def body(self, request: Request) -> tuple[bytes, str]:
        """The call as JSON: the system text first, for prefix caches; then image, then text. Raises ImageFailure.

        With it comes how what is sent of the image differs from its file, "" where it does not.
        """
        url, note = list[bytes](), ""
        if request.image is not None:
            data, mime, note = image_bytes(request.image, request.box, request.max_pixels)
            if self._media == "file" and not note:
                url = [Path(request.image).absolute().as_uri().encode()]
            else:
                url = [b"data:", mime.encode(), b";base64,", pybase64.b64encode(data)]
        before, between, after = self._around(request)
        return b"".join((before, *url, between, json.dumps(request.user)[1:-1].encode(), after)), note

    def _around(self, request: Request) -> tuple[bytes, bytes, bytes]:
        """The call's JSON before the picture's address, from there to the user's text, and behind that.

        It is the same for all requests of a run, so it is written once: it is as long as a small picture.
        """
        which = (
            request.system,
            request.image is None,
            id(request.schema),
            request.max_tokens,
            request.temperature,
            request.seed,
        )
        if which not in self._written:
            if len(self._written) >= _WRITTEN:
                self._written.clear()
            text = json.dumps(self._call(request))
            before, _, rest = text.rpartition(self._picture) if request.image is not None else ("", "", text)
            between, _, after = rest.partition(self._user)
            # With the schema, so that no other one can come to have its id.
            self._written[which] = (before.encode(), between.encode(), after.encode()), request.schema
        return self._written[which][0]

    def _call(self, request: Request) -> dict[str, Any]:
        """The call, with marks for the picture and the user's text, which no other text can hold by intent."""
        content: list[dict[str, Any]] = [{"type": "text", "text": self._user}]
        if request.image is not None:
            content.insert(0, {"type": "image_url", "image_url": {"url": self._picture}})
        want = self._want
        system = [{"type": "text", "text": request.system}] if request.system else []
        if not want["system"]:
            content = [*system, *content]
        # Text alone goes as a plain string, which every server takes.
        plain = self._user if len(content) == 1 else content
        messages: list[dict[str, Any]] = [{"role": "user", "content": plain}]
        if system and want["system"]:
            messages.insert(0, {"role": "system", "content": request.system})
        body: dict[str, Any] = {
            "model": self._model,
            "messages": messages,
            want["limit"]: request.max_tokens,
        }
        if want["temperature"]:
            body["temperature"] = request.temperature
        if want["seed"] and request.temperature > 0:
            body["seed"] = request.seed
        if want["top"]:
            body |= {"logprobs": True, "top_logprobs": want["top"]}
        if request.schema is not None and want["schema"]:
            schema = {"name": "answer", "schema": request.schema, "strict": True}
            body["response_format"] = {"type": "json_schema", "json_schema": schema}
        return {**body, **self._params}
