"""What a run's descriptions come to, in numbers."""

from collections import Counter
from dataclasses import dataclass, field

from describe.protocol import STAGE
from flawscribe.records import Description
from flawscribe.runs import SAMPLES, Run, record_of
from flawscribe.shards import Head, short


@dataclass
class Figures:
    """Images of the run's manifest, those described, those of them called defective, and the failures by kind."""

    images: int = 0
    ok: int = 0
    defective: int = 0
    failures: Counter[str] = field(default_factory=Counter)


def _defective(head: Head) -> bool:
    try:
        return Description.model_validate_json(head.content).defective
    except ValueError:
        return record_of(head.row, Description, STAGE).defective  # which tells what is wrong


def figures_of(run: Run) -> Figures:
    """The figures of the samples that the run has now: a manifest may have lost some since. Rows of none fail too."""
    figures = Figures()
    wanted: set[bytes] = set()
    for head in run.heads(SAMPLES):
        figures.images += 1
        if head.ok:
            wanted.add(short(head.id))
        elif failure := head.row.failure:
            figures.failures[failure.kind.value] += 1
    for head in run.current_heads(STAGE):
        if short(head.id) not in wanted:
            continue
        if head.ok:
            figures.ok += 1
            figures.defective += _defective(head)
        elif failure := head.row.failure:
            figures.failures[failure.kind.value] += 1
    return figures
