"""A run as one row a sample, in the formats that other tools read."""

import csv
import json
import os
import tempfile
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from flawscribe.errors import UserError, did_you_mean
from flawscribe.records import RLE, Finding
from flawscribe.runs import Run
from report.coco import write_coco
from report.join import Joined, join

FORMATS = ("jsonl", "csv", "parquet", "coco")
_RLE = pa.struct([("size", pa.list_(pa.int32())), ("counts", pa.string())])
_FINDING = pa.struct(
    [(name, pa.list_(pa.float64()) if name == "box" else pa.string()) for name in Finding.model_fields]
)
SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("status", pa.string()),
        ("image", pa.string()),
        ("prompt", pa.string()),
        ("generator", pa.string()),
        ("defective", pa.bool_()),
        ("p_defective", pa.float64()),
        ("description", pa.string()),
        ("findings", pa.list_(_FINDING)),
        ("p_mask", pa.float64()),
        ("mask", _RLE),
        ("mask_raw", _RLE),
        ("quality", pa.float64()),
        ("quality_raw", pa.float64()),
        ("completeness", pa.float64()),
        ("precision", pa.float64()),
        ("failure_stage", pa.string()),
        ("failure_kind", pa.string()),
        ("failure_message", pa.string()),
        ("golden_defective", pa.bool_()),
        ("golden_descriptions", pa.list_(pa.string())),
        ("golden_mask", pa.string()),
        ("golden_quality", pa.float64()),
        ("golden_category", pa.string()),
    ]
)
COLUMNS = tuple(SCHEMA.names)
_BATCH = 1000


def export(run: Run, format: str, out: str | Path | IO[str], force: bool = False) -> int:
    """Write the run as `jsonl`, `csv`, `parquet` or `coco` to a file or a text stream; returns the rows.

    Rows come in the manifest's order, failed and unreadable ones too; every row has every column, null
    where unknown. `mask` is the gated mask as COCO RLE and `mask_raw` the head's own. A file appears
    whole or not at all; UserError where it is there already and not `force`, or cannot be written.
    """
    if format not in FORMATS:
        raise UserError(f"there is no format {format!r}.{did_you_mean(format, FORMATS)}")
    if not isinstance(out, str | Path):
        if format == "parquet":
            raise UserError("parquet is not text: give a file with -o FILE")
        return _write(run, format, out)
    path = Path(out).resolve()  # a link's target is written, the link stays
    if path.is_dir():
        raise UserError(f"{path} is a folder: give a file with -o FILE")
    if path.exists() and not force:
        raise UserError(f"{path} is already there: give another file with -o, or --force to replace it")
    try:
        if path.exists() and not path.is_file():
            return _write_to(run, format, path)  # a device or a pipe is written to, not replaced
        handle, name = tempfile.mkstemp(prefix=f".{path.name[:100]}.", dir=path.parent)
        os.close(handle)
        temporary = Path(name)
        try:
            n = _write_to(run, format, temporary)
            temporary.chmod(0o666 & ~_umask())
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as e:
        raise UserError(f"cannot write {path}: {e.strerror or e}") from e
    return n


def _write_to(run: Run, format: str, path: Path) -> int:
    if format == "parquet":
        return _write_parquet(run, path)
    with path.open("w", encoding="utf-8", newline="") as f:
        return _write(run, format, f)


def _umask() -> int:
    """The process's umask, which can only be read by setting it."""
    mask = os.umask(0)
    os.umask(mask)
    return mask


def rows(run: Run) -> Iterator[dict[str, Any]]:
    """One dict a sample with the columns of `SCHEMA`."""
    return (row(j) for j in join(run))


def row(j: Joined) -> dict[str, Any]:
    """The exported row of one sample."""
    sample, golden = j.sample, j.sample.golden if j.sample else None
    return {
        "id": j.id,
        "status": "ok" if j.ok else "failed",
        "image": sample.image if sample else None,
        "prompt": sample.prompt if sample else None,
        "generator": sample.generator if sample else None,
        "defective": j.description.defective if j.description else None,
        "p_defective": j.description.p_defective if j.description else None,
        "description": j.description.text if j.description else None,
        "findings": [f.model_dump(mode="json") for f in j.description.findings] if j.description else None,
        "p_mask": j.prediction.p_mask if j.prediction else None,
        "mask": _rle(j.mask),
        "mask_raw": _rle(j.prediction.rle if j.prediction else None),
        "quality": j.quality,
        "quality_raw": j.prediction.quality if j.prediction else None,
        "completeness": j.completeness.score if j.completeness else None,
        "precision": j.precision.score if j.precision else None,
        "failure_stage": j.failure.stage if j.failure else None,
        "failure_kind": j.failure.kind.value if j.failure else None,
        "failure_message": j.failure.message if j.failure else None,
        "golden_defective": golden.defective if golden else None,
        "golden_descriptions": list(golden.references()) if golden else None,
        "golden_mask": golden.mask if golden else None,
        "golden_quality": golden.quality if golden else None,
        "golden_category": golden.category if golden else None,
    }


def _rle(rle: RLE | None) -> dict[str, Any] | None:
    return None if rle is None else {"size": list(rle.size), "counts": rle.counts}


def _write(run: Run, format: str, f: IO[str]) -> int:
    if format == "coco":
        return write_coco(run, ((j, row(j)) for j in join(run)), f)
    n = 0
    if format == "jsonl":
        for line in rows(run):
            n += 1
            f.write(json.dumps(line, ensure_ascii=False, allow_nan=False) + "\n")
        return n
    writer = csv.writer(f, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    for line in rows(run):
        n += 1
        writer.writerow([_cell(line[name]) for name in COLUMNS])
    return n


def _cell(value: Any) -> str:
    """A CSV cell: masks and lists as JSON, null as nothing, and no text that a spreadsheet would run.

    A text that begins with `=`, `+`, `-`, `@`, a tab or a carriage return gets a `'` before it, as
    spreadsheets themselves mark text; the other formats hold every text as it is.
    """
    if value is None:
        return ""
    if isinstance(value, str):
        return (
            f"'{value}"
            if value.lstrip(" \n")[:1] in ("=", "+", "-", "@", "\t", "\r") and value.strip()
            else value
        )
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def _write_parquet(run: Run, path: Path) -> int:
    n, source = 0, rows(run)
    with pq.ParquetWriter(path, SCHEMA) as writer:
        while batch := list(islice(source, _BATCH)):
            writer.write_table(pa.Table.from_pylist(batch, SCHEMA))
            n += len(batch)
    return n
