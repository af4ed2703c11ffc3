"""Asking a model: one small interface and its implementations.

    engine, reason = build("auto", resolve_model("nano"))
    for request, answer in engine.stream(iter([Request(id="1", user="Assess this image.", image="a.png")])):
        ...
    engine.close()

`stream` pulls its requests lazily and keeps a bounded window of them in flight, so memory does not
grow with the input; a request that fails yields a typed `Fault` and the rest goes on.
"""

from engines.base import Answer, Engine, Fault, Request, Token
from engines.registry import ENGINES, Options, build, served_model

__all__ = ["ENGINES", "Answer", "Engine", "Fault", "Options", "Request", "Token", "build", "served_model"]
