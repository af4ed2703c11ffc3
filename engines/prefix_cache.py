"""How much of the instructions is computed once: they stand before the picture, the same in each request."""

import threading
from typing import Any


class PrefixCache:
    """Counts tokens before the picture over answered requests, from any thread.

    A cache keeps whole blocks, so of an instruction of n tokens at most n // block * block can be found in it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._instructions = self._cacheable = self._cached = 0

    def count(self, instructions: int, block: int, cached: int, requests: int = 1) -> None:
        """Note requests alike: tokens before the picture, tokens in a block, and prompt tokens found in the cache."""
        cacheable = instructions // block * block
        with self._lock:
            self._instructions += requests * instructions
            self._cacheable += requests * cacheable
            self._cached += requests * min(cached, cacheable)  # beyond it lies a picture that was seen before

    def facts(self) -> dict[str, Any]:
        """Tokens of instructions, those in whole blocks, those of them found, their share `rate`; empty for none."""
        with self._lock:
            if not self._cacheable:
                return {}
            return {
                "prefix_cache": {
                    "instruction_tokens": self._instructions,
                    "in_whole_blocks": self._cacheable,
                    "cached": self._cached,
                    "rate": round(self._cached / self._cacheable, 4),
                }
            }


def told(facts: dict[str, Any]) -> str | None:
    """One line on the rate in an engine's facts, None where it has none."""
    if "prefix_cache" not in facts:
        return None
    return (
        f"prefix cache: {facts['prefix_cache']['rate']:.0%} of the instructions' tokens were cached".replace(
            "%", " %"
        )
    )
