"""The offline default judge `claims`: rules over words, *not an LLM*. English only."""

import unicodedata
from collections.abc import Iterator

from flawscribe.records import Row
from judge.claims import score
from judge.task import CRITERIA, Outcome, Task, flawless, row

NAME = "claims"
VERSION = 1
"""Raised when a rule or a word changes: old verdicts are then computed again."""
TOLD = "claims (rules over words, not an LLM)"


def judge_tasks(tasks: Iterator[Task]) -> Iterator[Row]:
    """A row for each task. A text that is not in Latin letters is left unscored."""
    for task in tasks:
        if task.description.strip():
            yield row(
                task, {c: [_outcome(task.description, r, c) for r in task.references] for c in CRITERIA}
            )
        else:
            yield flawless(task)


def _outcome(description: str, reference: str, criterion: str) -> Outcome:
    for name, text in (("description", description), ("golden text", reference)):
        if not _latin(text):
            return Outcome(
                None, f"the claims judge reads English only, and the {name} is not in Latin letters"
            )
    value, details = score(description, reference, criterion)  # type: ignore[arg-type]
    return Outcome(value, details=details)


def _latin(text: str) -> bool:
    letters = [letter for letter in text[:2000] if letter.isalpha()]
    return not letters or sum("LATIN" in unicodedata.name(x, "") for x in letters) >= 0.5 * len(letters)
