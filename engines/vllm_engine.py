"""A model in this process through vLLM, on GPUs or the CPU."""

import gc
import os
import re
from collections.abc import Iterator, Mapping
from typing import Any

# Read by vLLM when it is imported. HF_HUB_OFFLINE is left to the user: a hub model may need a download.
for _name, _value in {
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
    "VLLM_LOGGING_LEVEL": "ERROR",
    "VLLM_CPU_KVCACHE_SPACE": "1",
}.items():
    os.environ.setdefault(_name, _value)

from transformers import AutoConfig  # noqa: E402
from vllm import LLM, SamplingParams  # noqa: E402
from vllm.exceptions import VLLMClientError  # noqa: E402
from vllm.platforms import current_platform  # noqa: E402
from vllm.sampling_params import StructuredOutputsParams  # noqa: E402

from engines.base import TOP, Answer, Fault, Request, Token, chunks  # noqa: E402
from engines.grammar import grammar  # noqa: E402
from engines.registry import Options  # noqa: E402
from flawscribe.errors import SetupError, UserError, one_line  # noqa: E402
from flawscribe.images import ImageFailure, load_image  # noqa: E402
from flawscribe.models import ModelRef  # noqa: E402
from flawscribe.records import FailureKind, Usage  # noqa: E402

SEQUENCES = 32
CONTEXT = 16384
"""The longest context asked for: a model's own limit may need more memory than one answer ever uses."""


class VLLMEngine:
    """Batches of a window through `LLM.chat`, decoding constrained to the request's schema.

    float32 without compilation on the CPU, vLLM's own choices on a GPU. Log-probabilities are those
    after the grammar's mask.
    """

    name = "vllm"

    def __init__(
        self,
        path: str,
        revision: str | None,
        window: int | None = None,
        params: Mapping[str, Any] | None = None,
    ) -> None:
        self._params = dict(params or {})
        try:
            SamplingParams(**self._params)
        except (TypeError, ValueError) as e:
            raise UserError(f"--param: vLLM's SamplingParams do not take that: {one_line(e)}") from e
        self._window = window or 2 * SEQUENCES
        self._system_role = True
        self._cpu = current_platform.is_cpu()
        arguments: dict[str, Any] = {"dtype": "float32", "enforce_eager": True} if self._cpu else {}
        try:
            self._llm = LLM(
                model=path,
                revision=revision,
                trust_remote_code=False,
                load_format="safetensors",  # and never a pickle
                max_model_len=_context(path, revision),
                max_num_seqs=SEQUENCES,
                limit_mm_per_prompt={"image": 1},
                mm_processor_cache_gb=0,
                structured_outputs_config={"backend": "xgrammar"},
                **arguments,
            )
        except (
            Exception
        ) as e:  # vLLM reports a failed start through many classes, its own engine's among them
            raise SetupError(f"vLLM cannot load the model {path}: {one_line(e)}") from e

    def stream(self, requests: Iterator[Request | None]) -> Iterator[tuple[Request, Answer | Fault]]:
        """Answers batch by batch, in order within a batch."""
        for chunk in chunks(requests, self._window):
            outcomes: dict[int, Answer | Fault] = {}
            messages: dict[int, list[Any]] = {}
            for i, request in enumerate(chunk):
                try:
                    messages[i] = _messages(request, self._system_role)
                except ImageFailure as e:
                    failure = e.failure("engine")
                    outcomes[i] = Fault(failure.kind, failure.message)
            found = self._try([chunk[i] for i in messages], list(messages.values()))
            outcomes.update(zip(messages, found, strict=True))
            yield from ((request, outcomes[i]) for i, request in enumerate(chunk))

    def _try(self, requests: list[Request], messages: list[list[Any]]) -> list[Answer | Fault]:
        """Answer a batch; where vLLM refuses one of it and so the whole, each request alone."""
        if not requests:
            return []
        parameters = [self._parameters(request) for request in requests]
        try:
            outputs = self._llm.chat(messages, parameters, use_tqdm=False)
        except (VLLMClientError, ValueError, TypeError) as e:
            if len(requests) > 1:
                return [self._try([r], [m])[0] for r, m in zip(requests, messages, strict=True)]
            if self._system_role and requests[0].system and re.search(r"\bsystem\b", str(e)):
                self._system_role = False
            if requests[0].system and messages[0][0]["role"] == "system" and not self._system_role:
                return self._try(requests, [_messages(requests[0], system_role=False)])
            overflow = "context length" in str(e) or "maximum model length" in str(e)
            kind = FailureKind.CONTEXT_OVERFLOW if overflow else FailureKind.BAD_REQUEST
            return [Fault(kind, one_line(e))]
        except Exception as e:  # the engine's process died: nothing further can be answered
            raise SetupError(f"vLLM stopped: {one_line(e)}; the same command goes on where it stopped") from e
        return [_answer(output) for output in outputs]

    def _parameters(self, request: Request) -> SamplingParams:
        structured = None
        if request.schema is not None:
            structured = StructuredOutputsParams(grammar=grammar(request.schema))
        return SamplingParams(
            temperature=request.temperature,
            max_tokens=request.max_tokens,
            seed=request.seed if request.temperature > 0 else None,
            logprobs=TOP,
            structured_outputs=structured,
            **self._params,
        )

    def facts(self) -> dict[str, Any]:
        """Platform, precision, window and context length."""
        config = self._llm.model_config
        return {
            "name": self.name,
            "device": "cpu" if self._cpu else current_platform.device_name,
            "dtype": str(config.dtype).removeprefix("torch."),
            "window": self._window,
            "context": config.max_model_len,
            "system_role": self._system_role,
        }

    def close(self) -> None:
        """End the engine's process and free its memory."""
        self._llm.llm_engine.engine_core.shutdown()
        del self._llm
        gc.collect()


def build(model: ModelRef, options: Options) -> VLLMEngine:
    """The engine with `model` loaded."""
    return VLLMEngine(
        model.path, model.revision if model.kind == "hub" else None, options.window, options.params
    )


def _context(path: str, revision: str | None) -> int:
    config = AutoConfig.from_pretrained(path, revision=revision or "main", trust_remote_code=False)
    return min(getattr(config.get_text_config(), "max_position_embeddings", CONTEXT), CONTEXT)


def _messages(request: Request, system_role: bool = True) -> list[Any]:
    """System text, then the image, then the user's text; all in the user's turn without a system role."""
    content: list[dict[str, Any]] = [{"type": "text", "text": request.user}]
    if request.image is not None:
        content.insert(0, {"type": "image_pil", "image_pil": load_image(request.image, request.box)})
    messages: list[Any] = [{"role": "user", "content": content}]
    if request.system and system_role:
        messages.insert(0, {"role": "system", "content": request.system})
    elif request.system:
        content.insert(0, {"type": "text", "text": request.system})
    return messages


def _answer(output: Any) -> Answer:
    first = output.outputs[0]
    tokens = None
    if first.logprobs is not None:
        tokens = tuple(
            Token(
                at[token].decoded_token or "",
                tuple((a.decoded_token or "", a.logprob) for a in at.values()),
            )
            for token, at in zip(first.token_ids, first.logprobs, strict=True)
        )
    usage = Usage(prompt_tokens=len(output.prompt_token_ids or ()), completion_tokens=len(first.token_ids))
    return Answer(first.text, first.finish_reason or "stop", tokens, usage)
