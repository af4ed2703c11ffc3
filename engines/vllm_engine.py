"""A model in this process through vLLM, on GPUs or the CPU."""

import asyncio
import gc
import itertools
import os
import re
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from typing import Any

from engines.vllm_arguments import CPU_ENVIRONMENT, ENVIRONMENT, arguments, this_machine
from engines.vllm_arguments import window as window_of

# Read by vLLM when it is imported. HF_HUB_OFFLINE is left to the user: a hub model may need a download.
for _name, _value in {**ENVIRONMENT, **CPU_ENVIRONMENT, "VLLM_LOGGING_LEVEL": "ERROR"}.items():
    os.environ.setdefault(_name, _value)

from vllm import SamplingParams  # noqa: E402
from vllm.config import StructuredOutputsConfig  # noqa: E402
from vllm.engine.arg_utils import AsyncEngineArgs  # noqa: E402
from vllm.exceptions import VLLMClientError  # noqa: E402
from vllm.platforms import current_platform  # noqa: E402
from vllm.renderers import ChatParams  # noqa: E402
from vllm.sampling_params import RequestOutputKind, StructuredOutputsParams  # noqa: E402
from vllm.v1.engine.async_llm import AsyncLLM  # noqa: E402

from engines.base import TOP, Answer, Fault, Request, Token, with_picture  # noqa: E402
from engines.descriptors import children_on_stderr  # noqa: E402
from engines.feed import feed  # noqa: E402
from engines.grammar import grammar  # noqa: E402
from engines.prefix_cache import PrefixCache  # noqa: E402
from engines.registry import Options  # noqa: E402
from flawscribe.errors import SetupError, UserError, one_line  # noqa: E402
from flawscribe.images import ImageFailure, shown_image  # noqa: E402
from flawscribe.models import ModelRef  # noqa: E402
from flawscribe.records import FailureKind, Usage  # noqa: E402


class VLLMEngine:
    """vLLM's asynchronous engine: a copy of the model on every GPU, or on as few as hold it.

    Decoding is constrained to the request's schema.
    Its event loop runs in a thread of its own, so that pictures are prepared and answers taken while the
    consumer works. float32 without compilation on the CPU, vLLM's own choices on a GPU. Log-probabilities
    are those after the grammar's mask.
    """

    name = "vllm"

    def __init__(
        self, model: ModelRef, window: int | None = None, params: Mapping[str, Any] | None = None
    ) -> None:
        self._params = dict(params or {})
        try:
            SamplingParams(**self._params)
        except (TypeError, ValueError) as e:
            raise UserError(f"--param: vLLM's SamplingParams do not take that: {one_line(e)}") from e
        machine = this_machine()
        found = arguments(model, machine)
        self._window = window or window_of(machine, found)
        self._gpus = len(machine.gpus)
        self._copies = found.get("data_parallel_size", 1)
        self._system_role = True
        self._cache = PrefixCache()
        self._numbers = itertools.count()
        structured = StructuredOutputsConfig(**found.pop("structured_outputs_config"))
        try:
            with children_on_stderr():
                self._llm = AsyncLLM.from_engine_args(
                    AsyncEngineArgs(
                        **found,
                        structured_outputs_config=structured,
                        trust_remote_code=False,
                        mm_processor_cache_gb=0,
                        disable_log_stats=True,
                    )
                )
        except (
            Exception
        ) as e:  # vLLM reports a failed start through many classes, its own engine's among them
            raise SetupError(f"vLLM cannot load the model {model.path}: {one_line(e)}") from e
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="vllm", daemon=True)
        self._thread.start()

    def stream(self, requests: Iterator[Request | None]) -> Iterator[tuple[Request, Answer | Fault]]:
        """Answers as they come."""
        return feed(requests, self._ask, self._window)

    def _ask(self, request: Request) -> "Future[Answer | Fault]":
        return asyncio.run_coroutine_threadsafe(self._outcome(request), self._loop)

    async def _outcome(self, request: Request) -> Answer | Fault:
        """The answer; the fault of a request that vLLM refuses. SetupError where its engine died."""
        system_role = self._system_role
        try:
            messages, note = await asyncio.to_thread(_messages, request, system_role)
            return with_picture(await self._answer(messages, self._parameters(request)), note)
        except ImageFailure as e:
            failure = e.failure("engine")
            return Fault(failure.kind, failure.message)
        except (VLLMClientError, ValueError, TypeError) as e:
            if system_role and request.system and re.search(r"\bsystem\b", str(e)):
                self._system_role = False
            if system_role and request.system and not self._system_role:
                return await self._outcome(request)
            overflow = "context length" in str(e) or "maximum model length" in str(e)
            kind = FailureKind.CONTEXT_OVERFLOW if overflow else FailureKind.BAD_REQUEST
            return Fault(kind, one_line(e))
        except Exception as e:  # the engine's process died: nothing further can be answered
            raise SetupError(f"vLLM stopped: {one_line(e)}; the same command goes on where it stopped") from e

    async def _answer(self, messages: list[Any], parameters: SamplingParams) -> Answer:
        renderer = self._llm.renderer
        # As vLLM's own chat does: the template sets a prompt's first token, the tokenizer must not do it again.
        template = ChatParams(
            chat_template_kwargs={"add_generation_prompt": True, "continue_final_message": False}
        )
        tokens = renderer.default_chat_tok_params.with_kwargs(add_special_tokens=False)
        _, (prompt,) = await renderer.render_chat_async([messages], template, tokens)
        number = str(next(self._numbers))
        (output,) = [found async for found in self._llm.generate(prompt, parameters, number)]
        pictures = prompt.get("mm_placeholders", {}).get("image")
        if pictures:
            block = self._llm.vllm_config.cache_config.block_size
            self._cache.count(pictures[0].offset, block, output.num_cached_tokens or 0)
        return _answer_of(output)

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
            output_kind=RequestOutputKind.FINAL_ONLY,
            **self._params,
        )

    def facts(self) -> dict[str, Any]:
        """Platform, precision, window, context length, and what of the instructions was cached."""
        config = self._llm.model_config
        return {
            "name": self.name,
            "device": current_platform.device_name if self._gpus else "cpu",
            **({"gpus": self._gpus, "copies": self._copies} if self._gpus else {}),
            "dtype": str(config.dtype).removeprefix("torch."),
            "window": self._window,
            "context": config.max_model_len,
            "system_role": self._system_role,
            **self._cache.facts(),
        }

    def close(self) -> None:
        """End the engine's processes and free their memory."""
        self._llm.shutdown()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        del self._llm
        gc.collect()


def build(model: ModelRef, options: Options) -> VLLMEngine:
    """The engine with `model` loaded."""
    return VLLMEngine(model, options.window, options.params)


def _messages(request: Request, system_role: bool = True) -> tuple[list[Any], str]:
    """System text, then the image, then the user's text; all in the user's turn without a system role.

    With them comes what was changed of the image, "" where nothing.
    """
    content: list[dict[str, Any]] = [{"type": "text", "text": request.user}]
    note = ""
    if request.image is not None:
        image, note = shown_image(request.image, request.box, request.max_pixels)
        content.insert(0, {"type": "image_pil", "image_pil": image})
    messages: list[Any] = [{"role": "user", "content": content}]
    if request.system and system_role:
        messages.insert(0, {"role": "system", "content": request.system})
    elif request.system:
        content.insert(0, {"type": "text", "text": request.system})
    return messages, note


def _answer_of(output: Any) -> Answer:
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
    usage = Usage(
        prompt_tokens=len(output.prompt_token_ids or ()),
        completion_tokens=len(first.token_ids),
        cached_tokens=output.num_cached_tokens or 0,
    )
    return Answer(first.text, first.finish_reason or "stop", tokens, usage)
