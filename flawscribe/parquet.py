"""A stage's rows as a Parquet file."""

import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from flawscribe.shards import Head

_ROW_GROUP = 10_000
_COLUMNS = pa.schema(
    [(n, pa.bool_() if n == "ok" else pa.string()) for n in ("id", "key", "ok", "record", "failure")]
)


def write_parquet(rows: Iterator[Head], path: Path) -> None:
    """Write rows to `path`, whole or not at all: id, key, ok, record, failure (the last two as JSON text)."""
    temporary = path.with_name(path.name + ".tmp")
    with temporary.open("wb") as f:
        with pq.ParquetWriter(f, _COLUMNS) as out:
            while chunk := list(islice(rows, _ROW_GROUP)):
                out.write_table(_table(chunk))
        f.flush()
        os.fsync(f.fileno())
    os.replace(temporary, path)


def _table(heads: list[Head]) -> pa.Table:
    contents = [head.content for head in heads]
    return pa.Table.from_arrays(
        [
            pa.array([head.id for head in heads]),
            pa.array([head.key for head in heads]),
            pa.array([head.ok for head in heads]),
            pa.array([c if head.ok else None for head, c in zip(heads, contents, strict=True)], pa.string()),
            pa.array([None if head.ok else c for head, c in zip(heads, contents, strict=True)], pa.string()),
        ],
        schema=_COLUMNS,
    )
