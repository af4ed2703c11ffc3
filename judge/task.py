"""What is judged: one description against the golden texts of its sample."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

from flawscribe.records import Criterion, Row, Sample, Verdict
from judge.wire import Score

CRITERIA: tuple[Criterion, ...] = get_args(Criterion)
FLAWLESS = "the description says that there is no defect"


def references(sample: Sample) -> tuple[str, ...]:
    """The texts to judge a sample's description by: none where people found no defect or wrote nothing."""
    if sample.golden is None or not sample.golden.defective:
        return ()
    return tuple(text for text in sample.golden.references() if text.strip())


@dataclass(frozen=True)
class Task:
    """A sample's description, its golden texts, and the key of the row that is due."""

    id: str
    key: str
    description: str
    references: tuple[str, ...]


@dataclass(frozen=True)
class Outcome:
    """One criterion against one golden text: a score with what it rests on, or why there is none."""

    score: Score | None
    reason: str | None = None
    details: Mapping[str, Any] | None = None


def verdict(criterion: Criterion, outcomes: Sequence[Outcome]) -> Verdict:
    """The mean over the golden texts. Unscored as a whole if one of them is: a mean over those that
    happened to be answered would compare with other texts than the rest of the run does."""
    details = {"references": [dict(outcome.details) for outcome in outcomes if outcome.details]}
    if not details["references"]:
        details = {}
    scores = tuple(outcome.score for outcome in outcomes if outcome.score is not None)
    if len(scores) == len(outcomes):
        return Verdict(criterion=criterion, score=sum(scores) / len(scores), scores=scores, details=details)
    at, failed = next((n, outcome) for n, outcome in enumerate(outcomes, 1) if outcome.score is None)
    which = f"golden text {at} of {len(outcomes)}: " if len(outcomes) > 1 else ""
    return Verdict(criterion=criterion, reason=f"{which}{failed.reason or 'no score'}", details=details)


def row(task: Task, outcomes: Mapping[Criterion, Sequence[Outcome]], *, passing: bool = False) -> Row:
    """The stage's row. `passing`: something that may go by left it unscored (a timeout, say); its key
    is then empty, so that the next pass asks again."""
    record = {name: verdict(name, outcomes[name]).model_dump(mode="json") for name in CRITERIA}
    return Row(id=task.id, key="" if passing else task.key, record=record)


def flawless(task: Task) -> Row:
    """The row of a description that finds no defect where people found one: 0 and 0, nobody asked."""
    outcome = Outcome(0, details={"note": FLAWLESS})
    return row(task, dict.fromkeys(CRITERIA, [outcome] * len(task.references)))
