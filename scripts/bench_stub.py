"""A server that answers every chat completion with the same bytes after a fixed time, for scripts/bench_describe.py.

Prints its port. GET /stats tells what it has answered since the last such call, its own processor time, and the
most connections that it saw open.
"""

import argparse
import asyncio
import json
import resource
import time

from aiohttp import web

from engines.base import TOP

TEXT = '{"Defective": true, "Description": ["The left hand has six fingers; the cup has no handle."]}'


def completion(logprobs: bool) -> bytes:
    """A chat completion as vLLM words it: about four characters a token, each with TOP alternatives."""
    words = [TEXT[i : i + 4] for i in range(0, len(TEXT), 4)]
    tops = [
        {"token": chr(97 + i), "logprob": -0.5 - 0.37 * i, "bytes": [97 + i]} for i in range(min(TOP, 26))
    ]
    content = [
        {
            "token": word,
            "logprob": -0.0123456,
            "bytes": list(word.encode()),
            "top_logprobs": [
                {"token": word, "logprob": -0.0123456, "bytes": list(word.encode())},
                *tops[: TOP - 1],
            ],
        }
        for word in words
    ]
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": TEXT},
        "finish_reason": "stop",
        "logprobs": {"content": content} if logprobs else None,
    }
    usage = {
        "prompt_tokens": 900,
        "completion_tokens": len(words),
        "total_tokens": 900 + len(words),
        "prompt_tokens_details": {"cached_tokens": 800},
    }
    whole = {"id": "chatcmpl-0", "object": "chat.completion", "created": 0, "model": "nano"}
    return json.dumps({**whole, "choices": [choice], "usage": usage}).encode()


async def serve(delay: float, port: int, answer: bytes) -> None:
    """Serve until killed."""
    answered = most = 0
    spent = time.process_time()

    async def handle(request: web.BaseRequest) -> web.Response:
        nonlocal answered, most, spent
        if request.path == "/stats":
            found = {"requests": answered, "cpu": time.process_time() - spent, "most": most}
            answered = most = 0
            spent = time.process_time()
            return web.json_response(found)
        answered += 1
        if answered % 64 == 0:  # this counts them one by one
            most = max(most, len(server.connections))
        await request.read()
        await asyncio.sleep(delay)
        return web.Response(body=answer, content_type="application/json")

    server = web.Server(handle, access_log=None)
    runner = web.ServerRunner(server)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", port, backlog=8192)
    await site.start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.Event().wait()


def main() -> None:
    """Start it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--delay", type=float, default=0.05, help="seconds to an answer (default 0.05)")
    parser.add_argument("--port", type=int, default=0, help="0, the default, takes any")
    parser.add_argument("--no-logprobs", action="store_true", help="answer without log-probabilities")
    args = parser.parse_args()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    asyncio.run(serve(args.delay, args.port, completion(not args.no_logprobs)))


if __name__ == "__main__":
    main()
