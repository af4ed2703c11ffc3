"""Choosing an engine by name, or by what is installed and reachable."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module, metadata
from importlib.util import find_spec
from typing import Any

from engines.base import Engine
from flawscribe.errors import SetupError, UserError, did_you_mean
from flawscribe.models import ModelRef

ENGINES = {
    "transformers": "engines.transformers_engine:build",
    "vllm": "engines.vllm_engine:build",
    "openai": "engines.openai_engine:build",
    "replay": "engines.replay:build",
}
_OWN = {
    "model": "it is --model",
    "messages": "they are the protocol's",
    "stream": "answers are taken whole",
    "n": "a request has one answer",
    "temperature": "it is --temperature",
    "seed": "it is --seed",
    "max_tokens": "it is --max-tokens",
    "max_completion_tokens": "it is --max-tokens",
    "max_new_tokens": "it is --max-tokens",
    "response_format": "answers are JSON",
    "structured_outputs": "answers are JSON",
    "logits_processor": "answers are JSON",
    "logprobs": "P(defective) needs them",
    "top_logprobs": "P(defective) needs them",
}
MEDIA = ("data", "file")
WAIT = 300.0  # seconds
LONGEST_TIMEOUT = 86_400  # seconds; sockets take no infinity


@dataclass(frozen=True)
class Options:
    """How to reach and feed a model. `window` None leaves the number of requests in flight to the engine.

    `timeout` (seconds) and `retries` are the openai engine's, for one request, and `wait` its seconds of
    patience with a server that has gone; `replay` is the file of recorded answers. `params` go to the model
    as they are: fields of a request to a server, of vLLM's SamplingParams, of transformers' GenerationConfig.
    `media` is how a server gets pictures: "data", their bytes, or "file", their paths on a disk that both read.
    """

    base_url: str | None = None
    api_key_env: str = "OPENAI_API_KEY"
    window: int | None = None
    timeout: float = 120.0
    retries: int = 4
    replay: str | None = None
    wait: float = WAIT
    params: Mapping[str, Any] = field(default_factory=dict)
    media: str = "data"


def build(
    name: str,
    model: ModelRef,
    *,
    base_url: str | None = None,
    api_key_env: str = "OPENAI_API_KEY",
    window: int | None = None,
    timeout: float = 120.0,
    retries: int = 4,
    replay: str | None = None,
    wait: float = WAIT,
    params: Mapping[str, Any] | None = None,
    media: str = "data",
) -> tuple[Engine, str]:
    """The engine `name` ("auto" chooses) with `model` loaded, and one line telling why this engine."""
    chosen, reason = choose(name, base_url)
    options = Options(
        base_url, api_key_env, window, timeout, retries, replay, wait, check_params(params or {}), media
    )
    if media not in MEDIA:
        raise UserError(f"--media must be {' or '.join(MEDIA)}, not {media!r}")
    if media == "file" and chosen != "openai":
        raise UserError(f"--media file is for servers (--base-url): {chosen} reads the files itself")
    if window is not None and window < 1:
        raise UserError("the window of requests in flight must be at least 1")
    if not 0 < timeout <= LONGEST_TIMEOUT:  # NaN too is refused
        raise UserError(f"--timeout must be seconds above 0 and at most {LONGEST_TIMEOUT}, not {timeout}")
    if not 0 <= wait <= LONGEST_TIMEOUT:
        raise UserError(f"--wait must be from 0 to {LONGEST_TIMEOUT} seconds, not {wait}")
    module, attribute = ENGINES[chosen].split(":")
    engine: Engine = getattr(import_module(module), attribute)(model, options)
    return engine, reason


def check_params(params: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters; UserError for one that is flawscribe's own to set."""
    for name in params:
        if (option := _OWN.get(name)) is not None:
            raise UserError(f"--param {name} is not to be given: {option}")
    return dict(params)


def choose(name: str, base_url: str | None = None) -> tuple[str, str]:
    """The name of the engine to use and the reason; UserError for an unknown name or a contradiction."""
    if name != "auto" and name not in ENGINES:
        raise UserError(f"there is no engine {name!r}.{did_you_mean(name, [*ENGINES, 'auto'])}")
    if base_url is not None and name not in ("auto", "openai"):
        raise UserError(f"--base-url needs --engine openai (or auto), not {name}")
    if name != "auto":
        return name, f"{name}: asked for"
    if base_url is not None:
        return "openai", "openai: a base URL was given"
    if _installed("vllm") and _cuda():
        return "vllm", "vllm: a CUDA device is there and vllm is installed"
    if find_spec("torch") and find_spec("transformers"):
        why = "there is no CUDA device for vLLM" if not _cuda() else "vllm is not installed"
        return "transformers", f"transformers: {why}"
    raise SetupError(
        "no engine can run here: install the models' packages (pip install 'flawscribe[torch]'), "
        "or name a server with --base-url"
    )


def is_served(name: str, base_url: str | None) -> bool:
    """Whether the engine `name` asks a server, so that the model is whatever the server calls it."""
    return name == "openai" or (name == "auto" and base_url is not None)


def served_model(name: str) -> ModelRef:
    """A model known only by the name under which a server offers it."""
    return ModelRef(name=name, path=name, revision="served", kind="served")


def _installed(distribution: str) -> bool:
    try:
        metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return False
    return True


def _cuda() -> bool:
    if not find_spec("torch"):
        return False
    import torch

    return torch.cuda.is_available()
