"""How much of the instructions a vLLM server had cached, from what it says of each answer and of itself."""

import json
import re
from collections import Counter
from itertools import takewhile
from typing import Any

from engines.base import Answer, Fault, Request
from engines.http_client import LostError, SlowError, TooLargeError, UnreachableError
from engines.openai_answers import MALFORMED
from engines.openai_http import Server
from engines.prefix_cache import PrefixCache

_BLOCK = re.compile(r'^vllm:cache_config_info\{(?:[^}]*,)?block_size="(\d{1,6})"', re.MULTILINE)
_SECONDS = 10.0


class ServedPrefixes:
    """Collects cached tokens an answer, and asks the server at the end how long instructions and blocks are.

    Servers that report no cached tokens (vLLM does with --enable-prompt-tokens-details) are asked nothing, nor is the
    text of the instructions sent to one whose /metrics are not vLLM's.
    """

    def __init__(self, model: str) -> None:
        self._model = model
        self._seen: Counter[tuple[str, int]] = Counter()
        self._cache = PrefixCache()

    def note(self, request: Request, outcome: Answer | Fault) -> None:
        """Remember an answer's cached tokens."""
        if isinstance(outcome, Answer) and request.image and request.system:
            self._seen[request.system, outcome.usage.cached_tokens] += 1

    async def measure(self, server: Server) -> None:
        """Ask the server what is needed to tell the rate; a server that does not say leaves it untold."""
        lengths: dict[str, int] = {}
        if not any(cached for _, cached in self._seen):
            return
        try:
            if (block := await _block(server)) is None:
                return
            for system, _ in self._seen:
                if system not in lengths:
                    lengths[system] = await self._length(server, system)
        except (UnreachableError, LostError, SlowError, TooLargeError, *MALFORMED):
            return
        for (system, cached), n in self._seen.items():
            self._cache.count(lengths[system], block, cached, n)
        self._seen.clear()

    async def _length(self, server: Server, system: str) -> int:
        """Tokens before the first that depends on what the user says."""
        one, other = [await self._tokens(server, system, text) for text in ("0", "1")]
        return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))

    async def _tokens(self, server: Server, system: str, user: str) -> list[int]:
        messages = [{"role": "system", "content": system}, {"role": "user", "content": user}]
        body = json.dumps({"model": self._model, "messages": messages}).encode()
        return list(json.loads((await server.post("/tokenize", body, root=True)).body)["tokens"])

    def facts(self) -> dict[str, Any]:
        """As PrefixCache.facts."""
        return self._cache.facts()


async def _block(server: Server) -> int | None:
    """Tokens in a block of vLLM's cache, None where it is no vLLM or hides its metrics."""
    reply = await server.get("/metrics", _SECONDS, root=True)
    found = _BLOCK.search(reply.body.decode("utf-8", "replace")) if reply.status == 200 else None
    return int(found[1]) or None if found else None
