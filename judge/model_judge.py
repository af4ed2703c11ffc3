"""A language model as the judge, behind an OpenAI-compatible server: texts only, one criterion a call."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from engines.account import paid
from engines.base import Answer, Engine, Fault, Request
from flawscribe.records import Criterion, FailureKind, Row
from judge.task import CRITERIA, Outcome, Task, flawless, row
from judge.wire import SCHEMA, parse
from prompts import Prompt

MAX_TOKENS = 2048  # the score takes ten; a reasoning model's thoughts count too
_PASSING = {FailureKind.TIMEOUT, FailureKind.CONNECTION, FailureKind.RATE_LIMIT, FailureKind.SERVER_ERROR}


@dataclass
class ModelJudge:
    """Asks `engine` with the prompt of each criterion."""

    engine: Engine
    prompts: dict[Criterion, Prompt]

    def judge_tasks(self, tasks: Iterator[Task]) -> Iterator[Row]:
        """A row for each task, as its last answer arrives; tasks are pulled as the engine's window allows."""
        waiting: dict[str, _Waiting] = {}
        done: list[Row] = []

        def requests() -> Iterator[Request]:
            for number, task in enumerate(tasks):
                if not task.description.strip():
                    done.append(flawless(task))
                    continue
                entry = waiting[str(number)] = _Waiting(task)
                for criterion, at in entry.open:
                    yield self._request(f"{number} {criterion} {at}", task, criterion, at)

        for request, answer in self.engine.stream(requests()):
            yield from _taken(done)
            number, criterion, at = request.id.split()
            entry = waiting[number]
            entry.take(criterion, int(at), _outcome(request, answer), answer)  # type: ignore[arg-type]
            if entry.complete:
                yield waiting.pop(number).row()
        yield from _taken(done)

    def _request(self, name: str, task: Task, criterion: Criterion, at: int) -> Request:
        prompt = self.prompts[criterion]
        texts = {"reference": task.references[at], "description": task.description}
        return Request(
            id=name,
            system=prompt.render("system", **texts),
            user=prompt.render("user", **texts),
            schema=SCHEMA,
            max_tokens=MAX_TOKENS,
        )


def _outcome(request: Request, answer: Answer | Fault) -> Outcome:
    """The score, or why there is none: a fault, an answer cut off, an answer that does not validate."""
    details = {"usage": paid(request, answer).model_dump(exclude_defaults=True)}
    if isinstance(answer, Fault):
        return Outcome(None, f"{answer.kind.value}: {answer.message}", details)
    if answer.finish_reason == "length":
        return Outcome(None, f"truncated: the answer was cut off at {MAX_TOKENS} tokens", details)
    if not isinstance(answer.text, str):  # an engine passed on what its server sent
        return Outcome(None, f"{FailureKind.SERVER_ERROR.value}: its text is no text", details)
    found = parse(answer.text)
    if isinstance(found, str):
        return Outcome(None, found, details)
    return Outcome(found, details=details)


@dataclass
class _Waiting:
    """A task some of whose answers are still out."""

    task: Task
    outcomes: dict[tuple[Criterion, int], Outcome] = field(default_factory=dict)
    passing: bool = False

    @property
    def open(self) -> list[tuple[Criterion, int]]:
        return [(criterion, at) for criterion in CRITERIA for at in range(len(self.task.references))]

    @property
    def complete(self) -> bool:
        return len(self.outcomes) == len(self.open)

    def take(self, criterion: Criterion, at: int, outcome: Outcome, answer: Answer | Fault) -> None:
        self.outcomes[criterion, at] = outcome
        self.passing |= isinstance(answer, Fault) and answer.kind in _PASSING

    def row(self) -> Row:
        texts = range(len(self.task.references))
        return row(
            self.task, {c: [self.outcomes[c, at] for at in texts] for c in CRITERIA}, passing=self.passing
        )


def _taken(rows: list[Row]) -> Iterator[Row]:
    while rows:
        yield rows.pop(0)
