"""A stage's rows as a Parquet file."""

import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
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
    # Not with pa.array and pa.compute, which import pandas, where there is one, and much else.
    texts = [StringBuilder() for _ in range(4)]
    for head in heads:
        content = head.content
        row = head.id, head.key, content if head.ok else None, None if head.ok else content
        for builder, text in zip(texts, row, strict=True):
            builder.append(text)
    ids, keys, records, failures = (builder.finish() for builder in texts)
    bits = np.packbits([head.ok for head in heads], bitorder="little")
    ok = pa.BooleanArray.from_buffers(pa.bool_(), len(heads), [None, pa.py_buffer(bits)])
    return pa.Table.from_arrays([ids, keys, ok, records, failures], schema=_COLUMNS)
