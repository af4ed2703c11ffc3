"""What a chat completion says. The SDK does not check what a server sends: every type is checked here."""

from typing import Any

from openai.types.chat import ChatCompletion

from engines.base import Answer, Fault, Token
from flawscribe.errors import one_line
from flawscribe.records import FailureKind, Usage

# What reading a JSON value of the wrong shape can raise: attributes of a list, keys of a number, deep nesting.
MALFORMED = (AttributeError, TypeError, ValueError, LookupError, ArithmeticError, RecursionError)
_MOST_TOKENS = 2**31


def answer_of(completion: Any) -> Answer | Fault:
    """The first choice as an Answer; a refusal, an empty body or one of a wrong shape as a Fault."""
    if not isinstance(completion, ChatCompletion):
        return _malformed("not an object")
    try:
        return _first_choice(completion)
    except MALFORMED as e:
        return _malformed(type(e).__name__)


def _first_choice(completion: Any) -> Answer | Fault:
    if not isinstance(completion.choices, list):
        return _malformed("its choices are no list")
    if not completion.choices:
        return Fault(FailureKind.EMPTY_ANSWER, "the server's answer holds no choice")
    choice = completion.choices[0]
    refusal = getattr(choice.message, "refusal", None)
    if choice.finish_reason == "content_filter" or refusal:
        told = refusal if isinstance(refusal, str) else "stopped by the server's content filter"
        return Fault(FailureKind.REFUSED, one_line(told))
    if choice.finish_reason is not None and not isinstance(choice.finish_reason, str):
        return _malformed("its finish_reason is no text")
    text = _text(choice.message.content)
    if text is None:
        return _malformed("its content is no text")
    return Answer(text, choice.finish_reason or "stop", _tokens(choice.logprobs), _usage(completion.usage))


def _text(content: Any) -> str | None:
    """The content's text, that of a list of parts joined; None where it is something else."""
    if content is None:
        return ""
    if isinstance(content, list):
        texts = [part["text"] for part in content if isinstance(part, dict) and part.get("type") == "text"]
        return "".join(texts) if texts or not content else None
    return content if isinstance(content, str) else None


def _tokens(logprobs: Any) -> tuple[Token, ...] | None:
    """The tokens; None where there are none, or one is malformed: half of them tell no probability."""
    try:
        return tuple(_token(t) for t in logprobs.content) or None
    except MALFORMED:
        return None


def _token(found: Any) -> Token:
    top = tuple((a.token, float(a.logprob)) for a in found.top_logprobs or ())
    if not all(isinstance(text, str) for text in (found.token, *(text for text, _ in top))):
        raise TypeError("a token that is no text")
    if any(isinstance(a.logprob, str) for a in found.top_logprobs or ()):
        raise TypeError("a log-probability that is text")
    return Token(found.token, top)


def _usage(found: Any) -> Usage:
    return Usage(
        prompt_tokens=_count(getattr(found, "prompt_tokens", 0)),
        completion_tokens=_count(getattr(found, "completion_tokens", 0)),
    )


def _count(found: Any) -> int:
    return found if isinstance(found, int) and 0 <= found < _MOST_TOKENS else 0


def _malformed(why: str) -> Fault:
    return Fault(FailureKind.SERVER_ERROR, f"a malformed chat completion: {why}")
