"""What the describing model is asked, and what its answers mean: one plan a protocol.

A plan is a generator. It yields lists of requests that may be asked side by side, is sent their answers in
the same order, and returns the sample's outcome; `describe.schedule` drives many of them through an engine.
"""

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from describe.boxes import ASKED_FOR, Convention
from describe.probability import p_defective
from describe.wire import SCHEMA, cut_off, parse
from engines.base import Answer, Fault, Request
from flawscribe.records import Description, FailureKind, Sample, Usage
from prompts import Prompt

STAGE = "describe"
MAX_TOKENS = 512
REPAIR_TEMPERATURE = 0.5
"""Of a second attempt: a greedy model would only say the same again."""

T = TypeVar("T")
Asking = Generator[list[Request], list[Answer | Fault], T]
Plan = Asking[Description | Fault]

_REPAIRABLE = {
    FailureKind.TRUNCATED,
    FailureKind.WHITESPACE_LOOP,
    FailureKind.EMPTY_ANSWER,
    FailureKind.REASONING_BEFORE_JSON,
    FailureKind.INVALID_JSON,
    FailureKind.INVALID_ANSWER,
}


@dataclass(frozen=True)
class Ask:
    """How a run's questions are put: the protocol's texts, and the sampling of every call.

    `boxes` is what a box's numbers count; a picture of more than `max_pixels` is scaled down before it is shown.
    """

    prompt: Prompt
    max_tokens: int = MAX_TOKENS
    temperature: float = 0.0
    seed: int = 0
    boxes: Convention = ASKED_FOR
    max_pixels: int | None = None


def request_for(sample: Sample, ask: Ask, **values: str) -> Request:
    """The whole protocol in one question: all instructions in the system text, the sample's own prompt last.

    `values` are for the system text's placeholders: none that a sample decides, so that all share the text.
    """
    prompt = ask.prompt
    if not prompted(sample):
        user = prompt.render("user_without_prompt")
    else:
        user = prompt.render("user", prompt=sample.prompt or "")
    return Request(
        id=sample.id,
        system=prompt.render("system", **values),
        user=user,
        image=sample.image,
        max_pixels=ask.max_pixels,
        schema=SCHEMA,
        max_tokens=ask.max_tokens,
        temperature=ask.temperature,
        seed=ask.seed,
    )


def prompted(sample: Sample) -> bool:
    """Whether the sample's prompt is known."""
    return sample.prompt is not None and bool(sample.prompt.strip())


def _description(answer: Answer) -> Description | Fault:
    parsed = parse(answer.text)
    if isinstance(parsed, Fault):
        return parsed
    return Description(
        defective=parsed.defective,
        p_defective=p_defective(answer.tokens),
        text=parsed.text,
        steps=parsed.notes,
        usage=answer.usage,
    )


def single(sample: Sample, ask: Ask) -> Plan:
    """One call that inspects, verifies and describes, as the reference does."""
    return (yield from described(request_for(sample, ask)))


def described(request: Request, read: Callable[[Answer], Description | Fault] = _description) -> Plan:
    """The outcome of one request for the whole protocol, as `read` takes its answer."""
    got = yield from asked(request, read)
    if isinstance(got, Fault):
        return got
    noted = {name: text for name in ("reasoning", "repair") if (text := getattr(got, name))}
    if not noted:
        return got.found
    return got.found.model_copy(update={"usage": got.usage, "steps": {**noted, **got.found.steps}})


def interpret(answer: Answer | Fault) -> Description | Fault:
    """What an answer to the whole protocol says."""
    return _read(answer, _description)


@dataclass(frozen=True)
class Got(Generic[T]):
    """A valid answer as it was read, the tokens that it cost, and how it came to a second attempt, if it did.

    `reasoning` is what its server told apart from it.
    """

    found: T
    usage: Usage
    repair: str = ""
    reasoning: str = ""


def asked(request: Request, read: Callable[[Answer], T | Fault]) -> Asking[Got[T] | Fault]:
    """Ask; where what is answered cannot be read, ask once more with another seed."""
    (first,) = yield [request]
    outcome = _read(first, read)
    if isinstance(first, Fault):
        return first
    if not isinstance(outcome, Fault):
        return Got(outcome, first.usage, reasoning=first.reasoning)
    if outcome.kind not in _REPAIRABLE:
        return outcome
    seed, warm = request.seed + 1, max(request.temperature, REPAIR_TEMPERATURE)
    (second,) = yield [replace(request, seed=seed, temperature=warm, attempt=2)]
    again = _read(second, read)
    if isinstance(second, Fault) or isinstance(again, Fault):
        return outcome
    told = f"answered again with seed {seed} at temperature {warm:g}, after: {outcome.message}"
    return Got(again, added(first.usage, second.usage), told, second.reasoning)


def together(asking: Sequence[Asking[T]]) -> Asking[list[T]]:
    """Several of them side by side: what all ask at a time goes as one list. Their results, in order."""
    results: dict[int, T] = {}
    waiting: dict[int, list[Request]] = {}

    def go_on(i: int, answers: list[Answer | Fault] | None) -> None:
        try:
            waiting[i] = next(asking[i]) if answers is None else asking[i].send(answers)
        except StopIteration as end:
            results[i] = end.value

    for i in range(len(asking)):
        go_on(i, None)
    while waiting:
        asked_now, waiting = waiting, {}
        answers = iter((yield [request for requests in asked_now.values() for request in requests]))
        for i, requests in asked_now.items():
            go_on(i, [next(answers) for _ in requests])
    return [results[i] for i in range(len(asking))]


def _read(answer: Answer | Fault, read: Callable[[Answer], T | Fault]) -> T | Fault:
    """What an answer says. One that was cut off is a fault, whatever it says so far."""
    if isinstance(answer, Fault):
        return answer
    if not isinstance(answer.text, str):  # an engine passed on what its server sent
        return Fault(FailureKind.SERVER_ERROR, "a malformed answer: its text is no text")
    if answer.finish_reason == "length":
        return cut_off(answer.text, answer.usage.completion_tokens)
    return read(answer)


def added(*usages: Usage) -> Usage:
    """The sum of several answers' tokens."""
    return sum(usages, Usage())
