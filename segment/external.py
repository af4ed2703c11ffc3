"""Masks made elsewhere, brought into a run as its stage `segment`."""

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from flawscribe.digests import Digests
from flawscribe.errors import UserError
from flawscribe.images import ImageFailure, read_bytes, shown_size
from flawscribe.keys import key_of
from flawscribe.records import Failure, FailureKind, MaskPrediction, Row, Sample
from flawscribe.runs import Run
from flawscribe.stages import Counts, run_stage
from segment.components import components
from segment.importers.base import Size
from segment.importers.coco import drawn_mask, is_id
from segment.importers.mask_files import mask_file
from segment.importers.sources import load_json
from segment.rle import encode
from segment.stage import record
from segment.written import mask_path


class _Masks(Protocol):
    def digest(self, sample: Sample) -> str:
        """What identifies the sample's mask; OSError where there is none, ImageFailure where it cannot be one."""
        ...

    def mask(self, sample: Sample, size: Size) -> np.ndarray | None:
        """The sample's bool (h, w) mask, None where it is empty; ImageFailure where it is broken."""
        ...


def import_masks(
    run: Run, source: str | Path, *, threshold: float | None = None, parts: bool = False, redo: bool = False
) -> Counts:
    """Take the masks of `source` for the run's samples: a folder of pictures (`Folder`), or a COCO file (`CocoFile`).

    A mask must have its image's own size. A sample without one, or with one that cannot be used, is a failure row.
    `threshold` is the share of the full scale from which a pixel of a soft mask is defective. With `parts` each
    connected region is an instance too. Raises UserError where there is no such folder or file.
    """
    root = Path(source)
    if not root.exists():
        raise UserError(f"{source} is neither a folder of masks nor a COCO file")
    samples = run.samples()
    masks: _Masks = Folder(root, samples, threshold) if root.is_dir() else CocoFile(root, samples)
    digests = Digests(run.path)

    def key(sample: Sample) -> str | Failure:
        try:
            mask = masks.digest(sample)
            image = digests.digest(sample.image)
        except OSError as e:
            return Failure(stage="segment", kind=FailureKind.MISSING_ANSWER, message=str(e))
        except ImageFailure as e:
            return e.failure("segment")
        return key_of(stage="segment", image=image, mask=mask, threshold=threshold, components=parts)

    def process(pairs: Iterator[tuple[Sample, str]]) -> Iterator[Row]:
        for sample, k in pairs:
            try:
                mask = masks.mask(sample, shown_size(sample.image))
            except ImageFailure as e:
                yield Row(id=sample.id, key=k, failure=e.failure("segment"))
                continue
            rle = None if mask is None else encode(mask)
            area = 0.0 if mask is None else float(np.mean(mask))
            answer = MaskPrediction(rle=rle, area=area, instances=components(rle) if parts else ())
            yield Row(id=sample.id, key=k, record=record(answer))

    settings = {"masks": str(root.resolve()), "threshold": threshold, "components": parts}
    return run_stage(run, "segment", settings, key, process, redo=redo)


class Folder:
    """Mask pictures: `<id>.png`, or the id with its extension replaced where no other id would get the same file.

    `a.jpg` and `a.png` need `a.jpg.png` and `a.png`. What a picture says is `mask_file`'s matter: one level or
    colour beside black is defective, several need a threshold.
    """

    def __init__(self, root: Path, samples: Iterable[Sample], threshold: float | None) -> None:
        self._root, self._threshold = root, threshold
        self._alike = Counter(_stem(sample.id) for sample in samples)

    def _find(self, sample_id: str) -> Path:
        own, stem = mask_path(self._root, sample_id), _stem(sample_id)
        for path in (own, mask_path(self._root, stem)) if self._alike[stem] == 1 else (own,):
            if path.is_file():
                return path
        raise FileNotFoundError(f"no mask {own}")

    def digest(self, sample: Sample) -> str:
        """Of the file's bytes."""
        path = self._find(sample.id)
        if path.samefile(sample.image):
            raise ImageFailure(FailureKind.BAD_MASK, f"{path} is the picture itself, not its mask")
        try:
            return hashlib.sha256(read_bytes(str(path))).hexdigest()
        except ImageFailure as e:
            raise ImageFailure(FailureKind.BAD_MASK, str(e)) from e

    def mask(self, sample: Sample, size: Size) -> np.ndarray | None:
        """The picture's marked pixels."""
        return mask_file(self._find(sample.id), size, self._threshold)


class CocoFile:
    """A COCO file's masks: what an image's annotations (run lengths, polygons) mark together.

    An image is a sample's by its `flawscribe_id`, or by its `file_name`: the sample's id, its path, or, where no
    other sample ends in the same name, its file's own name. One without annotations has an empty mask; one with an
    annotation without a segmentation (a box alone) has none that is known. UserError where an annotation is of no
    image, or of two.
    """

    def __init__(self, path: Path, samples: Iterable[Sample]) -> None:
        content = load_json(path)
        images = content.get("images") if isinstance(content, dict) else None
        annotations = content.get("annotations") if isinstance(content, dict) else None
        if not isinstance(images, list) or not isinstance(annotations, list):
            raise UserError(f"{path} is not a COCO file: it has no lists of images and annotations")
        self._path = path
        self._of: dict[int, list[dict[str, Any]]] = {}
        self._ids: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
        self._names: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
        for image in images:
            if not isinstance(image, dict) or not is_id(image.get("id")):
                raise UserError(f"{path} is not a COCO file: an image has no number as its id")
            if image["id"] in self._of:
                raise UserError(f"{path}: two images have the id {image['id']}")
            self._of[image["id"]] = []
            for known, name in ((self._ids, "flawscribe_id"), (self._names, "file_name")):
                if isinstance(image.get(name), str):
                    known[image[name]].append(image)
        for n, annotation in enumerate(annotations):
            owner = annotation.get("image_id") if isinstance(annotation, dict) else None
            if not is_id(owner) or owner not in self._of:
                raise UserError(f"{path}: the image_id of annotations[{n}] names no image of the file")
            self._of[owner].append(annotation)
        self._alike = Counter(Path(sample.image).name for sample in samples)

    def _find(self, sample: Sample) -> dict[str, Any]:
        name = Path(sample.image).name
        names = (sample.id, sample.image, *([name] if self._alike[name] == 1 else ()))
        for found in (self._ids.get(sample.id), *map(self._names.get, names)):
            if found and len(found) > 1:
                raise ImageFailure(FailureKind.BAD_MASK, f"{self._path} has {len(found)} images {sample.id}")
            if found:
                return found[0]
        raise FileNotFoundError(f"{self._path} has no image {sample.id}")

    def digest(self, sample: Sample) -> str:
        """Of the image's entry and its annotations."""
        image = self._find(sample)
        text = json.dumps([image, self._of[image["id"]]], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def mask(self, sample: Sample, size: Size) -> np.ndarray | None:
        """The union of the annotations' masks."""
        image = self._find(sample)
        return drawn_mask(image, self._of[image["id"]], size)


def _stem(sample_id: str) -> str:
    """The id without its extension."""
    stem, dot, _ = sample_id.rpartition(".")
    return stem if dot and stem else sample_id
