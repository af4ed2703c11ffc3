"""A run's samples on their way from a manifest into the run, read only as far as somebody asks.

A million rows would otherwise be checked and written before the first image is looked at.
"""

import os
from collections.abc import Callable, Iterator
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import IO, Any

from flawscribe.records import Failure, Row, Sample
from flawscribe.shards import Head, Passed, heads, line_of, line_of_record

_AT_ONCE = 32
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
        self._broken: Exception | None = None
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
            elif samples := self._read():
                at = self._size
                for sample in samples:
                    if sample is None or not (passed and passed(sample.id.encode())):
                        yield sample
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

    def _read(self) -> list[Sample | None]:
        """Read and write the next few entries, since one by one they take twice the time; none at the end."""
        if self._broken is not None:
            raise self._broken
        samples: list[Sample | None] = []
        lines: list[str] = []
        if self._source is None or self._out is None or self.complete:
            return samples
        try:
            for entry in islice(self._source, _AT_ONCE):
                if isinstance(entry, Sample):
                    record = entry.model_dump_json(exclude_defaults=True, ensure_ascii=True)
                    lines.append(line_of_record(entry.id, sha256(record.encode()).hexdigest()[:32], record))
                    samples.append(entry)
                else:
                    lines.append(line_of(Row(id=entry[0], key="", failure=entry[1])))
                    samples.append(None)
            self.complete = len(lines) < _AT_ONCE
        except Exception as e:
            if not lines:
                raise
            self._broken = e  # raised once those before it were looked at
        data = "".join(lines).encode()
        self._out.write(data)
        self._size += len(data)
        self.rows += len(lines)
        self.failed += samples.count(None)
        return samples
