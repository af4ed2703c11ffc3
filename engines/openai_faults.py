"""What a server's refusal of one request means for its row, and when to ask again."""

import json
import math
import random
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

from engines.base import Fault
from flawscribe.errors import one_line
from flawscribe.records import FailureKind
from flawscribe.secrets import blotted

LONGEST_PAUSE = 60.0  # seconds, whatever a server asks for
_BUSY = (408, 409, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524, 529)

_OVERFLOW = re.compile(
    r"context.?length|context.?window|context.?size|too many tokens|longer than the maximum|"
    r"maximum model length|reduce the length",
    re.IGNORECASE,
)
_FILTERED = re.compile(
    r"content.?filter|content.?policy|content management policy|safety|moderation|flagged", re.IGNORECASE
)


@dataclass(frozen=True)
class Reply:
    """A server's answer: its status, its headers (names in any case) and its whole body."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class Refusal:
    """An answer with an error status: what the server said, on one line, and its code for it."""

    status: int
    said: str
    code: str
    headers: Mapping[str, str]

    @property
    def passing(self) -> bool:
        """Whether the same request may be answered later."""
        return self.status in _BUSY and self.code != "insufficient_quota"

    @property
    def fault(self) -> Fault:
        """What it means for the row."""
        message = f"{self.status}: {self.said}"
        if self.status == 429:
            return Fault(FailureKind.RATE_LIMIT, message)
        if self.status in (408, 504, 524):
            return Fault(FailureKind.TIMEOUT, message)
        if self.status >= 500 or self.status < 400 or self.status == 409:
            return Fault(FailureKind.SERVER_ERROR, message)
        if _OVERFLOW.search(f"{self.code} {self.said}"):
            return Fault(FailureKind.CONTEXT_OVERFLOW, message)
        if self.status == 403 or _FILTERED.search(f"{self.code} {self.said}"):
            return Fault(FailureKind.REFUSED, message)
        return Fault(FailureKind.BAD_REQUEST, message)

    @property
    def concerns_content(self) -> bool:
        """Whether it is this request's content that is refused and not the form of the call."""
        return self.fault.kind in (FailureKind.CONTEXT_OVERFLOW, FailureKind.REFUSED)


def refusal_of(reply: Reply) -> Refusal:
    """Read an answer whose status is not 200."""
    said: object = reply.body.decode("utf-8", "replace")
    code: object = None
    try:
        found = json.loads(reply.body)
    except (ValueError, RecursionError):
        found = None
    if isinstance(found, dict):
        error = found.get("error", found)
        if isinstance(error, dict):
            said, code = error.get("message") or error, error.get("code")
        else:
            said = error
    told = blotted(one_line(said)) or "no reason given"
    return Refusal(reply.status, told, code if isinstance(code, str) else "", reply.headers)


def pause(attempt: int, headers: Mapping[str, str] | None = None) -> float:
    """Seconds before attempt `attempt` + 1 (from 1): what the server asks for, else doubling from 0.5; with jitter."""
    asked = _asked(headers or {})
    if asked is not None:
        return min(asked * random.uniform(1, 1.1), LONGEST_PAUSE)
    return float(min(0.5 * 2 ** (attempt - 1), 8.0) * random.uniform(0.5, 1.0))


def _asked(headers: Mapping[str, str]) -> float | None:
    """The seconds in Retry-After (a number or a date) or retry-after-ms; None where they tell none."""
    try:
        if (milliseconds := headers.get("retry-after-ms")) is not None:
            seconds = float(milliseconds) / 1000
        elif (text := headers.get("retry-after")) is None:
            return None
        elif text.strip().replace(".", "", 1).isdecimal():
            seconds = float(text)
        else:
            seconds = parsedate_to_datetime(text).timestamp() - time.time()
    except (ValueError, OverflowError):
        return None
    return max(seconds, 0.0) if math.isfinite(seconds) else None
