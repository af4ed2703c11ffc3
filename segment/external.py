"""Masks made elsewhere, brought into a run as its stage `segment`."""

import hashlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from flawscribe.digests import Digests
from flawscribe.errors import UserError
from flawscribe.images import ImageFailure, load_mask, read_bytes, shown_size
from flawscribe.keys import key_of
from flawscribe.records import Failure, FailureKind, MaskPrediction, Row, Sample
from flawscribe.runs import Run
from flawscribe.stages import Counts, run_stage
from segment.components import components
from segment.rle import encode
from segment.stage import record
from segment.written import mask_path


def import_masks(
    run: Run, folder: str | Path, *, threshold: float | None = None, parts: bool = False, redo: bool = False
) -> Counts:
    """Take the masks of `folder` for the run's samples: `<id>.png`, or the id with its extension replaced.

    The latter only where no other id would get the same file: `a.jpg` and `a.png` need `a.jpg.png` and `a.png`.
    A mask must have its image's own size; non-zero in any channel is defective. A soft one (more than 16 levels of
    grey) is refused unless `threshold`, a share of its full scale, says where to cut it. A sample without a file, or
    with one that cannot be used, is a failure row. With `parts` each connected region is an instance too. Raises
    UserError where there is no such folder.
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
                threshold=threshold,
                components=parts,
            )
        except OSError as e:
            return Failure(stage="segment", kind=FailureKind.MISSING_ANSWER, message=str(e))
        except ImageFailure as e:
            return e.failure("segment")

    def process(pairs: Iterator[tuple[Sample, str]]) -> Iterator[Row]:
        for sample, k in pairs:
            try:
                mask = load_mask(str(find(sample.id)), shown_size(sample.image), cut=threshold, hard=True)
            except ImageFailure as e:
                yield Row(id=sample.id, key=k, failure=e.failure("segment"))
                continue
            rle = encode(mask)
            answer = MaskPrediction(
                rle=rle, area=float(np.mean(mask)), instances=components(rle) if parts else ()
            )
            yield Row(id=sample.id, key=k, record=record(answer))

    settings = {"masks": str(root.resolve()), "threshold": threshold, "components": parts}
    return run_stage(run, "segment", settings, key, process, redo=redo)


def _stem(sample_id: str) -> str:
    """The id without its extension."""
    stem, dot, _ = sample_id.rpartition(".")
    return stem if dot and stem else sample_id
