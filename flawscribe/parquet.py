"""A stage's rows as a Parquet file."""

import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow.lib import StringBuilder

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
    ids, keys, records, failures = (StringBuilder() for _ in range(4))
    for head in heads:
        ids.append(head.id)
        keys.append(head.key)
        records.append(head.content if head.ok else None)
        failures.append(None if head.ok else head.content)
    # Not pa.array, which imports pandas where there is one, to see whether it was given something of its.
    texts = [builder.finish() for builder in (ids, keys, records, failures)]
    return pa.Table.from_arrays([*texts[:2], texts[2].is_valid(), *texts[2:]], schema=_COLUMNS)
