"""How vLLM is started for a model on this machine: the same in process and as a server."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flawscribe.errors import SetupError
from flawscribe.models import ModelRef
from flawscribe.presets import ALLOWANCE, CONTEXT, cached, preset_of

CPU_SEQUENCES, GPU_SEQUENCES = 32, 256
"""Answers written at once."""
READY = 32
"""Requests under way beyond those, so that the next ones' pictures are ready."""
_USABLE = 0.92
"""Of a GPU's memory: what vLLM takes unless told otherwise."""
ENVIRONMENT = {"VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1"}
CPU_ENVIRONMENT = {"VLLM_CPU_KVCACHE_SPACE": "1"}


@dataclass(frozen=True)
class Machine:
    """What vLLM runs on: the memory of each GPU in gigabytes (10^9 bytes); none stands for the CPU."""

    gpus: tuple[float, ...] = ()


def this_machine() -> Machine:
    """The GPUs that vLLM would use, in its own eyes: CUDA_VISIBLE_DEVICES and the like are heeded."""
    from vllm.platforms import current_platform

    if current_platform.is_cpu():
        return Machine()
    count = current_platform.device_count()
    return Machine(tuple(current_platform.get_device_total_memory(i) / 1e9 for i in range(count)))


def arguments(model: ModelRef, machine: Machine) -> dict[str, Any]:
    """Arguments of vLLM's engine by name; a server takes the same as flags.

    One picture a request, no code from checkpoints, safetensors and never a pickle, the instructions cached, and the
    model spread over as few GPUs as hold it, with as many copies as the machine then holds. SetupError
    where it does not fit.
    """
    found: dict[str, Any] = {
        "model": model.path,
        "load_format": "safetensors",
        "limit_mm_per_prompt": {"image": 1, "video": 0},
        "enable_prefix_caching": True,
        "structured_outputs_config": {"backend": "xgrammar"},
    }
    if model.kind == "hub":
        found["revision"] = model.revision
    if (context := _context(model)) is not None:
        found["max_model_len"] = context
    preset = preset_of(model.path)
    if preset is not None and preset.override:
        found["hf_overrides"] = {"architectures": [preset.architecture]}
    if not machine.gpus:
        return found | {"max_num_seqs": CPU_SEQUENCES, "dtype": "float32", "enforce_eager": True}
    tensor, data = _spread(model, machine)
    found["max_num_seqs"] = GPU_SEQUENCES
    if tensor > 1:
        found["tensor_parallel_size"] = tensor
    if data > 1:
        found["data_parallel_size"] = data
    return found


def window(machine: Machine, found: dict[str, Any]) -> int:
    """How many requests to have under way with these arguments."""
    return int(found.get("data_parallel_size", 1) * (found["max_num_seqs"] + READY))


def _spread(model: ModelRef, machine: Machine) -> tuple[int, int]:
    """GPUs a copy (a power of two, as attention heads are split evenly), and copies."""
    shared = _weights(model)  # gigabytes, divided among a copy's GPUs
    each = _USABLE * min(machine.gpus) - ALLOWANCE
    tensor = 1
    while tensor <= len(machine.gpus):
        if shared <= tensor * each:
            return tensor, len(machine.gpus) // tensor
        tensor *= 2
    raise SetupError(
        f"{model.name} needs {shared + ALLOWANCE:.0f} GB of GPU memory or more; here are {len(machine.gpus)} GPUs of "
        f"{min(machine.gpus):.0f} GB"
    )


def _weights(model: ModelRef) -> float:
    """Gigabytes of weights (of a preset: and of one context's cache); 0 where not known before the download."""
    if (preset := preset_of(model.path)) is not None:
        return preset.memory - ALLOWANCE
    folder = _folder(model)
    return sum(file.stat().st_size for file in folder.glob("*.safetensors")) / 1e9 if folder else 0.0


def _folder(model: ModelRef) -> Path | None:
    return cached(model.path, model.revision) if model.kind == "hub" else Path(model.path)


def _context(model: ModelRef) -> int | None:
    """The model's context, at most CONTEXT; None where its config is not here and its file tells nothing."""
    if (preset := preset_of(model.path)) is not None:
        return min(preset.context, CONTEXT)
    folder = _folder(model)
    if folder is None:
        return _fetched_context(model)
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        parts = (config.get("text_config"), config.get("language_config"), config.get("llm_config"), config)
        limits = [
            part["max_position_embeddings"] for part in parts if part and "max_position_embeddings" in part
        ]
        return min(int(limits[0]), CONTEXT) if limits else None
    except (OSError, ValueError, TypeError, AttributeError) as e:
        raise SetupError(f"{folder}/config.json is not a model's: {e}") from e


def _fetched_context(model: ModelRef) -> int | None:
    from transformers import AutoConfig

    try:
        config = AutoConfig.from_pretrained(model.path, revision=model.revision, trust_remote_code=False)
    except (OSError, ValueError):  # vLLM says better what is wrong with it
        return None
    return min(getattr(config.get_text_config(), "max_position_embeddings", CONTEXT), CONTEXT)
