"""Shards: files of rows, one a line, that are only ever appended to.

Rows are always written by `line_of`, so that the head of a line (id, key, whether it is good) can be read without
the rest: a run of a million rows is looked through in seconds.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from flawscribe.errors import UserError
from flawscribe.records import Row
from flawscribe.secrets import blotted

_HEAD = re.compile(rb'\{"id":"((?:[^"\\]|\\.)*)","key":"([^"\\]*)","(record|failure)":')


class Head(NamedTuple):
    """What a line's beginning tells of its row, the line itself (or what was asked for of it), and its place."""

    id: str
    key: str
    ok: bool
    line: bytes
    shard: Path
    offset: int

    @property
    def row(self) -> Row:
        """The whole row; UserError where the line is damaged."""
        return row_of(self.line, self.shard)

    @property
    def content(self) -> bytes:
        """The JSON text of the record, or of the failure."""
        found = _HEAD.match(self.line)
        if found is None:
            row = self.row
            return (
                json.dumps(row.record).encode() if row.ok else (row.failure or row).model_dump_json().encode()
            )
        return self.line[found.end() : -2]


def line_of(row: Row) -> str:
    """The row as its line, with the line's end."""
    return blotted(row.model_dump_json(exclude_none=True, ensure_ascii=True)) + "\n"


def line_of_record(id: str, key: str, record: str) -> str:
    """The line of a good row whose record is JSON text already, on one line and of ASCII alone."""
    return blotted(f'{{"id":{json.dumps(id)},"key":"{key}","record":{record}}}\n')


def row_of(line: bytes, shard: Path) -> Row:
    """The row of a line; UserError where it is damaged."""
    try:
        return Row.model_validate_json(line)
    except ValueError as e:
        raise UserError(
            f"{shard}:{_number(line, shard)} is damaged ({str(e).splitlines()[0]}); delete that line to go on"
        ) from e


def _number(line: bytes, shard: Path) -> int:
    with shard.open("rb") as f:
        return next((n for n, found in enumerate(f, 1) if found == line), 0)


def heads(shards: Iterable[Path], start: int = 0) -> Iterator[Head]:
    """The heads of all lines, in the order written; a torn last line (a kill in mid-write) is left out.

    Each shard is read from the offset `start` on, where a line begins.
    """
    for shard in shards:
        with shard.open("rb") as f:
            f.seek(start)
            at = start
            for line in f:
                if line.endswith(b"\n"):
                    yield head_of(line, shard, at)
                at += len(line)


def head_of(line: bytes, shard: Path, offset: int) -> Head:
    """The head of a line, which stands at an offset of a shard; UserError where it is damaged."""
    if line.endswith(b"}\n") and (found := _HEAD.match(line)):
        id, key, what = found.groups()
        return Head(_text(id), key.decode(), what == b"record", line, shard, offset)
    row = row_of(line, shard)  # not written by us, or damaged
    return Head(row.id, row.key, row.ok, line, shard, offset)


def _text(quoted: bytes) -> str:
    return json.loads(b'"%s"' % quoted) if b"\\" in quoted else quoted.decode()


def short(text: str) -> bytes:
    """12 bytes that stand for an id or a key where a million of them are held."""
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=12).digest()


class Places:
    """Where the row that counts for each id stands: the last one."""

    def __init__(self, shards: list[Path]) -> None:
        self._shards = shards
        number = {shard: i << 48 for i, shard in enumerate(shards)}
        self._where = {short(head.id): number[head.shard] | head.offset for head in heads(shards)}
        self._open: dict[int, BinaryIO] = {}

    def find(self, id: str) -> Row | None:
        """The row of an id, None where it has none."""
        if (place := self._where.get(short(id))) is None:
            return None
        i, offset = place >> 48, place & (1 << 48) - 1
        if i not in self._open:
            self._open[i] = self._shards[i].open("rb")
        self._open[i].seek(offset)
        return row_of(self._open[i].readline(), self._shards[i])

    def current(self) -> Iterator[Head]:
        """The heads that count, in the order written."""
        number = {shard: i << 48 for i, shard in enumerate(self._shards)}
        for head in heads(self._shards):
            if self._where.get(short(head.id)) == number[head.shard] | head.offset:
                yield head
