"""Reading and writing samples: whatever holds them comes out as the same stream of checked rows.

flawscribe.manifest_rows     one raw row → a Sample or the reason why it is none
flawscribe.manifest_tables   raw rows of JSONL, CSV, Parquet and Arrow files
flawscribe.manifest_folders  what a folder holds: a manifest, a dataset, or pictures
"""

import json
import os
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

from flawscribe.arrivals import Entry
from flawscribe.errors import UserError
from flawscribe.manifest_folders import folder_rows
from flawscribe.manifest_rows import FIELDS, Source, sample_of
from flawscribe.manifest_tables import TABLES, table_rows
from flawscribe.picture_files import is_url
from flawscribe.records import Failure, FailureKind, Sample
from flawscribe.shards import short


def read_manifest(
    path: str | Path, pictures: Path | None = None, after: int = 0, ids: Iterable[str] = ()
) -> Iterator[Entry]:
    """The samples of a manifest, a folder of images, or a dataset directory, one by one.

    `path` is a `.jsonl`, `.csv`/`.tsv` or `.parquet` file with the columns `id, image, prompt, generator,
    defective, descriptions, description, mask, quality, category` (only `id` and `image` are needed;
    further columns go to `meta`), or a folder that holds one called `manifest.*`, or a Hugging Face
    dataset directory (`save_to_disk`, Parquet files, or `metadata.*` beside pictures), or a folder of
    pictures with `NAME.txt` prompts beside them (id = relative path).

    Paths are relative to the manifest's folder; absolute ones and `..` are taken as they are, since a
    path is only ever opened as a picture (`flawscribe.images`). URLs are kept, and fail when opened.
    Pictures embedded in a dataset are written, verbatim and named by their digest, to the folder
    `pictures`.

    A row that is no sample comes as `(id, Failure)` with the id "FILE:LINE" (in a folder: the relative
    path), as does a repeated id. Raises UserError, at the call or at the first item, for an input that
    cannot be read at all. Streams: of a long manifest only the ids' digests are held. With `after`, it goes on behind
    so many rows, whose ids are `ids`.
    """
    path = Path(path)
    try:
        if path.is_dir():
            rows: Iterator[tuple[str, Sample | Failure]] = islice(folder_rows(path, pictures), after, None)
        elif not path.is_file():
            raise UserError(f"{path} " + ("is not a file" if path.exists() else "does not exist"))
        elif path.suffix.lower() in TABLES:
            source = Source(path.parent.absolute(), pictures)
            raws = table_rows(path, path.name, after=after)
            rows = ((place, sample_of(raw, place, source)) for place, raw in raws)
        else:
            raise UserError(f"{path} is not a manifest: give {', '.join(TABLES)}, or a folder of images")
    except OSError as e:
        raise UserError(f"cannot read {path}: {e.strerror or e}") from e
    return _unique(rows, path, ids)


def _unique(rows: Iterator[tuple[str, Sample | Failure]], path: Path, ids: Iterable[str]) -> Iterator[Entry]:
    seen = set(map(short, ids))

    def new(id: str) -> bool:
        before = len(seen)
        seen.add(short(id))
        return len(seen) > before

    try:
        for place, row in rows:
            if isinstance(row, Sample):
                if new(row.id):
                    yield row
                    continue
                row = Failure(
                    stage="samples",
                    kind=FailureKind.REPEATED_ID,
                    message=f"{place}: the id {row.id!r} is there already",
                )
            while not new(place):
                place += "'"
            yield place, row
    except OSError as e:
        raise UserError(f"cannot read {path}: {e.strerror or e}") from e


def write_manifest(path: str | Path, samples: Iterable[Sample]) -> None:
    """Write samples as flat JSON lines that `read_manifest` reads back, with paths relative to `path`'s folder.

    Raises ValueError where a sample's `meta` has a key that is a manifest's own column.
    """
    path = Path(path)
    folder = path.parent.absolute()
    temporary = path.with_name(path.name + ".tmp")
    with temporary.open("w", encoding="utf-8") as f:
        for sample in samples:
            row = sample.model_dump(mode="json", exclude_none=True, exclude={"golden", "meta"})
            if sample.golden is not None:
                row |= sample.golden.model_dump(mode="json", exclude_none=True)
                if not row["descriptions"]:
                    del row["descriptions"]
            for name in ("image", "mask"):
                if name in row and not is_url(row[name]):
                    row[name] = Path(os.path.relpath(row[name], folder)).as_posix()
            if clash := sample.meta.keys() & FIELDS:
                raise ValueError(f"{sample.id!r}: meta has the manifest's own column {min(clash)!r}")
            f.write(json.dumps(row | sample.meta, ensure_ascii=False) + "\n")
        f.flush()
        os.fsync(f.fileno())
    os.replace(temporary, path)
