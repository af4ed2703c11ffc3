"""What the numbers of a model's box mean, by the model's family, and the way from there to pixels of the picture.

Models answer boxes in the form that they were trained on, whatever they are asked for. What each family's form is,
and who says so:

- Qwen2.5-VL: pixels of the picture as its processor resized it (sides a multiple of 28; QwenLM/Qwen3-VL issues 676
  and 931). The sizes are computed as transformers' `smart_resize` does, with the bounds of the checkpoint's
  `preprocessor_config.json`, or those that its makers publish.
- Qwen2-VL and Qwen3-VL: 0–1000 of each side (QwenLM/Qwen3-VL issues 866 and 1486; the cookbooks of Qwen3-VL).
- InternVL: 0–1000 (InternVL's documentation, "Chat Data Format"; OpenGVLab/InternVL issue 844).
- GLM-4.xV: 0–1000 (zai-org's GLM-skills, "glmv-grounding").
- DeepSeek-VL2: 0–999 (deepseek-ai, discussion 2 of AskUI/PTA-1 on the hub).
- LLaVA, LLaVA-OneVision and mPLUG-Owl: 0–1 (haotian-liu/LLaVA issue 606, X-PLUG/mPLUG-Owl issue 199). LLaVA's own
  data relate to the picture padded to a square; that is not undone here.
- Every other model, Llama-3.2-Vision and nano among them: no trained form is known, and 0–1000 is only asked for.
"""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flawscribe.errors import UserError, did_you_mean
from flawscribe.models import ModelRef

OVERSHOOT = 0.05
"""Of a side: so far outside the picture a corner is moved to the edge; farther out it is no place in the picture."""

Pixels = tuple[float, float, float, float]


@dataclass(frozen=True)
class Convention:
    """What a box's numbers count: `scale` units a side, or pixels of the picture, or of what `resize` makes of it.

    `name` is also the end of the name of the prompt's part that tells the model (`boxes_NAME`).
    """

    name: str
    scale: int | None = None
    resize: "Resize | None" = None

    def told(self) -> str:
        """The convention in a run's settings."""
        if self.resize is None:
            return self.name
        return f"{self.name} ({self.resize.factor}, {self.resize.least}-{self.resize.most} pixels)"

    def sides(self, width: int, height: int) -> tuple[int, int]:
        """How many units the width and the height of a picture of that many pixels have."""
        if self.scale is not None:
            return self.scale, self.scale
        return (width, height) if self.resize is None else self.resize(width, height)

    def number(self) -> dict[str, Any]:
        """The JSON schema of one number, for a server to hold the model to."""
        if self.scale == 1:
            return {"type": "number", "minimum": 0, "maximum": 1}
        return {"type": "integer", "minimum": 0, "maximum": self.scale or 99_999}

    def pixels(
        self, box: list[float], width: int, height: int, shown: tuple[int, int] | None = None
    ) -> Pixels | str:
        """The box (x0, y0, x1, y1) in pixels of the picture, inside it, or why it is none.

        `shown` is the size (width, height) at which the model was shown it, where that is another.
        """
        sides = self.sides(*(shown or (width, height)))
        corners = []
        for i, (n, side, size) in enumerate(zip(box, sides * 2, (width, height) * 2, strict=True)):
            if not -OVERSHOOT * side <= n <= (1 + OVERSHOOT) * side:  # NaN, infinities and huge integers too
                return f"the box's {'xy'[i % 2]}{i // 2} is outside of the picture (0 to {side})"
            corners.append(round(min(max(n / side, 0.0), 1.0) * size, 2))
        x0, y0, x1, y1 = corners
        return (
            (x0, y0, x1, y1) if x0 < x1 and y0 < y1 else "the box has no area: its corners are out of order"
        )


@dataclass(frozen=True)
class Resize:
    """How the Qwen-VL processors resize: both sides a multiple of `factor`, from `least` to `most` pixels in all."""

    factor: int = 28
    least: int = 56 * 56
    most: int = 16384 * 28 * 28

    def __call__(self, width: int, height: int) -> tuple[int, int]:
        """The width and height that a picture gets (transformers' `smart_resize`)."""
        w, h = (round(side / self.factor) * self.factor for side in (width, height))
        if w * h > self.most:
            shrink = math.sqrt(width * height / self.most)
            w, h = (max(math.floor(side / shrink / self.factor), 1) * self.factor for side in (width, height))
        elif w * h < self.least:
            grow = math.sqrt(self.least / (width * height))
            w, h = (math.ceil(side * grow / self.factor) * self.factor for side in (width, height))
        return w, h


CONVENTIONS = {
    "0-1000": Convention("0-1000", 1000),
    "0-999": Convention("0-999", 999),
    "0-1": Convention("0-1", 1),
    "pixels": Convention("pixels"),
    "resized": Convention("resized", resize=Resize()),
}
"""The conventions by name: of each side 1000, 999 or 1 units; pixels of the picture, or of Qwen2.5-VL's resized one."""

ASKED_FOR = CONVENTIONS["0-1000"]
"""The convention of a model of no known family."""

# The first that fits decides; against the checkpoint's model_type, then against the model's name.
_FAMILIES = (
    (r"qwen-?2[._]5-?_?vl|qwen2_5_vl", "resized"),
    (r"qwen-?_?[23]([._]5)?-?_?(vl|omni)|qwen3_5", "0-1000"),
    (r"internvl", "0-1000"),
    (r"glm-?_?4[._]?\d?v", "0-1000"),
    (r"deepseek[-_]vl2|deepseek_vl_v2", "0-999"),
    (r"llava|mplug-?_?owl", "0-1"),
)


def convention(name: str, ref: ModelRef) -> Convention:
    """The convention `name`, or for "auto" that of the model's family. UserError for another name."""
    if name != "auto" and name not in CONVENTIONS:
        raise UserError(f"there are no boxes {name!r}.{did_you_mean(name, ['auto', *CONVENTIONS])}")
    folder = Path(ref.path) if ref.kind in ("packaged", "directory") else None
    found = CONVENTIONS[name] if name != "auto" else _of_family(ref.name, folder)
    if found.resize is not None and folder is not None:
        return Convention(found.name, resize=_resize_of(folder))
    return found


def _of_family(name: str, folder: Path | None) -> Convention:
    """By what the checkpoint says it is, where there is one; a folder's name may say anything."""
    words = [str(_json(folder / "config.json").get("model_type", ""))] if folder else []
    for word in [*words, name.partition("@")[0].rpartition("/")[2]]:
        for pattern, of_family in _FAMILIES:
            if re.search(pattern, word, re.IGNORECASE):
                return CONVENTIONS[of_family]
    return ASKED_FOR


def _resize_of(folder: Path) -> Resize:
    """The bounds in the checkpoint's own processor configuration, under any of the names that they have had."""
    given = _json(folder / "preprocessor_config.json")
    given = given or _json(folder / "processor_config.json").get("image_processor", {})
    size, standard = given.get("size") or {}, Resize()
    try:
        return Resize(
            int(given.get("patch_size", 14)) * int(given.get("merge_size", 2)),
            int(given.get("min_pixels") or size.get("shortest_edge") or standard.least),
            int(given.get("max_pixels") or size.get("longest_edge") or standard.most),
        )
    except (AttributeError, TypeError, ValueError):
        raise UserError(f"{folder} says nothing usable of how it resizes pictures: give --boxes") from None


def _json(path: Path) -> Mapping[str, Any]:
    """The object in a JSON file; an empty one where there is none."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
