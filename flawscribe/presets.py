"""Models with a short name: what is known of each, and whether its weights are on this machine."""

import json
import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import yaml

CONTEXT = 16384
"""The longest context asked for: a model's own limit may need more memory than one answer ever uses."""
ALLOWANCE = 2.0
"""Gigabytes for activations, the picture tower's and compiled graphs', on each GPU: an allowance, not a measure."""


@dataclass(frozen=True)
class Preset:
    """A row of presets.yaml, which says what the fields mean and where they come from."""

    name: str
    hub_id: str | None
    licence: str
    parameters: float
    kv_values: int
    context: int
    max_pixels: int | None
    boxes: str | None
    architecture: str
    revision: str = "main"
    override: bool = False

    @property
    def weights(self) -> float:
        """Gigabytes (10^9 bytes) of weights in bfloat16: two bytes a parameter."""
        return 2 * self.parameters

    @property
    def memory(self) -> float:
        """Gigabytes of GPU memory, at least: weights, ALLOWANCE, one context's KV cache (CONTEXT at most, bfloat16)."""
        return self.weights + 2 * self.kv_values * min(self.context, CONTEXT) / 1e9 + ALLOWANCE


@cache
def presets() -> dict[str, Preset]:
    """All presets by name."""
    table = yaml.safe_load((Path(__file__).parent / "presets.yaml").read_text(encoding="utf-8"))
    return {name: Preset(name, **row) for name, row in table.items()}


def preset_of(name: str) -> Preset | None:
    """The preset of that name or hub id, None where there is none."""
    return next((p for p in presets().values() if name in (p.name, p.hub_id)), None)


def cached(hub_id: str, revision: str = "main") -> Path | None:
    """The folder in the Hugging Face cache that holds the whole checkpoint, None where it is not all there.

    Read from the cache's layout (`models--ORG--NAME/refs/REVISION`, `…/snapshots/COMMIT/`), since the base install has
    no huggingface_hub. The cache is where its variables say: HF_HUB_CACHE, HF_HOME, XDG_CACHE_HOME.
    """
    repository = _cache() / f"models--{hub_id.replace('/', '--')}"
    try:
        reference = repository / "refs" / revision
        commit = reference.read_text(encoding="utf-8").strip() if reference.is_file() else revision
        folder = repository / "snapshots" / commit
        index = folder / "model.safetensors.index.json"
        files = {"model.safetensors"}
        if index.is_file():
            files = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
        whole = all((folder / file).is_file() for file in {"config.json", *files})
    except (OSError, ValueError, KeyError, TypeError, AttributeError):  # half a download, or no such name
        return None
    return folder if whole else None


def _cache() -> Path:
    home = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    hub = os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE")
    if not hub:
        hub = f"{os.environ.get('HF_HOME') or home + '/huggingface'}/hub"
    return Path(os.path.expandvars(hub)).expanduser()
