"""How many tokens a picture takes, by its size alone: each family's own rule, for models that are not at hand.

A server may be set to other limits than its family's, and `--param` may ask for others.
"""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

_OPENAI = "OpenAI's guide 'Images and vision'"


@dataclass(frozen=True)
class Rule:
    """`tokens(width, height)` in pixels, and where the rule comes from."""

    tokens: Callable[[int, int], int]
    source: str


def rule_of(model: str) -> Rule | None:
    """The rule of the family that a model's name tells; None where it tells none that is known."""
    return next((rule for pattern, rule in _RULES if pattern.search(model)), None)


def merged_patches(width: int, height: int, side: int, least: int, most: int) -> int:
    """Squares of `side` pixels after a resize to between `least` and `most` pixels, and their two marks.

    transformers' `qwen2_vl.smart_resize`: both sides become multiples of `side`.
    """
    w, h = round(width / side) * side, round(height / side) * side
    if w * h > most:
        shrink = math.sqrt(width * height / most)
        w, h = (max(side, math.floor(n / shrink / side) * side) for n in (width, height))
    elif w * h < least:
        grow = math.sqrt(least / (width * height))
        w, h = (math.ceil(n * grow / side) * side for n in (width, height))
    return (w // side) * (h // side) + 2


def tiled(width: int, height: int, most: int = 12, each: int = 256) -> int:
    """InternVL's dynamic tiles of 448 pixels: the grid nearest in shape, and a thumbnail beside more than one tile."""
    grids = [(x, y) for x in range(1, most + 1) for y in range(1, most + 1) if x * y <= most]
    best, nearest = 1, math.inf
    for x, y in sorted(grids, key=lambda grid: grid[0] * grid[1]):
        apart = abs(width / height - x / y)
        if apart < nearest or (apart == nearest and width * height > 0.5 * 448 * 448 * x * y):
            best, nearest = x * y, apart
    return each * (best + (best > 1))


def squares(width: int, height: int, base: int, each: int) -> int:
    """OpenAI's tiles of 512 pixels, after shrinking to within 2048 pixels and a shorter side of at most 768."""
    shrink = min(1.0, 2048 / max(width, height))
    shrink = min(shrink, 768 / min(width, height))
    across, down = (math.ceil(round(n * shrink) / 512) for n in (width, height))
    return base + each * max(across, 1) * max(down, 1)


def patches(width: int, height: int, factor: float, most: int = 1536) -> int:
    """OpenAI's patches of 32 pixels, at most `most` (the picture is shrunk to that), times the model's factor."""
    across, down = math.ceil(width / 32), math.ceil(height / 32)
    if across * down > most:
        shrink = math.sqrt(32 * 32 * most / (width * height))
        fit = min(math.floor(n * shrink / 32) / (n * shrink / 32) for n in (width, height))
        across, down = (max(1, math.ceil(round(n * shrink * fit / 32, 6))) for n in (width, height))
    return math.ceil(min(across * down, most) * factor)


def _named(pattern: str, tokens: Callable[[int, int], int], source: str) -> tuple[re.Pattern[str], Rule]:
    return re.compile(rf"(?:^|/){pattern}", re.IGNORECASE), Rule(tokens, source)


_QWEN = "28-pixel squares, Qwen's preprocessor: 3,136 to 12,845,056 pixels"
_QWEN3 = "32-pixel squares, Qwen3-VL's preprocessor: 65,536 to 16,777,216 pixels"
_RULES = (
    _named(r"qwen2(\.5)?-?vl", partial(merged_patches, side=28, least=56 * 56, most=16384 * 28 * 28), _QWEN),
    _named(r"qwen3-?vl", partial(merged_patches, side=32, least=256**2, most=4096**2), _QWEN3),
    _named(r"internvl(2|3)", tiled, "InternVL's tiles: 448 pixels, at most 12, 256 tokens each"),
    _named(r"gpt-4o-mini", partial(squares, base=2833, each=5667), f"512-pixel tiles, {_OPENAI}"),
    _named(r"gpt-(4\.1|5)-mini", partial(patches, factor=1.62), f"32-pixel patches, {_OPENAI}"),
    _named(r"gpt-(4\.1|5)-nano", partial(patches, factor=2.46), f"32-pixel patches, {_OPENAI}"),
    _named(r"o4-mini", partial(patches, factor=1.72), f"32-pixel patches, {_OPENAI}"),
    _named(
        r"gpt-4(o|\.1|\.5)(-\d|-preview|$)",
        partial(squares, base=85, each=170),
        f"512-pixel tiles, {_OPENAI}",
    ),
    _named(r"o[13](-\d|-pro|$)", partial(squares, base=75, each=150), f"512-pixel tiles, {_OPENAI}"),
    _named(r"gpt-5(-\d|-chat|$)", partial(squares, base=70, each=140), f"512-pixel tiles, {_OPENAI}"),
)
