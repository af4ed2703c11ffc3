"""A fake judge server. It judges nothing: its answers are the test's."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class FakeJudge(ThreadingHTTPServer):
    """`respond(criterion, body)` gives the answer's text, or `(status, message)` for an error."""

    daemon_threads = True

    def __init__(self, respond: Callable[[str, dict[str, Any]], str | tuple[int, str]]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.respond = respond
        self.bodies: list[dict[str, Any]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"


class _Handler(BaseHTTPRequestHandler):
    server: FakeJudge

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.bodies.append(body)
        criterion = (
            "completeness" if "Criterion: completeness" in body["messages"][0]["content"] else "precision"
        )
        answer = self.server.respond(criterion, body)
        if isinstance(answer, tuple):
            self._send(
                answer[0], {"error": {"message": answer[1], "type": "error", "param": None, "code": None}}
            )
            return
        message = {"role": "assistant", "content": answer}
        choice = {"index": 0, "finish_reason": "stop", "message": message, "logprobs": None}
        usage = {"prompt_tokens": 100, "completion_tokens": 5, "total_tokens": 105}
        self._send(
            200,
            {
                "id": "x",
                "object": "chat.completion",
                "created": 0,
                "model": "fake",
                "choices": [choice],
                "usage": usage,
            },
        )

    def _send(self, status: int, answer: dict[str, Any]) -> None:
        data = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def serving(respond: Callable[[str, dict[str, Any]], str | tuple[int, str]]) -> Iterator[FakeJudge]:
    """Run the fake judge in a thread while the block lasts."""
    server = FakeJudge(respond)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
