"""What a server's refusal of one request means for its row."""

import re

import openai

from engines.base import Fault
from flawscribe.errors import one_line
from flawscribe.records import FailureKind

_OVERFLOW = re.compile(
    r"context.?length|context.?window|context.?size|too many tokens|longer than the maximum|"
    r"maximum model length|reduce the length",
    re.IGNORECASE,
)
_FILTERED = re.compile(
    r"content.?filter|content.?policy|content management policy|safety|moderation|flagged", re.IGNORECASE
)


def fault_of(error: openai.APIStatusError, told: str) -> Fault:
    """The fault for an answer with an error status; `told` is what the server said, fit to be shown."""
    said = f"{error.code or ''} {told}"
    message = f"{error.status_code}: {told}"
    if error.status_code == 429:
        return Fault(FailureKind.RATE_LIMIT, message)
    if error.status_code in (408, 504):
        return Fault(FailureKind.TIMEOUT, message)
    if error.status_code >= 500 or error.status_code < 400 or error.status_code == 409:
        return Fault(FailureKind.SERVER_ERROR, message)
    if _OVERFLOW.search(said):
        return Fault(FailureKind.CONTEXT_OVERFLOW, message)
    if error.status_code == 403 or _FILTERED.search(said):
        return Fault(FailureKind.REFUSED, message)
    return Fault(FailureKind.BAD_REQUEST, message)


def told_by(error: openai.APIStatusError) -> str:
    """What the server said, on one line."""
    body = error.body
    said = body.get("message") if isinstance(body, dict) else None
    return one_line(str(said or error.message))


def is_content_fault(error: openai.APIStatusError) -> bool:
    """Whether the refusal concerns this request's content and not the form of the call."""
    return fault_of(error, str(error)).kind in (FailureKind.CONTEXT_OVERFLOW, FailureKind.REFUSED)
