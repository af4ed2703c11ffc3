"""The stage `segment`: a mask, P(defective) and quality for every sample of a run."""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from urllib.parse import quote

from PIL import Image

from flawscribe.errors import SetupError, UserError, did_you_mean
from flawscribe.images import Digests, ImageFailure, load_image
from flawscribe.models import directory_digest, nano_head_path
from flawscribe.records import Failure, MaskPrediction, Row, Sample
from flawscribe.runs import Counts, Run, key_of, run_stage
from segment.rle import decode

_BATCH = 16


def head_folder(head: str) -> Path:
    """The folder of a head: `nano`, or a directory that holds one; UserError for anything else."""
    if head == "nano":
        return nano_head_path()
    if not Path(head).is_dir():
        raise UserError(f"no mask head {head!r}.{did_you_mean(head, ['nano'])} Or give a directory with one.")
    return Path(head)


def segment_run(run: Run, *, head: str = "nano", redo: bool = False) -> Counts:
    """Mark every sample of the run that has no good row yet.

    Raises SetupError where torch and transformers are not installed, UserError for an unknown head.
    """
    try:
        import torch

        from segment.head import load_head
        from segment.predict import predict
    except ImportError as e:
        raise SetupError(f"masks need torch and transformers ({e}); install flawscribe[torch]") from e

    folder = head_folder(head)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model, digests = load_head(folder, device), Digests(run.path)
    settings = {"head": head, "revision": directory_digest(folder)}

    def key(sample: Sample) -> str | Failure:
        try:
            return key_of(stage="segment", image=digests.digest(sample.image), **settings)
        except ImageFailure as e:
            return e.failure("segment")

    def process(pairs: Iterator[tuple[Sample, str]]) -> Iterator[Row]:
        while chunk := list(islice(pairs, _BATCH)):
            opened: list[tuple[Sample, str, Image.Image]] = []
            for sample, k in chunk:
                try:
                    opened.append((sample, k, load_image(sample.image)))
                except ImageFailure as e:
                    yield Row(id=sample.id, key=k, failure=e.failure("segment"))
            if opened:
                answers = predict(model, [image for *_, image in opened])
                for (sample, k, _), answer in zip(opened, answers, strict=True):
                    yield Row(id=sample.id, key=k, record=answer.model_dump(mode="json"))

    counts = run_stage(run, "segment", settings, key, process, redo=redo)
    run.note("segment", device=device)
    return counts


def write_pngs(run: Run, folder: Path) -> int:
    """Write every mask of the run as a picture (see `mask_path`; white = defective); returns their number.

    An empty mask is written as a black picture. Raises UserError where two ids share a file's name.
    """
    rows, written = run.lookup("segment"), set[Path]()
    for sample in run.samples():
        row = rows(sample.id)
        if row is None or row.record is None:
            continue
        answer, path = MaskPrediction.model_validate(row.record), mask_path(folder, sample.id)
        if path in written:
            raise UserError(f"two ids would both be written to {path}: rename one")
        written.add(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        if answer.rle is None:
            Image.new("1", load_image(sample.image).size).save(path)
        else:
            Image.fromarray(decode(answer.rle)).save(path)
    return len(written)


def mask_path(folder: Path, sample_id: str) -> Path:
    """The file of an id's mask: `folder/<id>.png`, or `folder/<id>` where the id ends in .png itself.

    An id that would lead outside the folder is written with its slashes escaped (`..%2Fx.png`).
    """
    name = sample_id if sample_id.lower().endswith(".png") else f"{sample_id}.png"
    safe = "\0" not in name and (folder / name).resolve().is_relative_to(folder.resolve())
    return folder / (name if safe else quote(name, safe=""))
