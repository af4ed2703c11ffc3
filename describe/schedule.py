"""Many plans at once: what each asks goes through one engine, and ends as one row."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from describe.protocol import STAGE, Plan
from engines.account import paid
from engines.base import Answer, Engine, Fault, Request
from flawscribe.records import Description, Failure, Row, Sample, Usage


@dataclass
class _Open:
    """A sample whose plan waits for `missing` answers, and what was paid for it so far, whatever came of it."""

    sample: Sample
    key: str
    plan: Plan
    answers: list[Answer | Fault | None] = field(default_factory=list)
    missing: int = 0
    usage: Usage = field(default_factory=Usage)
    pictures: dict[str, None] = field(default_factory=dict)  # what was said of the pictures shown, in order


def describe_samples(
    pairs: Iterator[tuple[Sample, str]], engine: Engine, plan: Callable[[Sample], Plan]
) -> Iterator[Row]:
    """A row for each `(sample, key)` as its plan ends; pairs are pulled as the engine asks.

    What a plan asks next goes before the next sample, so that no more samples are open than the engine's window.
    """
    ready: deque[Request] = deque()
    asked: dict[int, tuple[Request, _Open, int]] = {}  # by identity: two samples may ask the same
    rows: deque[Row] = deque()
    waiting = 0

    def go_on(open: _Open, answers: list[Answer | Fault] | None) -> None:
        """Take a plan to its next requests, or to its end."""
        nonlocal waiting
        try:
            requests = next(open.plan) if answers is None else open.plan.send(answers)
        except StopIteration as end:
            waiting -= 1
            rows.append(row_of(open.sample, open.key, end.value, open.usage, open.pictures))
            return
        open.answers, open.missing = [None] * len(requests), len(requests)
        for i, request in enumerate(requests):
            asked[id(request)] = request, open, i
            ready.append(request)

    def requests() -> Iterator[Request | None]:
        nonlocal waiting
        while True:
            if ready:
                yield ready.popleft()
            elif (pair := next(pairs, None)) is not None:
                waiting += 1
                go_on(_Open(*pair, plan(pair[0])), None)
            elif waiting:
                yield None  # there may be more once an answer is in
            else:
                return

    for request, answer in engine.stream(requests()):
        _, open, i = asked.pop(id(request))
        open.answers[i] = answer
        spent = paid(request, answer)
        open.usage = open.usage + spent if open.usage.calls else spent
        if isinstance(answer, Answer) and answer.picture:
            open.pictures[answer.picture] = None
        open.missing -= 1
        if not open.missing:
            go_on(open, [a for a in open.answers if a is not None])
        while rows:
            yield rows.popleft()
    yield from rows  # of plans that had nothing to ask


def row_of(
    sample: Sample, key: str, outcome: Description | Fault, usage: Usage, pictures: Iterable[str] = ()
) -> Row:
    """The stage's row for an outcome, with all that was asked for it: failed attempts and repairs too.

    `pictures` are the engine's notes on what was shown.
    """
    if isinstance(outcome, Fault):
        spent = usage if usage.calls else None
        failure = Failure(stage=STAGE, kind=outcome.kind, message=outcome.message, usage=spent)
        return Row(id=sample.id, key=key, failure=failure)
    if told := " | ".join(pictures):
        outcome.steps["picture"] = told
    record = outcome.model_dump(mode="json", exclude={"usage"})
    return Row(id=sample.id, key=key, record=record | {"usage": usage.model_dump()})
