"""The share of the instructions' tokens that was cached."""

import asyncio
import json

import pytest

from engines.base import Answer, Request
from engines.openai_faults import Reply
from engines.openai_prefix import ServedPrefixes
from engines.prefix_cache import PrefixCache, told
from flawscribe.records import Usage


def test_only_whole_blocks_of_the_instructions_count() -> None:
    cache = PrefixCache()
    assert cache.facts() == {} and told({}) is None
    cache.count(instructions=50, block=16, cached=0)  # 48 could be found
    cache.count(instructions=50, block=16, cached=48)
    cache.count(instructions=50, block=16, cached=96)  # the picture was seen before
    cache.count(instructions=50, block=16, cached=48, requests=9)
    facts = cache.facts()
    assert facts["prefix_cache"] == {
        "instruction_tokens": 600,
        "in_whole_blocks": 576,
        "cached": 528,
        "rate": round(11 / 12, 4),
    }
    assert told(facts) == "prefix cache: 92 % of the instructions' tokens were cached"


def test_instructions_shorter_than_a_block_are_not_spoken_of() -> None:
    cache = PrefixCache()
    cache.count(instructions=15, block=16, cached=0)
    assert cache.facts() == {}


class Server:
    """vLLM's /metrics and /tokenize: a token a letter."""

    def __init__(self, metrics: str) -> None:
        self._metrics = metrics
        self.texts: list[bytes] = []

    async def get(self, path: str, seconds: float, root: bool = False) -> Reply:
        assert (path, root) == ("/metrics", True)
        return Reply(200, {}, self._metrics.encode())

    async def post(self, path: str, body: bytes, root: bool = False) -> Reply:
        assert (path, root) == ("/tokenize", True)
        self.texts.append(body)
        text = "".join(message["content"] for message in json.loads(body)["messages"])
        return Reply(200, {}, json.dumps({"tokens": [ord(letter) for letter in text]}).encode())


VLLM = 'vllm:other 1\nvllm:cache_config_info{x="1",hash_block_size="8",block_size="16",z="2"} 1.0\n'


def measured(metrics: str, cached: int = 32) -> tuple[ServedPrefixes, Server]:
    prefixes, server = ServedPrefixes("nano"), Server(metrics)
    for i in range(4):
        request = Request(id=str(i), user="Look", system="x" * 40, image="a.png")
        prefixes.note(request, Answer("", usage=Usage(cached_tokens=cached if i else 0)))
    asyncio.run(prefixes.measure(server))  # type: ignore[arg-type]
    return prefixes, server


def test_a_server_is_asked_how_long_blocks_and_instructions_are() -> None:
    prefixes, server = measured(VLLM)
    assert prefixes.facts()["prefix_cache"] == {
        "instruction_tokens": 160,
        "in_whole_blocks": 128,
        "cached": 96,
        "rate": 0.75,
    }
    assert len(server.texts) == 2


@pytest.mark.parametrize(("metrics", "cached"), [("<html>", 32), ("", 32), (VLLM, 0)])
def test_other_servers_are_not_sent_the_instructions(metrics: str, cached: int) -> None:
    prefixes, server = measured(metrics, cached)
    assert prefixes.facts() == {} and server.texts == []
