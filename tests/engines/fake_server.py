"""A fake OpenAI-compatible server that misbehaves on demand: it holds no model."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

GOOD = '{"Defective": true, "Description": ["The left hand has six fingers."]}'


class FakeServer(ThreadingHTTPServer):
    """`respond(body, n)` gives `(status, body[, headers])` for the n-th call, from 0.

    The body is an object to send as JSON, bytes, or an iterator of bytes that are sent as they come.
    """

    daemon_threads = True

    request_queue_size = 128

    def __init__(self, respond: Callable[[dict[str, Any], int], tuple[Any, ...]], port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.respond = respond
        self.models: Any = {"object": "list", "data": [{"id": "nano-7", "object": "model"}]}
        self.bodies: list[dict[str, Any]] = []
        self.raw: list[bytes] = []
        self.keys: list[str] = []
        self.lock = threading.Lock()
        self.in_flight = self.most_in_flight = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"


class _Handler(BaseHTTPRequestHandler):
    server: FakeServer

    def do_GET(self) -> None:
        self._send(200, self.server.models)

    def do_POST(self) -> None:
        raw = self.rfile.read(int(self.headers["Content-Length"]))
        body = json.loads(raw)
        with self.server.lock:
            n = len(self.server.bodies)
            self.server.bodies.append(body)
            self.server.raw.append(self.headers.as_bytes() + raw)
            self.server.keys.append(self.headers["Authorization"])
            self.server.in_flight += 1
            self.server.most_in_flight = max(self.server.most_in_flight, self.server.in_flight)
        try:
            answer = self.server.respond(body, n)
        finally:
            # Before the answer is out: the client's next call may else arrive while this one still counts.
            with self.server.lock:
                self.server.in_flight -= 1
        self._send(*answer)

    def _send(self, status: int, answer: Any, headers: dict[str, str] | None = None) -> None:
        parts = answer
        kind = {"Content-Type": "application/json"}
        if not isinstance(answer, Iterator):
            parts = [answer if isinstance(answer, bytes) else json.dumps(answer).encode()]
            kind["Content-Length"] = str(len(parts[0]))
        try:
            self.send_response(status)
            for name, value in {**kind, **(headers or {})}.items():
                self.send_header(name, value)
            self.end_headers()
            for part in parts:
                self.wfile.write(part)
        except OSError:
            pass  # the client gave up

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def serving(
    respond: Callable[[dict[str, Any], int], tuple[Any, ...]], port: int = 0, models: Any = None
) -> Iterator[FakeServer]:
    """Run the fake server in a thread while the block lasts, on a free port or the given one."""
    server = FakeServer(respond, port)
    server.models = models or server.models
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


def completion(text: str | None = GOOD, finish: str = "stop", **more: Any) -> dict[str, Any]:
    """A chat completion's body, with the alternatives of its boolean where there is one."""
    content = []
    if text and "true" in text:
        head, _, tail = text.partition("true")
        content = [
            _token(head, [(head, 0.0)]),
            _token("true", [("true", -0.105), ("false", -2.303)]),
            _token(tail, [(tail, 0.0)]),
        ]
    return {
        "id": "x",
        "object": "chat.completion",
        "created": 0,
        "model": "nano-7",
        "choices": [
            {
                "index": 0,
                "finish_reason": finish,
                "message": {"role": "assistant", "content": text, **more},
                "logprobs": {"content": content},
            }
        ],
        "usage": {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18},
    }


def error(message: str, code: str | None = None) -> dict[str, Any]:
    """An error's body as servers send it."""
    return {"error": {"message": message, "type": "error", "param": None, "code": code}}


def _token(text: str, top: list[tuple[str, float]]) -> dict[str, Any]:
    tops = [{"token": t, "logprob": p, "bytes": None} for t, p in top]
    return {"token": text, "logprob": top[0][1], "bytes": None, "top_logprobs": tops}
