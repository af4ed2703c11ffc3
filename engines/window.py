"""How many requests are in flight: as many as a local engine's queue wants, or as many as a remote one bears."""

import time

FIRST = 8  # in flight at a remote server before it has shown what it bears
PAUSE = 1.0  # seconds within which refusals count as one: they answer what was sent together


class Window:
    """At most `most` requests in flight. A window that adapts is additive in increase, multiplicative in decrease.

    It starts small, grows by one a success until the first refusal (a rate limit, an overload, a
    time-out), is halved by each refusal, and then grows by one for as many successes as it holds, after
    TCP's manner (RFC 5681).
    """

    def __init__(self, most: int, adapts: bool) -> None:
        self.most = most
        self._adapts = adapts
        self._size = float(min(FIRST, most) if adapts else most)
        self._refused: float | None = None

    @property
    def size(self) -> int:
        """Requests that may be in flight now, at least one."""
        return int(self._size)

    def succeeded(self) -> None:
        """Take note of an answer."""
        if self._adapts:
            self._size = min(self.most, self._size + (1 if self._refused is None else 1 / self._size))

    def refused(self) -> None:
        """Take note of a refusal."""
        now = time.monotonic()
        if self._adapts and (self._refused is None or now - self._refused > PAUSE):
            self._size = max(1.0, self._size / 2)
            self._refused = now
