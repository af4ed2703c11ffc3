"""The whole chain over a run, and the same for one picture in Python."""

import os
import tempfile
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flawscribe.consent import Allow, needs_leave
from flawscribe.errors import UserError, did_you_mean
from flawscribe.records import RLE, Description, Failure, MaskPrediction, Sample
from flawscribe.runs import Run
from flawscribe.stages import Counts
from report.join import gate, join, judgeable

if TYPE_CHECKING:
    from PIL import Image

REDOABLE = ("describe", "segment", "judge")


@dataclass(frozen=True)
class Outcome:
    """What a pass of the chain left: figures, the report's path, each stage's counts (None: not run)."""

    metrics: dict[str, Any]
    report: Path
    counts: dict[str, Counts | None]

    @property
    def failed(self) -> bool:
        """Whether any row failed at any stage (unreadable manifest rows and golden masks among them) or is unscored."""
        return bool(self.metrics["failures"] or self.metrics["texts"].get("unscored_reasons"))


def run_pipeline(
    run: Run,
    *,
    judge: str = "claims",
    judge_base_url: str | None = None,
    judge_key_env: str = "OPENAI_API_KEY",
    prompts: str | Path | None = None,
    descriptions: str | Path | None = None,
    masks: str | Path | None = None,
    redo: Collection[str] = (),
    gallery: int | None = None,
    tell: Callable[[str], None] | None = None,
    allow: Allow | None = None,
    allow_urls: bool = False,
    **describing: Any,
) -> Outcome:
    """Describe, segment, judge (where there is golden text to judge by), evaluate and report.

    Each stage does only what the run still lacks; `redo` names stages to start again. With
    `descriptions` or `masks` that stage is filled from the user's own answers and no model is asked.
    `describing` is for `describe_run`: model, engine, base_url, protocol, max_tokens and so on.
    `tell` gets one line a stage; `allow` decides what may go to another machine (see `flawscribe.consent`), for the
    judge too before the first stage. UserError and SetupError come from the stages as they are.
    """
    from report.html import GALLERY, write_report

    check_redo(redo)
    say = tell or (lambda line: None)
    if descriptions is not None and describing.get("calibration") is not None:
        raise UserError("--calibration is for a model's answers: --descriptions has its own P(defective)")
    if judge != "claims":
        _check_judge(run, judge, judge_base_url, judge_key_env, allow)
    counts: dict[str, Counts | None] = {}
    with run.lock():
        if descriptions is not None:
            from flawscribe.external import import_descriptions

            counts["describe"] = import_descriptions(run, descriptions, redo="describe" in redo, tell=say)
        else:
            from describe.stage import describe_run

            counts["describe"] = describe_run(
                run,
                prompts=prompts,
                redo="describe" in redo,
                tell=tell,
                allow=allow,
                allow_urls=allow_urls,
                **describing,
            )
        say(_told("describe", counts["describe"]))
        counts["segment"] = _segment(run, masks, "segment" in redo, allow_urls)
        say(_told("segment", counts["segment"]))
        counts["judge"] = judge_where_golden(
            run, judge, judge_base_url, prompts, "judge" in redo, say, judge_key_env, allow
        )
        metrics = _evaluate(run)
        report = write_report(run, GALLERY if gallery is None else gallery, metrics)
    return Outcome(metrics, report, counts)


def _check_judge(run: Run, judge: str, base_url: str | None, key_env: str, allow: Allow | None) -> None:
    """Before the first stage, not hours later: SetupError where the judge's key is not set, the question of leave."""
    from judge.stage import STAGE, ask_to_judge, judging

    with judging(judge, base_url, key_env) as engine:
        if needs_leave(run, STAGE, engine.facts()["base_url"], allow):
            judged = run.lookup(STAGE)
            n = sum(judgeable(s) and not ((row := judged(s.id)) and row.ok) for s in run.samples())
            if n:
                ask_to_judge(run, judge, n, engine, allow)


def check_redo(redo: Collection[str]) -> None:
    """UserError where `redo` names something that is no stage."""
    for stage in redo:
        if stage not in REDOABLE:
            raise UserError(f"there is no stage {stage!r} to redo.{did_you_mean(stage, REDOABLE)}")


def judge_where_golden(
    run: Run,
    judge: str,
    base_url: str | None = None,
    prompts: str | Path | None = None,
    redo: bool = False,
    tell: Callable[[str], None] | None = None,
    key_env: str = "OPENAI_API_KEY",
    allow: Allow | None = None,
) -> Counts | None:
    """Judge the run's descriptions; None where no sample has a golden text to judge by."""
    say = tell or (lambda line: None)
    if not any(judgeable(sample) for sample in run.samples()):
        say("judge: nothing to judge by (no golden-defective sample has a golden description)")
        return None
    from judge.stage import judge_run

    counts = judge_run(
        run,
        judge=judge,
        base_url=base_url,
        key_env=key_env,
        prompts=prompts,
        redo=redo,
        tell=tell,
        allow=allow,
    )
    say(_told("judge", counts))
    return counts


def import_answers(run: Run, descriptions: str | Path | None, masks: str | Path | None) -> None:
    """Fill the stages from answers made elsewhere."""
    if descriptions is not None:
        from flawscribe.external import import_descriptions

        import_descriptions(run, descriptions)
    if masks is not None:
        from segment.external import import_masks

        import_masks(run, masks)


def _segment(run: Run, masks: str | Path | None, redo: bool, allow_urls: bool) -> Counts:
    if masks is not None:
        from segment.external import import_masks

        return import_masks(run, masks, redo=redo)
    from segment.stage import segment_run

    return segment_run(run, redo=redo, allow_urls=allow_urls)


def _evaluate(run: Run) -> dict[str, Any]:
    from report.evaluate import evaluate

    return evaluate(run)


def _told(stage: str, counts: Counts | None) -> str:
    if counts is None:
        return f"{stage}: not run"
    return f"{stage}: {counts.ok} answered, {counts.failed} failed, {counts.kept} already there"


def _upright(image: "Image.Image") -> "Image.Image":
    """A PIL picture as a file of it would be read: upright, in a mode that PNG holds."""
    from PIL import ImageOps

    upright = ImageOps.exif_transpose(image)
    return upright if upright.mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16") else upright.convert("RGB")


@dataclass(frozen=True)
class Inspection:
    """What flawscribe says of one picture. A stage that failed left None and its reason in `failures`.

    `mask` is the head's own answer; `gated_mask` is blank where the description says flawless.
    """

    sample: Sample
    description: Description | None
    mask: MaskPrediction | None
    failures: tuple[Failure, ...] = ()

    @property
    def gated_mask(self) -> RLE | None:
        """The mask that counts, None where nothing is marked."""
        return gate(self.description, self.mask)


def inspect_one(
    image: "str | os.PathLike[str] | Image.Image",
    prompt: str | None = None,
    *,
    model: str = "nano",
    engine: str = "auto",
    base_url: str | None = None,
) -> Inspection:
    """Describe and segment one picture: a path, or a PIL image.

    The model is loaded anew at each call: for many pictures use `flawscribe run`. A picture that
    cannot be read is no exception but a failure in the result; UserError and SetupError are raised
    for a wrong model name, an engine that is not installed, and the like.
    """
    from describe.stage import describe_run
    from segment.stage import segment_run

    with tempfile.TemporaryDirectory(prefix="flawscribe-") as folder:
        if isinstance(image, str | os.PathLike):
            path = Path(image).absolute()
            name = path.name or str(path)
        else:
            path, name = Path(folder) / "image.png", "image"
            _upright(image).save(path)
        run = Run.create(Path(folder) / "run")
        run.set_samples("one picture", [Sample(id=name, image=str(path), prompt=prompt)])
        describe_run(run, model=model, engine=engine, base_url=base_url, quiet=True)
        segment_run(run, quiet=True)
        joined = next(join(run))
    assert joined.sample is not None
    return Inspection(joined.sample, joined.description, joined.prediction, joined.failures)
