"""What is left to describe of a run, as ranges of its samples' lines for many processes."""

from dataclasses import dataclass

from describe.protocol import STAGE
from describe.stage import Describing
from flawscribe.digests import Digests
from flawscribe.runs import Run
from flawscribe.shards import begin_of

_BLOCK = 64  # samples; a part is some blocks
_MOST = 4096  # samples of a part
_PARTS = 8  # of each worker, so that the last ones end at about the same time


@dataclass(frozen=True)
class Part:
    """Lines of the run's samples: the bytes from `start` to `end`, and one byte a line, 1 where nothing is to do."""

    number: int
    start: int
    end: int
    done: bytes


@dataclass(frozen=True)
class Left:
    """How many samples there are, how many of them have a good row, and which lines are `done`: one byte a line.

    `starts` are the offsets of every 64th line, and that of the end.
    """

    total: int
    kept: int
    done: bytes
    starts: tuple[int, ...]

    @property
    def samples(self) -> int:
        """Those that are left."""
        return self.total - self.kept

    def parts(self, workers: int) -> list[Part]:
        """Ranges that cover what is left, for so many workers: the more there is, the larger, within limits."""
        blocks = min(_MOST, max(_BLOCK, self.total // (workers * _PARTS))) // _BLOCK
        found: list[Part] = []
        for at in range(0, len(self.starts) - 1, blocks):
            to = min(at + blocks, len(self.starts) - 1)
            done = self.done[at * _BLOCK : to * _BLOCK]
            if not all(done):
                found.append(Part(len(found), self.starts[at], self.starts[to], done))
        return found


def left(run: Run, how: Describing, redo: bool) -> Left:
    """Look through the run's samples, and unless `redo` through its rows."""
    good = {} if redo else run.good(STAGE)
    digests = Digests(run.path) if good else None
    total = kept = at = 0
    done, starts = bytearray(), []
    for n, head in enumerate(run.sample_heads()):
        if n % _BLOCK == 0:
            starts.append(head.offset)
        at, has = head.offset + len(head.line), False
        if head.ok and digests and (before := good.get(head.id.encode())):
            key = how.key(run.sample_of(head.row), digests)
            has = isinstance(key, str) and before == begin_of(key)
        total, kept = total + head.ok, kept + has
        done.append(has or not head.ok)
    return Left(total, kept, bytes(done), (*starts, at))
