"""The clients that scripts/bench_describe.py holds flawscribe against, each in a process of its own.

    python scripts/bench_clients.py ceiling --url http://127.0.0.1:8000/v1 --requests requests.jsonl --in-flight 64

Sends the bodies of an OpenAI batch file and prints one JSON object: rows, how many were answered with 200, seconds,
processor seconds (both without imports and without reading the file) and peak megabytes.
"""

import argparse
import asyncio
import importlib.util
import json
import resource
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

SALT = b'"cache_salt": "bench"'
Measured = tuple[int, float, float]


def bodies(file: Path, rows: int, salt: str) -> list[bytes]:
    """The first bodies of a batch file, byte for byte; `salt` takes the place of what they name as cache_salt."""
    found: list[bytes] = []
    with file.open("rb") as lines:
        for line, _ in zip(lines, range(rows), strict=False):
            body = line.partition(b',"body":')[2].rstrip()[:-1]
            found.append(body.replace(SALT, b'"cache_salt": "%s"' % salt.encode()) if salt else body)
    return found


def spent() -> float:
    """This process's user and system seconds."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def measured(work: Callable[[], int]) -> Measured:
    """What `work` returns, its seconds and its processor seconds."""
    began, before = time.perf_counter(), spent()
    ok = work()
    return ok, time.perf_counter() - began, spent() - before


def ceiling(url: str, sent: list[bytes], in_flight: int) -> Measured:
    """aiohttp and nothing else: as many coroutines as requests in flight, answers read and thrown away."""
    import aiohttp
    from yarl import URL

    async def all_of_them() -> int:
        todo, ok = iter(sent), 0
        address = URL(url + "/chat/completions")

        async def work() -> None:
            nonlocal ok
            for body in todo:
                async with session.post(address, data=body) as response:
                    await response.read()
                    ok += response.status == 200

        connector = aiohttp.TCPConnector(limit=0)
        headers = {"Content-Type": "application/json"}
        timeout = aiohttp.ClientTimeout(total=600)
        async with aiohttp.ClientSession(connector=connector, headers=headers, timeout=timeout) as session:
            await asyncio.gather(*(work() for _ in range(in_flight)))
        return ok

    return measured(lambda: asyncio.run(all_of_them()))


def openai_threads(url: str, sent: list[bytes], in_flight: int) -> Measured:
    """The openai package's client, one by one or in a pool of threads."""
    from openai import OpenAI

    client = OpenAI(base_url=url, api_key="none", timeout=600)

    def ask(body: bytes) -> bool:
        call = json.loads(body)
        more = {name: call.pop(name) for name in ("cache_salt",) if name in call}
        return bool(client.chat.completions.create(**call, extra_body=more).choices)

    def work() -> int:
        if in_flight == 1:
            return sum(map(ask, sent))
        with ThreadPoolExecutor(in_flight) as pool:
            return sum(pool.map(ask, sent))

    return measured(work)


def inspect(url: str, sent: list[bytes], in_flight: int) -> Measured:
    """inspect_ai: a task of samples, generated and not scored, with its log in a folder that is thrown away."""
    from inspect_ai import Task, eval
    from inspect_ai.dataset import MemoryDataset, Sample
    from inspect_ai.model import (
        ChatMessageSystem,
        ChatMessageUser,
        ContentImage,
        ContentText,
        GenerateConfig,
        ResponseSchema,
        get_model,
    )
    from inspect_ai.solver import generate

    def sample(call: dict[str, Any]) -> Sample:
        system, user = call["messages"]
        picture, text = user["content"]
        content = [ContentImage(image=picture["image_url"]["url"]), ContentText(text=text["text"])]
        return Sample(input=[ChatMessageSystem(content=system["content"]), ChatMessageUser(content=content)])

    calls = [json.loads(body) for body in sent]
    first = calls[0]
    wanted = first["response_format"]["json_schema"]
    config = GenerateConfig(
        max_tokens=first["max_tokens"],
        temperature=first["temperature"],
        logprobs=first["logprobs"],
        top_logprobs=first["top_logprobs"],
        response_schema=ResponseSchema(
            name=wanted["name"], json_schema=wanted["schema"], strict=wanted["strict"]
        ),
        max_connections=in_flight,
        extra_body={name: first[name] for name in ("cache_salt",) if name in first},
    )
    model = get_model(f"openai-api/bench/{first['model']}", base_url=url, api_key="none", config=config)
    task = Task(dataset=MemoryDataset([sample(call) for call in calls]), solver=generate())

    def work() -> int:
        with tempfile.TemporaryDirectory() as folder:
            (log,) = eval(task, model=model, display="none", log_dir=folder, max_samples=in_flight)
            return sum(found.error is None for found in log.samples or ())

    return measured(work)


CLIENTS = {"ceiling": ceiling, "openai": openai_threads, "inspect": inspect}


def main() -> None:
    """Ask, and print what it took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("client", choices=CLIENTS)
    parser.add_argument("--url", required=True)
    parser.add_argument("--requests", type=Path, required=True)
    parser.add_argument("--rows", type=int, required=True)
    parser.add_argument("--in-flight", type=int, required=True)
    parser.add_argument("--salt", default="")
    args = parser.parse_args()
    if args.client == "inspect" and importlib.util.find_spec("inspect_ai") is None:
        print(json.dumps({"missing": "inspect_ai is not installed beside this Python"}))
        return
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    sent = bodies(args.requests, args.rows, args.salt)
    ok, seconds, cpu = CLIENTS[args.client](args.url, sent, args.in_flight)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"rows": len(sent), "ok": ok, "seconds": seconds, "cpu": cpu, "peak": peak}))


if __name__ == "__main__":
    main()
