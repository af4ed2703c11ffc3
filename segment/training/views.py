"""The K fixed views of an image: as it is, and K − 1 crops in slightly other tones, whose masks stay exact.

A view is cut along whole pixels, its mask by the same box, and no cut goes through a golden mask; tones change the
picture alone. Mirroring and turning are left out: they make defects of letters and of light. The views of an image
are always the same, so that their embeddings can be kept.
"""

from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import interpolate

from segment.encoders import frame, frame_size
from segment.encoders.base import Framing
from segment.places import Fractions
from segment.training.data import Example
from segment.words import lies

_SMALLEST = 0.8  # of the sides
_TONE = 0.07


@dataclass(frozen=True)
class View:
    """`box` (x0, y0, x1, y1) in pixels of the image, `gains` what its red, green and blue are multiplied by."""

    box: tuple[int, int, int, int]
    gains: tuple[float, float, float] = (1.0, 1.0, 1.0)

    @property
    def key(self) -> str:
        """What identifies the view of an image."""
        return f"{self.box} {self.gains}"

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        return self.box[3] - self.box[1], self.box[2] - self.box[0]


def view_of(example: Example, number: int) -> View:
    """View `number` of an image: 0 is the image as it is, the others are drawn by the image's digest."""
    height, width = example.size
    if number == 0:
        return View((0, 0, width, height))
    rng = np.random.default_rng([int(example.digest[:12], 16), number])
    share = rng.uniform(_SMALLEST, 1)
    inner = example.box or (width, height, 0, 0)  # nothing to spare: every cut will do
    x0, x1 = _cut(width, share, inner[0], inner[2], rng)
    y0, y1 = _cut(height, share, inner[1], inner[3], rng)
    gains = rng.uniform(1 - _TONE, 1 + _TONE, 3).round(3).tolist()
    return View((x0, y0, x1, y1), (gains[0], gains[1], gains[2]))


def _cut(side: int, share: float, low: int, high: int, rng: np.random.Generator) -> tuple[int, int]:
    """An interval of about `share` of the side that holds [low, high)."""
    length = min(side, max(1, round(side * share), high - low))
    first, last = max(0, high - length), min(side - length, low)
    start = int(rng.integers(first, last + 1))
    return start, start + length


def show(image: Image.Image, view: View) -> Image.Image:
    """The view of an RGB image."""
    cut = image if view.box == (0, 0, *image.size) else image.crop(view.box)
    if view.gains == (1.0, 1.0, 1.0):
        return cut
    pixels = np.asarray(cut, dtype=np.float32) * np.array(view.gains, dtype=np.float32)
    return Image.fromarray(np.clip(pixels.round(), 0, 255).astype(np.uint8))


def framed_view(image: Image.Image, view: View, encoder: Framing) -> Tensor:
    """The encoder's frame of a view: float32 (3, side, side)."""
    return frame(show(image, view), encoder)[0]


def framed_mask(mask: np.ndarray | None, view: View, encoder: Framing, side: int) -> np.ndarray:
    """The defective share of each cell of a view's frame, in 255ths: uint8 (side, side); None is an empty mask."""
    shares = np.zeros((side, side), dtype=np.uint8)
    if mask is None:
        return shares
    x0, y0, x1, y1 = view.box
    taken = frame_size(view.size, encoder)
    cut = torch.from_numpy(mask[y0:y1, x0:x1].astype(np.float32))[None, None]
    large = torch.zeros(1, 1, encoder.side, encoder.side)
    # As the picture is scaled, so that both keep to each other.
    large[..., : taken[0], : taken[1]] = interpolate(
        cut, size=taken, mode="bilinear", align_corners=False, antialias=True
    )
    return (interpolate(large, size=side, mode="area")[0, 0] * 255).round().byte().numpy()


def shares(view: View, encoder: Framing) -> tuple[float, float]:
    """The (height, width) of the frame that the view's picture takes, each in (0, 1]."""
    height, width = frame_size(view.size, encoder)
    return height / encoder.side, width / encoder.side


def lies_in(example: Example, view: View, encoder: Framing) -> Fractions:
    """Where in a view's frame the whole picture lies (see `segment.words.lies`)."""
    return lies(view.box, example.size, frame_size(view.size, encoder), encoder.side)
