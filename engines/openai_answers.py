"""What a chat completion says. Nothing that a server sends is as it should be until it was looked at."""

import json
from collections.abc import Collection, Iterator
from dataclasses import replace
from functools import cached_property
from typing import Any

import msgspec

from engines.base import Answer, Fault, Token
from flawscribe.errors import one_line
from flawscribe.records import FailureKind, Usage
from flawscribe.secrets import blotted

# What reading a JSON value of the wrong shape can raise: keys of a number, a list's name, deep nesting.
MALFORMED = (AttributeError, TypeError, ValueError, LookupError, ArithmeticError, RecursionError)
_MOST_TOKENS = 2**31


class _Token(msgspec.Struct):
    token: str
    top_logprobs: msgspec.Raw = msgspec.Raw(b"null")


class _Logprobs(msgspec.Struct):
    content: list[_Token]


class _Choice(msgspec.Struct):
    message: Any
    finish_reason: Any = None
    logprobs: _Logprobs | None = None


class _Completion(msgspec.Struct):
    choices: list[_Choice]
    usage: Any = None


class _Alternative(msgspec.Struct):
    token: str
    logprob: float


_COMPLETION = msgspec.json.Decoder(_Completion)
_ALTERNATIVES = msgspec.json.Decoder(list[_Alternative] | None)


def answer_of(body: bytes) -> Answer | Fault:
    """The first choice as an Answer; a refusal, an empty body or one of a wrong shape as a Fault."""
    try:
        completion = _decoded(body)
    except MALFORMED as e:
        return Fault(FailureKind.SERVER_ERROR, f"not a chat completion: {one_line(e)}")
    if not isinstance(completion, dict):
        return _malformed("not an object")
    try:
        found = _first_choice(completion)
    except MALFORMED as e:
        found = _malformed(type(e).__name__)
    return replace(found, usage=_usage(completion.get("usage")))


def _decoded(body: bytes) -> Any:
    """The JSON of an answer. Alternatives are most of it, and are left as they are until somebody looks at them."""
    try:
        found = _COMPLETION.decode(body)
    except (
        msgspec.MsgspecError
    ):  # half a surrogate pair, NaN, odd log-probabilities, no completion: told apart later
        return json.loads(body)
    choices = [
        {"message": c.message, "finish_reason": c.finish_reason, "logprobs": c.logprobs}
        for c in found.choices
    ]
    return {"choices": choices, "usage": found.usage}


def _first_choice(completion: dict[str, Any]) -> Answer | Fault:
    choices = completion["choices"]
    if not isinstance(choices, list):
        return _malformed("its choices are no list")
    if not choices:
        return Fault(FailureKind.EMPTY_ANSWER, "the server's answer holds no choice")
    choice = choices[0]
    message, finish = choice["message"], choice.get("finish_reason")
    refusal = message.get("refusal")
    if finish == "content_filter" or refusal:
        told = refusal if isinstance(refusal, str) else "stopped by the server's content filter"
        return Fault(FailureKind.REFUSED, blotted(one_line(told)))
    if finish is not None and not isinstance(finish, str):
        return _malformed("its finish_reason is no text")
    text = _text(message.get("content"))
    if text is None:
        return _malformed("its content is no text")
    return Answer(
        blotted(text),
        finish or "stop",
        _tokens(choice.get("logprobs")),
        reasoning=blotted(_reasoning(message)),
    )


def _reasoning(message: dict[str, Any]) -> str:
    """What the model thought, where the server parts it from the answer (vLLM, SGLang, DeepSeek, OpenRouter)."""
    told = (message.get(name) for name in ("reasoning_content", "reasoning"))
    text = next((text for text in told if isinstance(text, str)), "")
    return text.strip().encode("utf-8", "replace").decode()


def _text(content: Any) -> str | None:
    """The content's text, that of a list of parts joined; None where it is something else."""
    if content is None:
        return ""
    if isinstance(content, list):
        texts = [part["text"] for part in content if isinstance(part, dict) and part.get("type") == "text"]
        return "".join(texts) if texts or not content else None
    return content if isinstance(content, str) else None


class _Alternatives(Collection[tuple[str, float]]):
    """A token's alternatives as a server sent them: hundreds come with an answer, and those of one token are looked at.

    Where one of them is malformed there are none: half of them tell no probability.
    """

    def __init__(self, found: Any) -> None:
        self._found = found

    @cached_property
    def _read(self) -> tuple[tuple[str, float], ...]:
        try:
            if isinstance(self._found, msgspec.Raw):
                return tuple((a.token, a.logprob) for a in _ALTERNATIVES.decode(self._found) or ())
            return tuple(_alternative(a["token"], a["logprob"]) for a in self._found or ())
        except MALFORMED:
            return ()

    def __iter__(self) -> Iterator[tuple[str, float]]:
        return iter(self._read)

    def __len__(self) -> int:
        return len(self._read)

    def __contains__(self, alternative: object) -> bool:
        return alternative in self._read


def _alternative(text: Any, logprob: Any) -> tuple[str, float]:
    if not isinstance(text, str) or isinstance(logprob, str):
        raise TypeError("no alternative")
    return text, float(logprob)


def _tokens(logprobs: Any) -> tuple[Token, ...] | None:
    """The tokens; None where there are none, or one is no text."""
    try:
        if isinstance(logprobs, _Logprobs):
            return tuple(Token(t.token, _Alternatives(t.top_logprobs)) for t in logprobs.content) or None
        found = logprobs["content"]
        if not all(isinstance(token["token"], str) for token in found):
            return None
        return tuple(Token(t["token"], _Alternatives(t.get("top_logprobs"))) for t in found) or None
    except MALFORMED:
        return None


def _usage(found: Any) -> Usage:
    usage = found if isinstance(found, dict) else {}
    details = usage.get("prompt_tokens_details")
    prompt = _count(usage.get("prompt_tokens"))
    return Usage(
        prompt_tokens=prompt,
        completion_tokens=_count(usage.get("completion_tokens")),
        cached_tokens=min(_count(details.get("cached_tokens")), prompt) if isinstance(details, dict) else 0,
    )


def _count(found: Any) -> int:
    return found if isinstance(found, int) and 0 <= found < _MOST_TOKENS else 0


def _malformed(why: str) -> Fault:
    return Fault(FailureKind.SERVER_ERROR, f"a malformed chat completion: {why}")
