"""One record a sample: what the manifest and every stage say of it, streamed in the manifest's order."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal, TypeVar

from flawscribe.records import RLE, Description, Failure, FailureKind, MaskPrediction, Row, Sample, Verdict
from flawscribe.runs import Run, record_of

Outcome = Literal[
    "true positive", "false positive", "miss", "true negative", "failed", "no golden", "not described"
]
OUTCOMES: tuple[Outcome, ...] = (
    "true positive",
    "false positive",
    "miss",
    "true negative",
    "failed",
    "no golden",
    "not described",
)
ANSWERING = ("samples", "describe", "segment")
"""The stages whose failure makes a sample failed; a judge's failure leaves the sample's own answer whole."""

R = TypeVar("R", Description, MaskPrediction)


@dataclass(frozen=True)
class Joined:
    """A sample with its rows. `sample` is None where the manifest's row could not be read.

    `prediction` holds the raw mask; `mask` is what counts. `failures` has at most one a stage.
    """

    id: str
    sample: Sample | None = None
    description: Description | None = None
    prediction: MaskPrediction | None = None
    completeness: Verdict | None = None
    precision: Verdict | None = None
    failures: tuple[Failure, ...] = ()

    @property
    def failure(self) -> Failure | None:
        """The first failure that leaves the sample without its answer."""
        return next((f for f in self.failures if f.stage in ANSWERING), None)

    @property
    def ok(self) -> bool:
        """Whether every answering stage of the run has an answer for this sample."""
        return self.failure is None

    def failed_at(self, stage: str) -> bool:
        """Whether that stage has no answer because it failed, or never saw a readable sample."""
        return any(f.stage in (stage, "samples") for f in self.failures)

    @property
    def mask(self) -> RLE | None:
        """The gated mask; None where nothing is marked or nothing is known."""
        return gate(self.description, self.prediction) if self.gated_known else None

    @property
    def gated_known(self) -> bool:
        """Whether the gated mask is known: a mask was predicted and the gate's own answer did not fail."""
        return self.prediction is not None and not self.failed_at("describe")

    @property
    def quality(self) -> float | None:
        """The picture's quality under its prompt, 1–5; None where nothing is predicted.

        The head gives two scores, for anomalies that count as defects and for anomalies that the prompt asked
        for; the description tells which holds: p · the former + (1 − p) · the latter, where p is its
        P(defective), or its yes or no where it gives none. Without either it is the head's own score.
        """
        if self.prediction is None:
            return None
        head, intended = self.prediction.quality, self.prediction.quality_if_intended
        if head is None or intended is None or self.description is None:
            return head
        known, said = self.description.p_defective, float(self.description.defective)
        p = said if known is None else known
        return p * head + (1 - p) * intended

    @property
    def outcome(self) -> Outcome:
        """Where the sample stands against its golden label, by the describing model's yes or no."""
        if not self.ok:
            return "failed"
        if self.sample is None or self.sample.golden is None:
            return "no golden"
        if self.description is None:
            return "not described"
        if self.description.defective:
            return "true positive" if self.sample.golden.defective else "false positive"
        return "miss" if self.sample.golden.defective else "true negative"


def gate(description: Description | None, prediction: MaskPrediction | None) -> RLE | None:
    """The mask that counts: the predicted one, blank where the description says flawless.

    Without a description there is nothing to gate with, and the raw mask stays.
    """
    if prediction is None or (description is not None and not description.defective):
        return None
    return prediction.rle


def judgeable(sample: Sample) -> bool:
    """Whether a judge has something to compare with: a defective golden label and a text."""
    return sample.golden is not None and sample.golden.defective and bool(sample.golden.references())


def join(run: Run) -> Iterator[Joined]:
    """Every sample of the run, unreadable manifest rows too; memory holds the offsets of rows, not the rows.

    A stage that the run has but that has no row for a sample is a `missing_answer` failure of it.
    Rows of ids that left the manifest are ignored, and verdicts on a description that is gone.
    """
    find = {stage: run.lookup(stage) for stage in ("describe", "segment", "judge") if run.has(stage)}
    for row in run.rows("samples"):
        if row.record is None:
            yield Joined(row.id, failures=(row.failure,) if row.failure else ())
            continue
        yield _joined(run.sample_of(row), find)


def _joined(sample: Sample, find: dict[str, Callable[[str], Row | None]]) -> Joined:
    failures: list[Failure] = []

    def record(stage: str, model: type[R]) -> R | None:
        if stage not in find:
            return None
        row = find[stage](sample.id) or _missing(sample.id, stage)
        if row.failure is not None:
            failures.append(row.failure.model_copy(update={"stage": stage}))
            return None
        return record_of(row, model, stage)

    description = record("describe", Description)
    prediction = record("segment", MaskPrediction)
    verdicts: dict[str, Verdict] = {}
    if "judge" in find and description is not None and judgeable(sample):
        row = find["judge"](sample.id) or _missing(sample.id, "judge")
        if row.failure is not None:
            failures.append(row.failure.model_copy(update={"stage": "judge"}))
        else:
            verdicts = {
                name: record_of(row, Verdict, "judge", name) for name in ("completeness", "precision")
            }
    return Joined(
        sample.id,
        sample,
        description,
        prediction,
        verdicts.get("completeness"),
        verdicts.get("precision"),
        tuple(failures),
    )


def _missing(id: str, stage: str) -> Row:
    message = f"{stage} has not reached this sample: run it again"
    return Row(id=id, key="", failure=Failure(stage=stage, kind=FailureKind.MISSING_ANSWER, message=message))
