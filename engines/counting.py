"""Counting a request's tokens without asking a model: by its own processor where that is at hand, else by rules."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from engines.base import Request
from engines.picture_tokens import rule_of
from flawscribe.errors import UserError
from flawscribe.images import load_image, shown_size
from flawscribe.models import ModelRef, resolve_model

LETTERS = 4  # characters a token, a rule of thumb for English


@dataclass(frozen=True)
class Counter:
    """`prompt` counts the tokens of a request, None where nobody knows what its picture takes; `text` those of a text.

    `how` tells in words what was counted by what.
    """

    prompt: Callable[[Request], int | None]
    text: Callable[[str], int]
    how: dict[str, str]


def counter_of(model: ModelRef) -> Counter:
    """The best way to count for a model. Nothing is fetched."""
    return _by_processor(model) or _by_rules(model.name)


def _by_rules(name: str) -> Counter:
    rule = rule_of(name)

    def text(told: str) -> int:
        return -(-len(told) // LETTERS)

    def prompt(request: Request) -> int | None:
        words = text(f"{request.system or ''}{request.user}")
        if request.image is None:
            return words
        if rule is None:
            return None
        return words + rule.tokens(*shown_size(request.image, request.box, request.max_pixels))

    told = rule.source if rule else f"unknown: no rule for {name!r}"
    return Counter(prompt, text, {"text": f"characters / {LETTERS}, roughly", "pictures": told})


def _by_processor(model: ModelRef) -> Counter | None:
    """By the model's own tokenizer, chat template and picture processor; None where they are not at hand."""
    if not (find_spec("transformers") and find_spec("torch")):
        return None
    try:
        at = resolve_model(model.name) if model.kind == "served" else model
    except UserError:
        return None
    processor = _processor(at)
    if processor is None:
        return None

    def prompt(request: Request) -> int | None:
        user: list[dict[str, str]] = [{"type": "text", "text": request.user}]
        if request.image is not None:
            user.insert(0, {"type": "image"})
        system = [{"type": "text", "text": request.system}] if request.system else []
        turns = [{"role": "system", "content": system}] if system else []
        try:
            text = _rendered(processor, [*turns, {"role": "user", "content": user}])
        except Exception:  # a template without a system role, as the engines meet it
            text = _rendered(processor, [{"role": "user", "content": [*system, *user]}])
        images = None
        if request.image is not None:
            images = [[load_image(request.image, request.box, request.max_pixels)]]
        found = processor(text=[text], images=images, add_special_tokens=False, return_tensors="pt")
        return int(found["input_ids"].shape[1])

    def text(told: str) -> int:
        return len(processor.tokenizer(told, add_special_tokens=False)["input_ids"])

    told = f"{at.name}'s own processor"
    return Counter(prompt, text, {"text": told, "pictures": told})


def _rendered(processor: Any, messages: list[dict[str, Any]]) -> Any:
    return processor.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)


def _processor(model: ModelRef) -> Any:
    import transformers

    verbosity = transformers.logging.get_verbosity()
    transformers.logging.set_verbosity_error()
    try:
        return transformers.AutoProcessor.from_pretrained(
            model.path,
            revision="main" if os.path.isdir(model.path) else model.revision,
            trust_remote_code=False,
            local_files_only=True,
        )
    except Exception:  # not here, or not one that transformers can load: the rules are left
        return None
    finally:
        transformers.logging.set_verbosity(verbosity)
