"""A model in this process through transformers, on the CPU or one GPU."""

import functools
import json
import os
from collections.abc import Iterator, Mapping
from typing import Any

import torch
import transformers
import xgrammar
from transformers import (
    AutoConfig,
    AutoModelForImageTextToText,
    AutoProcessor,
    GenerationConfig,
    LogitsProcessor,
    LogitsProcessorList,
)
from xgrammar.contrib.hf import LogitsProcessor as GrammarMask

from engines.base import TOP, Answer, Fault, Request, Token, chunks, with_picture
from engines.grammar import grammar
from engines.registry import Options
from flawscribe.errors import SetupError, UserError, one_line
from flawscribe.images import ImageFailure, shown_image
from flawscribe.models import ModelRef
from flawscribe.records import FailureKind, Usage

BATCH_CPU, BATCH_CUDA = 8, 16


class TransformersEngine:
    """Greedy decoding in left-padded batches; requests with a temperature go one by one under their seed.

    float32 on the CPU, bfloat16 on a GPU. Decoding is constrained to the request's schema; log-probabilities
    are those after the grammar's mask.
    """

    name = "transformers"

    def __init__(
        self,
        path: str,
        revision: str | None,
        batch: int | None = None,
        params: Mapping[str, Any] | None = None,
    ) -> None:
        self._params = dict(params or {})
        for name in self._params:
            if not hasattr(GenerationConfig(), name):
                raise UserError(f"--param {name}: transformers' GenerationConfig has no such field")
        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        self._dtype = torch.bfloat16 if self._device == "cuda" else torch.float32
        self._batch = batch or (BATCH_CUDA if self._device == "cuda" else BATCH_CPU)
        common = {
            "revision": revision or "main",
            "trust_remote_code": False,
            "local_files_only": os.path.isdir(path),
        }
        with _quiet():
            try:
                AutoConfig.from_pretrained(path, **common)  # the quickest to say that there is no such model
                self._processor = AutoProcessor.from_pretrained(path, **common)
                model: Any = AutoModelForImageTextToText.from_pretrained(
                    path, dtype=self._dtype, use_safetensors=True, **common
                )
                self._model = model.to(self._device).eval()
                self._tokenizer = self._processor.tokenizer
                self._tokenizer.padding_side = "left"
                if self._tokenizer.pad_token_id is None:
                    self._tokenizer.pad_token = self._tokenizer.eos_token
                text = self._model.config.get_text_config()
                self._context: int | None = getattr(text, "max_position_embeddings", None)
                self._ends = _end_ids(
                    self._model.generation_config.eos_token_id, self._tokenizer.eos_token_id
                )
            except Exception as e:  # a damaged or foreign checkpoint fails in any class of many libraries
                raise SetupError(f"cannot load the model {path}: {_told(e)}") from e
            try:
                self._chat(Request(id="", system="Rules.", user="Look.", image=path))
            except Exception as e:  # a chat template is a program: it can fail in any way
                raise SetupError(f"the chat template of {path} fails: {_told(e)}") from e
        self._compiled: tuple[str, xgrammar.CompiledGrammar] | None = None
        self._piece = functools.lru_cache(maxsize=65536)(lambda i: self._tokenizer.decode([i]))

    def stream(self, requests: Iterator[Request | None]) -> Iterator[tuple[Request, Answer | Fault]]:
        """Answers batch by batch, in order within a batch."""
        for chunk in chunks(requests, self._batch):
            outcomes: dict[int, Answer | Fault] = {}
            inputs: dict[int, tuple[str, Any]] = {}
            notes: dict[int, str] = {}
            for i, request in enumerate(chunk):
                try:
                    image = None
                    if request.image is not None:
                        image, notes[i] = shown_image(request.image, request.box, request.max_pixels)
                    inputs[i] = (self._chat(request), image)
                except ImageFailure as e:
                    failure = e.failure("engine")
                    outcomes[i] = Fault(failure.kind, failure.message)
                except Exception as e:  # the chat template, a program of the model's, on this row's text
                    outcomes[i] = Fault(FailureKind.BAD_REQUEST, f"the chat template fails: {_told(e)}")
            for group in _groups(chunk, inputs):
                found = self._try([chunk[i] for i in group], [inputs[i] for i in group])
                outcomes.update(zip(group, found, strict=True))
            yield from ((r, with_picture(outcomes[i], notes.get(i, ""))) for i, r in enumerate(chunk))

    def _chat(self, request: Request) -> str:
        """The rendered conversation: system text, then the image, then the user's text."""
        user: list[dict[str, str]] = [{"type": "text", "text": request.user}]
        if request.image is not None:
            user.insert(0, {"type": "image"})
        messages = [{"role": "user", "content": user}]
        if request.system:
            system = {"type": "text", "text": request.system}
            messages.insert(0, {"role": "system", "content": [system]})
        try:
            return self._render(messages)
        except Exception:  # a template without a system role: the instructions open the user's turn
            if not request.system:
                raise
            return self._render([{"role": "user", "content": [system, *user]}])

    def _render(self, messages: list[dict[str, Any]]) -> str:
        return self._processor.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)

    def _try(self, requests: list[Request], inputs: list[tuple[str, Any]]) -> list[Answer | Fault]:
        """Answer a batch; where it fails as a whole, each request alone: one bad row costs one row."""
        try:
            return self._generate(requests, inputs)
        except (RuntimeError, ValueError, IndexError, TypeError, OSError) as e:
            if len(requests) == 1:
                out_of_memory = isinstance(e, torch.OutOfMemoryError)
                kind = FailureKind.SERVER_ERROR if out_of_memory else FailureKind.BAD_REQUEST
                return [Fault(kind, one_line(f"{type(e).__name__}: {e}"))]
            return [self._try([r], [i])[0] for r, i in zip(requests, inputs, strict=True)]

    def _generate(self, requests: list[Request], inputs: list[tuple[str, Any]]) -> list[Answer | Fault]:
        encoded = self._encode(inputs)
        lengths = encoded["attention_mask"].sum(dim=1).tolist()
        fits = [
            n + r.max_tokens <= (self._context or n + r.max_tokens)
            for n, r in zip(lengths, requests, strict=True)
        ]
        if not all(fits):
            kept = [i for i, fit in enumerate(fits) if fit]
            found = iter(
                self._generate([requests[i] for i in kept], [inputs[i] for i in kept]) if kept else []
            )
            return [
                next(found) if fit else self._overflow(n, r)
                for fit, n, r in zip(fits, lengths, requests, strict=True)
            ]
        first = requests[0]
        sampling: dict[str, Any] = {"do_sample": False}
        if first.temperature > 0:
            torch.manual_seed(first.seed)
            sampling = {"do_sample": True, "temperature": first.temperature, "top_p": 1.0, "top_k": 0}
        recorder = _TopRecorder()
        processors = LogitsProcessorList([*self._mask(first.schema), recorder])
        with torch.inference_mode(), _quiet():
            out = self._model.generate(
                **encoded.to(self._device, dtype=self._dtype),
                max_new_tokens=first.max_tokens,
                pad_token_id=self._tokenizer.pad_token_id,
                logits_processor=processors,
                **{**sampling, **self._params},
            )
        new = out[:, encoded["input_ids"].shape[1] :].tolist()
        return [self._answer(ids, recorder, row, lengths[row]) for row, ids in enumerate(new)]

    def _encode(self, inputs: list[tuple[str, Any]]) -> Any:
        texts = [text for text, _ in inputs]
        images = [[image] for _, image in inputs] if inputs[0][1] is not None else None
        return self._processor(
            text=texts, images=images, padding=True, add_special_tokens=False, return_tensors="pt"
        )

    def _mask(self, schema: dict[str, Any] | None) -> list[LogitsProcessor]:
        """What keeps one batch to the schema; nothing without one. The grammar is compiled once."""
        if schema is None:
            return []
        text = grammar(schema)
        if self._compiled is None or self._compiled[0] != text:
            info = xgrammar.TokenizerInfo.from_huggingface(
                self._tokenizer,
                vocab_size=self._model.config.get_text_config().vocab_size,
                stop_token_ids=sorted(self._ends),
            )
            self._compiled = text, xgrammar.GrammarCompiler(info).compile_grammar(text)
        return [GrammarMask(self._compiled[1])]

    def _overflow(self, length: int, request: Request) -> Fault:
        told = (
            f"{length} tokens and {request.max_tokens} for the answer exceed the context of {self._context}"
        )
        return Fault(FailureKind.CONTEXT_OVERFLOW, told)

    def _answer(self, ids: list[int], recorder: "_TopRecorder", row: int, prompt_tokens: int) -> Answer:
        end = next((i for i, token in enumerate(ids) if token in self._ends), None)
        kept = ids[:end]
        tokens = tuple(
            Token(self._piece(token), tuple((self._piece(i), p) for i, p in recorder.top(step, row)))
            for step, token in enumerate(kept)
        )
        return Answer(
            text=self._tokenizer.decode(kept, skip_special_tokens=True),
            finish_reason="length" if end is None else "stop",
            tokens=tokens,
            usage=Usage(prompt_tokens=prompt_tokens, completion_tokens=len(kept) + (end is not None)),
        )

    def facts(self) -> dict[str, Any]:
        """Device, precision and batch size."""
        return {
            "name": self.name,
            "device": self._device,
            "dtype": str(self._dtype).removeprefix("torch."),
            "batch": self._batch,
        }

    def close(self) -> None:
        """Let go of the weights."""
        del self._model
        if self._device == "cuda":
            torch.cuda.empty_cache()


class _TopRecorder(LogitsProcessor):
    """Keeps each step's likeliest tokens and leaves the scores alone (whole logits would fill the memory)."""

    def __init__(self) -> None:
        self._steps: list[tuple[torch.Tensor, torch.Tensor]] = []

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor) -> torch.FloatTensor:
        logs = torch.log_softmax(scores.float(), dim=-1)
        values, indices = logs.topk(min(TOP, logs.shape[-1]), dim=-1)
        self._steps.append((indices.cpu(), values.cpu()))
        return scores

    def top(self, step: int, row: int) -> Iterator[tuple[int, float]]:
        """Token ids with their log-probabilities, likeliest first."""
        indices, values = self._steps[step]
        return zip(indices[row].tolist(), values[row].tolist(), strict=True)


class _quiet:
    """transformers without progress bars and advice."""

    def __enter__(self) -> None:
        self._verbosity = transformers.logging.get_verbosity()
        self._bars = transformers.logging.is_progress_bar_enabled()
        transformers.logging.set_verbosity_error()
        transformers.logging.disable_progress_bar()

    def __exit__(self, *_: object) -> None:
        transformers.logging.set_verbosity(self._verbosity)
        if self._bars:
            transformers.logging.enable_progress_bar()


def build(model: ModelRef, options: Options) -> TransformersEngine:
    """The engine with `model` loaded."""
    revision = model.revision if model.kind == "hub" else None
    return TransformersEngine(model.path, revision, options.window, options.params)


def _told(error: Exception) -> str:
    return one_line(f"{type(error).__name__}: {error}")


def _groups(chunk: list[Request], inputs: dict[int, Any]) -> list[list[int]]:
    """Indices that can share a batch: greedy, with the same length, all with a picture or all without."""
    groups: dict[Any, list[int]] = {}
    for i in inputs:
        request = chunk[i]
        shared = (request.image is None, request.max_tokens, json.dumps(request.schema))
        key = shared if request.temperature <= 0 else i
        groups.setdefault(key, []).append(i)
    return list(groups.values())


def _end_ids(*found: int | list[int] | None) -> frozenset[int]:
    ids: set[int] = set()
    for value in found:
        ids.update(value if isinstance(value, list) else [] if value is None else [value])
    return frozenset(ids)
