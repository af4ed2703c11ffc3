"""What asking has cost: calls and tokens, of one answer, of a row, of a whole stage.

The rows are the books: each holds what was paid for it, failed ones and superseded ones too, so that a kill loses
no more than what was in flight, and passes add up.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel

from engines.base import Answer, Fault, Request
from flawscribe.errors import UserError
from flawscribe.records import FailureKind, Usage

_UNASKED = {
    FailureKind.MISSING_IMAGE,
    FailureKind.BROKEN_IMAGE,
    FailureKind.IMAGE_TOO_LARGE,
    FailureKind.MISSING_ANSWER,
}
_MOST = 2**48  # tokens of a row: no answers have as many


def paid(request: Request, answer: Answer | Fault) -> Usage:
    """What a request's answer, or its failure, counts for."""
    if isinstance(answer, Fault) and answer.kind in _UNASKED:
        return Usage()
    usage = answer.usage
    return Usage(
        prompt_tokens=usage.prompt_tokens,
        completion_tokens=usage.completion_tokens,
        cached_tokens=usage.cached_tokens,
        calls=1,
        repairs=int(request.attempt > 1),
        batch=usage.batch,
    )


@dataclass(frozen=True)
class Account:
    """The sum over a stage's rows; `batch` is the part of it that came as batches.

    `rows` is the number of those that were asked for, twice where one was asked for again.
    """

    total: Usage = field(default_factory=Usage)
    batch: Usage = field(default_factory=Usage)
    rows: int = 0

    def facts(self) -> dict[str, int]:
        """What `run.json` holds of it."""
        facts = {"rows": self.rows, **self.total.model_dump(exclude={"batch"})}
        return {name: n for name, n in facts.items() if n or name != "cached_tokens"}


def told(facts: Mapping[str, Any]) -> str:
    """One line on an account as `run.json` holds it, with its cost where there were prices."""
    repairs, cached = facts["repairs"], facts.get("cached_tokens", 0)
    again = f" ({repairs:,} of them second attempts)" if repairs else ""
    line = f"{facts['calls']:,} call{'' if facts['calls'] == 1 else 's'}{again}, "
    if facts["prompt_tokens"] or facts["completion_tokens"]:
        line += f"{facts['prompt_tokens']:,} tokens in{f' ({cached:,} cached)' if cached else ''}"
        line += f" and {facts['completion_tokens']:,} out"
    else:
        line += "no tokens counted"
    if "cost" in facts:
        line += f": {amount(facts['cost'])} {facts['currency']} by {facts['prices']}"
    return line


def amount(money: float) -> str:
    """Two decimals, or as many as show two figures of a small amount."""
    return f"{money:,.2f}" if money >= 1 or money == 0 else f"{money:.{1 - math.floor(math.log10(money))}f}"


def account_of(usages: Iterable[Usage]) -> Account:
    """The account over what each row (also one that a later one replaced) counts for."""
    sums = {False: [0] * 5, True: [0] * 5}
    rows = 0
    for usage in usages:
        for i, n in enumerate(_numbers(usage)):
            sums[usage.batch][i] += n
        rows += usage.calls > 0
    batch = _usage(sums[True])
    return Account(_usage(sums[False]) + batch, batch, rows)


class _Paid(BaseModel):
    """What a row's record or failure has about its cost, whatever else is in it."""

    usage: Usage | None = None


def usage_in(found: Any, id: str, stage: str) -> Usage:
    """The usage that a part of a row holds, also as JSON text; none where it holds none. UserError where damaged."""
    try:
        if isinstance(found, bytes):
            usage = _Paid.model_validate_json(found).usage or Usage()
        else:
            usage = Usage.model_validate(found.get("usage") or {})
        if not all(0 <= n < _MOST for n in _numbers(usage)) or usage.cached_tokens > usage.prompt_tokens:
            raise ValueError("no number of tokens or calls")
        return usage
    except (AttributeError, ValueError, RecursionError) as e:
        raise UserError(f"the {stage} row of {id!r} is damaged: give --redo {stage}") from e


def _numbers(usage: Usage) -> list[int]:
    return [
        usage.prompt_tokens,
        usage.completion_tokens,
        usage.cached_tokens,
        usage.calls,
        usage.repairs,
    ]


def _usage(numbers: list[int]) -> Usage:
    prompt, completion, cached, calls, repairs = numbers
    return Usage(
        prompt_tokens=prompt,
        completion_tokens=completion,
        cached_tokens=cached,
        calls=calls,
        repairs=repairs,
    )
