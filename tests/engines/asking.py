"""Asking a fake server through the openai engine."""

from typing import Any

from engines import Answer, Fault, Request, build, served_model

KEY = "sk-secret-123"


def ask(url: str, n: int = 1, model: str = "nano-7", **options: Any) -> list[Answer | Fault]:
    """Answers to n requests, in the requests' order."""
    options = {"retries": 2, "timeout": 5, **options}
    engine, _ = build("auto", served_model(model), base_url=url, **options)
    try:
        found = dict(engine.stream(Request(id=str(i), user=f"Look {i}", max_tokens=64) for i in range(n)))
        return [found[request] for request in sorted(found, key=lambda r: int(r.id))]
    finally:
        engine.close()
