"""The stage `segment`: a mask, P(defective) and quality for every sample of a run."""

from collections.abc import Callable, Iterator
from dataclasses import asdict
from itertools import chain

from PIL import Image

from flawscribe.digests import Digests
from flawscribe.fetched import fetching
from flawscribe.images import ImageFailure, load_image
from flawscribe.keys import key_of
from flawscribe.records import Description, Failure, MaskPrediction, Row, Sample
from flawscribe.runs import Run
from flawscribe.stages import Counts, noted, run_stage
from segment.described import Described, digest_of
from segment.makers import maker_for
from segment.marking import Marking

_Opened = tuple[Sample, str, Image.Image, Description | None]
_BATCH = 16
_BATCH_PIXELS = 16_000_000  # of large pictures fewer are held at a time


def segment_run(
    run: Run,
    *,
    model: str = "nano",
    prompt_with: str | None = None,
    marking: Marking | None = None,
    allow_urls: bool = False,
    redo: bool = False,
    quiet: bool = False,
) -> Counts:
    """Mark every sample of the run that has no good row yet; `quiet` draws no progress bar.

    `model` is nano, a directory with a head, or, with `prompt_with`, a SAM checkpoint as `load_encoder` takes it:
    "describe" prompts it with the boxes of the run's descriptions (of a head that was trained with descriptions the
    mask follows their words), "automatic" ranks its own masks by them. With `allow_urls` pictures at http(s)
    addresses are fetched (see `flawscribe.fetch`).

    Raises SetupError where torch and transformers are not installed, or the model is damaged; UserError for an
    unknown model, for options that it cannot follow, and where descriptions are asked for and the run has none.
    """
    marking = marking or Marking()
    maker = maker_for(model, prompt_with, marking)
    descriptions = Described(run, boxes=maker.needs_boxes) if prompt_with else None
    digests = Digests(run.path)
    settings = {
        "model": model,
        "revision": maker.revision,
        "prompt_with": prompt_with,
        **asdict(marking),
    }
    content = {name: value for name, value in settings.items() if name != "model"}

    def key(sample: Sample) -> str | Failure:
        said = descriptions.of(sample.id) if descriptions else None
        if isinstance(said, Failure):
            return said
        try:
            image = digests.digest(sample.image)
        except ImageFailure as e:
            return e.failure("segment")
        return key_of(stage="segment", image=image, description=digest_of(said), **content)

    def process(pairs: Iterator[tuple[Sample, str]]) -> Iterator[Row]:
        first = next(pairs, None)
        if first is None:
            return  # nothing to do loads nothing
        answer, device = maker.load()
        rows = _batches(chain([first], pairs), descriptions, answer)
        yield from noted(rows, lambda: run.note("segment", device=device))

    ready = fetching(run, "segment", allow_urls)
    return run_stage(run, "segment", settings, key, process, ready=ready, redo=redo, quiet=quiet)


def _batches(
    pairs: Iterator[tuple[Sample, str]],
    descriptions: Described | None,
    answer: Callable[[list[Image.Image], list[Description | None]], list[MaskPrediction]],
) -> Iterator[Row]:
    """Rows by batches of a bounded number of pictures and pixels."""
    opened: list[_Opened] = []

    def answered() -> Iterator[Row]:
        found = answer([image for *_, image, _ in opened], [said for *_, said in opened]) if opened else []
        for (sample, k, _, _), one in zip(opened, found, strict=True):
            yield Row(id=sample.id, key=k, record=record(one))

    for sample, k in pairs:
        said = descriptions.of(sample.id) if descriptions else None
        try:
            opened.append((sample, k, load_image(sample.image), None if isinstance(said, Failure) else said))
        except ImageFailure as e:
            yield Row(id=sample.id, key=k, failure=e.failure("segment"))
        if (
            len(opened) == _BATCH
            or sum(image.width * image.height for *_, image, _ in opened) > _BATCH_PIXELS
        ):
            yield from answered()
            opened = []
    yield from answered()


def record(answer: MaskPrediction) -> dict[str, object]:
    """A row's record: without `instances` where there is none."""
    return answer.model_dump(mode="json", exclude=None if answer.instances else {"instances"})
