"""Shards: files of rows, one a line, that are only ever appended to.

Rows are always written by `line_of`, so that the head of a line (id, key, whether it is good) can be read without
the rest: a run of a million rows is looked through in seconds.
"""

import contextlib
import hashlib
import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple, TextIO

from flawscribe.errors import UserError
from flawscribe.records import Row
from flawscribe.secrets import blotted

# ASCII alone, as `line_of` writes: any other line is read as a whole, and found damaged if it is.
_PLAIN = rb"[ !#-\[\]-~]*"
_ESCAPED = rb'\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})'
_BEGIN = rb'\{"id":"(%s(?:%s%s)*)","key":"(%s)","(record|failure)":' % (_PLAIN, _ESCAPED, _PLAIN, _PLAIN)
_HEAD, _LINE = re.compile(_BEGIN), re.compile(b"^" + _BEGIN + rb".*\}$", re.MULTILINE)
_KEY = 16  # digits of a key
_BLOCK = 1 << 22  # bytes
_Line = tuple[bytes, bytes, bool, int, bytes, int, int]
Passed = Callable[[bytes], bool]
"""Whether an id, in UTF-8, is not wanted."""


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


def heads(
    shards: Iterable[Path], start: int = 0, passed: Passed | None = None, end: int | None = None
) -> Iterator[Head]:
    """The heads of all lines, in the order written; a torn last line (a kill in mid-write) is left out.

    Each shard is read from the offset `start` on, where a line begins, to `end`, where one ends. Lines whose id is
    `passed` are left out, at a microsecond each.
    """
    for shard in shards:
        for id, key, ok, offset, block, begins, ends in _lines(shard, start, passed, end):
            line = block[begins:ends]
            try:
                yield Head(id.decode(), key.decode(), ok, line, shard, offset)
            except UnicodeDecodeError:
                row = row_of(line, shard)  # which tells what is wrong
                yield Head(row.id, row.key, row.ok, line, shard, offset)


def good_keys(shards: Iterable[Path]) -> dict[bytes, bytes]:
    """The ids whose last row is good, in UTF-8, with the beginning of their keys (see `begin_of`)."""
    good: dict[bytes, bytes] = {}
    for shard in shards:
        for id, key, ok, *_ in _lines(shard):
            if ok:
                good[id] = key[:_KEY]
            else:
                good.pop(id, None)
    return good


def begin_of(key: str) -> bytes:
    """As much of a key as tells it from any other."""
    return key[:_KEY].encode()


def _lines(
    shard: Path, start: int = 0, passed: Passed | None = None, to: int | None = None
) -> Iterator[_Line]:
    """(id, key, whether good, offset, and a block with the line's ends in it) of whole lines."""
    at, rest = start, b""
    with shard.open("rb") as f:
        f.seek(start)
        left = sys.maxsize if to is None else to - start
        while block := f.read(min(_BLOCK, left)):
            left -= len(block)
            block = rest + block
            end = block.rfind(b"\n") + 1
            next_ = 0
            for found in _LINE.finditer(block, 0, end):
                begins, id = found.start(), found[1]
                if begins != next_:
                    yield from _unusual(block[next_:begins], shard, at + next_, passed)
                if b"\\" in id:
                    id = _text(id)
                next_ = found.end() + 1
                if passed is None or not passed(id):
                    yield id, found[2], found[3] == b"record", at + begins, block, begins, next_
            yield from _unusual(block[next_:end], shard, at + next_, passed)
            at, rest = at + end, block[end:]


def _unusual(lines: bytes, shard: Path, at: int, passed: Passed | None) -> Iterator[_Line]:
    """Lines that were not written by `line_of`, or are damaged."""
    for line in lines.splitlines(keepends=True) if lines else ():
        found = _line(line, shard, at)
        at += len(line)
        if not (passed and passed(found[0])):
            yield found


def _line(line: bytes, shard: Path, at: int) -> _Line:
    if line.endswith(b"}\n") and (found := _HEAD.match(line)):
        id, key, what = found.groups()
        return _text(id) if b"\\" in id else id, key, what == b"record", at, line, 0, len(line)
    row = row_of(line, shard)
    return row.id.encode(), row.key.encode(), row.ok, at, line, 0, len(line)


def _text(quoted: bytes) -> bytes:
    return str(json.loads(b'"%s"' % quoted)).encode("utf-8", "surrogatepass")


def short(text: str) -> bytes:
    """12 bytes that stand for an id or a key where a million of them are held."""
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=12).digest()


class Places:
    """Where the row that counts for each id stands: the last one."""

    def __init__(self, shards: list[Path]) -> None:
        self._shards = shards
        number = {shard: i << 48 for i, shard in enumerate(shards)}
        self._where = {
            id: number[shard] | offset for shard in shards for id, _, _, offset, *_ in _lines(shard)
        }
        self._open: dict[int, BinaryIO] = {}

    def find(self, id: str) -> Row | None:
        """The row of an id, None where it has none."""
        if (place := self._where.get(id.encode("utf-8", "surrogatepass"))) is None:
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
            if self._where.get(head.id.encode()) == number[head.shard] | head.offset:
                yield head


class Tail:
    """The rows that come to the shards of `folder` numbered above `since`, however many processes write them."""

    def __init__(self, folder: Path, since: int) -> None:
        self._folder, self._since = folder, since
        self._read: dict[Path, int] = {}

    def heads(self) -> Iterator[Head]:
        """The heads of those that were not yielded yet; a line counts once it is whole."""
        for shard in shards_in(self._folder):
            if number_of(shard) > self._since:
                for head in heads([shard], self._read.get(shard, 0)):
                    self._read[shard] = head.offset + len(head.line)
                    yield head


def shards_in(folder: Path) -> list[Path]:
    """A stage's shards in the order of their numbers."""
    return sorted(folder.glob("*.jsonl"), key=lambda p: (number_of(p), p.name))


def number_of(shard: Path) -> int:
    """A shard's number, 0 where its name is none."""
    return int(shard.stem) if shard.stem.isascii() and shard.stem.isdecimal() else 0


def new_shard(folder: Path, number: int) -> TextIO:
    """The shard of that number, or of the next that no other process has taken."""
    while True:
        with contextlib.suppress(FileExistsError):
            return (folder / f"{number:04d}.jsonl").open("x", encoding="utf-8")
        number += 1
