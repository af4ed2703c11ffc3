"""An import as a whole: what a reader yields becomes a manifest with masks, in a folder complete or not there."""

import hashlib
import json
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
from PIL import Image
from tqdm import tqdm

from flawscribe import __version__
from flawscribe.errors import SetupError, UserError, one_line
from flawscribe.images import ImageFailure, picture_suffix, read_bytes, shown_size
from flawscribe.manifest import write_manifest
from flawscribe.manifest_rows import Source, sample_of
from flawscribe.records import Failure, FailureKind, Row, Sample
from segment.importers.base import STAGE, Found, Reading, bad_mask

MANIFEST, FAILURES, PROVENANCE = "manifest.jsonl", "failures.jsonl", "import.json"
_LONGEST_NAME = 200  # bytes, without the extension; file systems allow 255


@dataclass
class Imported:
    """What an import did: pictures by what is said of them, masks written, failures by kind."""

    defective: int = 0
    clean: int = 0
    unknown: int = 0
    masks: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    first_failure: str = ""

    @property
    def images(self) -> int:
        """Rows of the manifest."""
        return self.defective + self.clean + self.unknown

    @property
    def failed(self) -> int:
        """Rows that were not imported."""
        return sum(self.failures.values())

    def count(self, sample: Sample) -> None:
        """Take a row of the manifest into account."""
        if sample.golden is None:
            self.unknown += 1
        elif sample.golden.defective:
            self.defective += 1
        else:
            self.clean += 1
        self.masks += sample.golden is not None and sample.golden.mask is not None


def write_import(
    out: Path, reading: Reading, provenance: dict[str, Any], *, copy: bool = False, force: bool = False
) -> Imported:
    """Import what `reading` yields into the folder `out`: manifest, `masks/`, `heatmaps/`, with `copy` also `images/`.

    Pictures are referred to where they are unless `copy`; a source's embedded pictures are always written. A row that
    cannot be imported is a line of `failures.jsonl`. The folder is made beside its place and put there as a whole: an
    import that is broken off leaves nothing. Raises UserError where `out` holds anything (with `force`: anything
    but an earlier import, which is replaced), or no row at all could be imported.
    """
    if not force and out.is_dir() and any(out.iterdir()):
        raise UserError(f"{out} is not empty: give a new folder with -o, or --force")
    if out.exists() and not (out.is_dir() and ((out / PROVENANCE).is_file() or not any(out.iterdir()))):
        raise UserError(f"{out} is not an earlier import: it is not replaced; give another folder with -o")
    done = Imported()
    with _beside(out) as folder:
        with (folder / FAILURES).open("w", encoding="utf-8") as failures:

            def fail(place: str, failure: Failure) -> None:
                done.failures[failure.kind] += 1
                done.first_failure = done.first_failure or failure.message
                row = Row(id=one_line(place, 1000), key="", failure=failure)
                failures.write(row.model_dump_json(exclude_none=True) + "\n")

            def samples() -> Iterator[Sample]:
                job, seen = _Job(folder, copy), set[bytes]()
                for found in tqdm(reading.rows, total=reading.total, desc=STAGE, unit="image", delay=1):
                    if not isinstance(found, Found):
                        fail(found.place, found.failure)
                        continue
                    try:
                        sample = job.sample(found, seen)
                    except ImageFailure as e:
                        told = str(e) if str(e).startswith(found.place) else f"{found.place}: {e}"
                        fail(found.place, Failure(stage=STAGE, kind=e.kind, message=told))
                        continue
                    done.count(sample)
                    yield sample

            write_manifest(folder / MANIFEST, samples())
        if not done.images:
            rows = (
                f"{done.failed} rows failed, the first: {done.first_failure}"
                if done.failed
                else "it holds no rows"
            )
            raise UserError(f"nothing could be imported: {rows}")
        if not done.failed:
            (folder / FAILURES).unlink()
        counts = {"images": done.images, "masks": done.masks, "failed": dict(done.failures)}
        about = json.dumps({**provenance, "flawscribe": __version__, **counts}, indent=2, ensure_ascii=False)
        (folder / PROVENANCE).write_text(about + "\n", encoding="utf-8")
    return done


@contextmanager
def _beside(out: Path) -> Iterator[Path]:
    """A new folder beside `out`, at the same depth for relative paths, that takes its place when all went well."""
    place = out.absolute()
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=f".{place.name}.", dir=place.parent))
    except OSError as e:
        raise SetupError(f"cannot write {out}: {e.strerror or e}") from e
    try:
        mask = os.umask(0)
        os.umask(mask)
        folder.chmod(0o777 & ~mask)
        yield folder
        if place.is_dir() and any(place.iterdir()):
            old = Path(tempfile.mkdtemp(prefix=f".{place.name}.", dir=place.parent)) / "old"
            place.rename(old)
            folder.rename(place)
            shutil.rmtree(old.parent)
        else:
            folder.rename(place)
    except BaseException as e:
        shutil.rmtree(folder, ignore_errors=True)
        if isinstance(e, KeyboardInterrupt):
            raise KeyboardInterrupt("interrupted: nothing is left, the same command begins anew") from None
        raise


class _Job:
    """Turns found rows into samples, and writes what belongs to them."""

    def __init__(self, folder: Path, copy: bool) -> None:
        self._folder = folder
        self._copy = copy
        self._names: set[str] = set()

    def sample(self, found: Found, seen: set[bytes]) -> Sample:
        """The sample of a found row by the manifest's own rules; ImageFailure says why there is none."""
        raw = dict(found.row)
        first = sample_of({**raw, "defective": True, "image": "x"}, found.place, Source(self._folder))
        if isinstance(first, Failure):
            raise ImageFailure(first.kind, first.message)
        digest = hashlib.md5(first.id.encode()).digest()
        if digest in seen:
            raise ImageFailure(FailureKind.REPEATED_ID, f"the id {first.id!r} is there already")
        image, size, embedded = self._image(found)
        mask = found.mask(size) if found.mask else None
        if mask is not None and mask.shape != (size[1], size[0]):
            raise bad_mask(f"the mask has the shape {mask.shape}, its picture {(size[1], size[0])}")
        if found.decides:
            raw["defective"] = mask is not None
        elif found.mask and mask is None and raw.get("defective") is True:
            raise bad_mask("the mask marks no pixel of a picture that is called defective")
        if mask is not None and raw.get("defective") is False:
            raise bad_mask(f"the mask marks {mask.mean():.2%} of a picture that is called flawless")
        raw |= self._written(found, first.id, image, embedded, mask)
        sample = sample_of(raw, found.place, Source(self._folder))
        if isinstance(sample, Failure):
            raise ImageFailure(sample.kind, sample.message)
        seen.add(digest)
        return sample

    def _image(self, found: Found) -> tuple[Path | None, tuple[int, int], bytes | None]:
        """The picture's path, its size, and its bytes where they are to be written."""
        if isinstance(found.image, bytes):
            with tempfile.NamedTemporaryFile(dir=self._folder) as f:  # looked at as any file is
                f.write(found.image)
                f.flush()
                try:
                    return None, shown_size(f.name), found.image
                except ImageFailure as e:
                    raise ImageFailure(e.kind, str(e).replace(f.name, "the embedded picture")) from e
        path = found.image
        size = shown_size(str(path))
        return path, size, read_bytes(str(path)) if self._copy else None

    def _written(
        self, found: Found, id: str, image: Path | None, content: bytes | None, mask: np.ndarray | None
    ) -> dict[str, Any]:
        """Write a row's picture, mask and heatmaps; the columns that name them."""
        columns: dict[str, Any] = {}
        if content is not None:
            suffix = image.suffix.lower() if image else picture_suffix(content)
            path = self._path("images", id, suffix)
            path.write_bytes(content)
            columns["image"] = str(path)
        else:
            columns["image"] = str(image.absolute() if image else "")
        if mask is not None:
            path = self._path("masks", id, ".png")
            Image.fromarray(mask).save(path)
            columns["mask"] = str(path)
        for name, values in found.heatmaps.items():
            path = self._path("heatmaps", f"{id}.{name}", ".npz")
            np.savez_compressed(path, heatmap=values)
            columns[name] = path.relative_to(self._folder).as_posix()
        return columns

    def _path(self, kind: str, id: str, suffix: str) -> Path:
        """A new file for an id: its name without slashes, or a digest of it where that is too long or taken."""
        stem = id[: -len(suffix)] if id.lower().endswith(suffix) and len(id) > len(suffix) else id
        name = quote(stem, safe=" ()+,=@")
        if (
            len(name) > _LONGEST_NAME
            or name.startswith(".")
            or f"{kind}/{name}{suffix}".lower() in self._names
        ):
            name = hashlib.sha256(id.encode()).hexdigest()
        self._names.add(f"{kind}/{name}{suffix}".lower())
        folder = self._folder / kind
        folder.mkdir(exist_ok=True)
        return folder / f"{name}{suffix}"
