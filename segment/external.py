"""Masks made elsewhere, brought into a run as its stage `segment`."""

import hashlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from flawscribe.digests import Digests
from flawscribe.errors import UserError
from flawscribe.images import ImageFailure, load_image, load_mask, read_bytes
from flawscribe.keys import key_of
from flawscribe.records import Failure, FailureKind, MaskPrediction, Row, Sample
from flawscribe.runs import Run
from flawscribe.stages import Counts, run_stage
from segment.rle import encode
from segment.stage import mask_path


def import_masks(run: Run, folder: str | Path, *, redo: bool = False) -> Counts:
    """Take the masks of `folder` for the run's samples: `<id>.png`, or the id with its extension replaced.

    The latter only where no other id would get the same file: `a.jpg` and `a.png` need `a.jpg.png` and `a.png`.
    A mask must have its image's own size; non-zero is defective. A sample without a file, or with one
    that cannot be used, is a failure row. Raises UserError where there is no such folder.
    """
    root = Path(folder)
    if not root.is_dir():
        raise UserError(f"{folder} is not a folder of masks")
    digests = Digests(run.path)
    alike = Counter(_stem(sample.id) for sample in run.samples())

    def find(sample_id: str) -> Path:
        own = mask_path(root, sample_id)
        stem = _stem(sample_id)
        for path in (own, mask_path(root, stem)) if alike[stem] == 1 else (own,):
            if path.is_file():
                return path
        raise FileNotFoundError(f"no mask {own}")

    def key(sample: Sample) -> str | Failure:
        try:
            path = find(sample.id)
            if path.samefile(sample.image):
                raise ImageFailure(FailureKind.BAD_MASK, f"{path} is the picture itself, not its mask")
            return key_of(
                stage="segment",
                image=digests.digest(sample.image),
                mask=hashlib.sha256(read_bytes(str(path))).hexdigest(),
            )
        except OSError as e:
            return Failure(stage="segment", kind=FailureKind.MISSING_ANSWER, message=str(e))
        except ImageFailure as e:
            return e.failure("segment")

    def process(pairs: Iterator[tuple[Sample, str]]) -> Iterator[Row]:
        for sample, k in pairs:
            try:
                mask = load_mask(str(find(sample.id)), load_image(sample.image).size)
            except ImageFailure as e:
                yield Row(id=sample.id, key=k, failure=e.failure("segment"))
                continue
            answer = MaskPrediction(rle=encode(mask), area=float(np.mean(mask)))
            yield Row(id=sample.id, key=k, record=answer.model_dump(mode="json"))

    return run_stage(run, "segment", {"masks": str(root.resolve())}, key, process, redo=redo)


def _stem(sample_id: str) -> str:
    """The id without its extension."""
    stem, dot, _ = sample_id.rpartition(".")
    return stem if dot and stem else sample_id
