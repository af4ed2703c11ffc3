"""A run's samples on their way from a manifest into the run, read only as far as somebody asks.

A million rows would otherwise be checked and written before the first image is looked at.
"""

import os
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import IO, Any

from flawscribe.records import Failure, Row, Sample
from flawscribe.shards import Head, Passed, heads, line_of, line_of_record

Entry = Sample | tuple[str, Failure]
State = dict[str, Any]
"""What tells that a manifest is as it was: its path, size and time of change."""
Entries = Callable[[int, set[str]], Iterator[Entry]]
"""A manifest's entries from a number on, given the ids of those before it (as `read_manifest` takes them)."""


class Arrivals:
    """Entries of a manifest, each written to `file` as it is read, for any number of walks over them.

    `of` says what they are the entries of. With `go_on` the file holds the first of them from before.
    """

    def __init__(self, file: Path, entries: Entries, of: dict[str, Any], go_on: bool) -> None:
        self.file, self.of = file, of
        self.rows = self.failed = 0
        self.complete = False
        self._entries = entries
        self._go_on = go_on
        self._source: Iterator[Entry] | None = None
        self._last: Sample | None = None
        self._out: IO[bytes] | None = None
        self._size = 0

    def walk(self, passed: Passed | None = None) -> Iterator[Head | Sample | None]:
        """All entries from the first on: what was read before as its head, what is read and written now as a sample.

        None stands for an entry that is read now and is no sample. Those whose id is `passed` are left out.
        """
        self._begin()
        at = 0
        while True:
            if at < self._size:
                if self._out is not None:
                    self._out.flush()
                to = self._size
                yield from heads([self.file], at, passed, to)
                at = to
            elif self._next():
                at = self._size
                if self._last is None or not (passed and passed(self._last.id.encode())):
                    yield self._last
            else:
                return

    @property
    def begun(self) -> bool:
        """Whether anything was read."""
        return self._source is not None

    def close(self) -> None:
        """Have everything that was read on disk."""
        if self._out is not None:
            self._out.flush()
            os.fsync(self._out.fileno())
            self._out.close()
            self._out = None

    def _begin(self) -> None:
        if self._source is not None:
            return
        self.file.parent.mkdir(exist_ok=True)
        ids: set[str] = set()
        if self._go_on and self.file.exists():
            for head in heads([self.file]):
                ids.add(head.id)
                self.rows += 1
                self.failed += not head.ok
                self._size = head.offset + len(head.line)
            os.truncate(self.file, self._size)  # a line torn by a kill
        else:
            self.file.write_bytes(b"")
        self._out = self.file.open("ab")
        self._source = self._entries(self.rows, ids)

    def _next(self) -> bool:
        """Read and write the next entry, into `_last` too; False at the end."""
        entry = next(self._source, None) if self._source and not self.complete else None
        if entry is None or self._out is None:
            self.complete = True
            return False
        if isinstance(entry, Sample):
            record = entry.model_dump_json(exclude_defaults=True, ensure_ascii=True)
            self._last = entry
            line = line_of_record(entry.id, sha256(record.encode()).hexdigest()[:32], record)
        else:
            self._last = None
            line = line_of(Row(id=entry[0], key="", failure=entry[1]))
        data = line.encode()
        self._out.write(data)
        self._size += len(data)
        self.rows += 1
        self.failed += self._last is None
        return True
