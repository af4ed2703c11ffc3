"""What every encoder is: framed pictures in, one embedding a picture out; and the frame itself.

A frame is float32 (3, side, side), RGB, normalised by the encoder's `mean` and `std` (of RGB in [0, 1]). SAM's
frame holds the picture in the upper left corner, its longest side scaled to `side`, and zeros (after normalising)
elsewhere; SAM 2's holds the picture stretched to the whole square. Coordinates are pixels, x to the right and y
down, from the upper left corner of the first pixel.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn.functional import interpolate

if TYPE_CHECKING:
    from segment.encoders.decoder import Decoder

PATCH = 16  # pixels of the frame a cell of the embedding: that of every SAM
MASK_SCALE = 4  # pixels of the frame a pixel of the decoder's masks

Triple = tuple[float, float, float]
IMAGENET_MEAN: Triple = (0.485, 0.456, 0.406)
IMAGENET_STD: Triple = (0.229, 0.224, 0.225)


class Framing(Protocol):
    """What `frame` needs to know: the frame's side in pixels and its normalisation."""

    @property
    def side(self) -> int: ...
    @property
    def mean(self) -> Triple: ...
    @property
    def std(self) -> Triple: ...
    @property
    def stretch(self) -> bool: ...


@dataclass(frozen=True)
class Features:
    """What an encoder makes of b frames.

    `embedding` float32 (b, width, grid, grid) is what a defect head gets, from every encoder. `extra` is what the
    checkpoint's own decoder wants beside it for prompts: nothing for SAM; SAM 2's maps of the first two levels,
    (b, width / 8, 4 grid, 4 grid) and (b, width / 4, 2 grid, 2 grid); SAM-HQ's embedding after its first global
    attention block, (b, grid, grid, hidden).
    """

    embedding: Tensor
    extra: tuple[Tensor, ...] = ()

    def __getitem__(self, which: slice) -> "Features":
        """The features of some of the frames."""
        return Features(self.embedding[which], tuple(e[which] for e in self.extra))


class Encoder(nn.Module):
    """A frozen image encoder: in eval mode, none of its weights wants a gradient.

    `name` is what the user called it, `digest` identifies its weights (16 hex digits or more: part of cache keys
    and of a head's checkpoint), `side` the frame's side in pixels, `grid` = side / 16 the embedding's, `width` its
    channels; `mean` and `std` normalise RGB in [0, 1]; `stretch` tells SAM 2's frame from SAM's (see the module).
    """

    def __init__(
        self,
        *,
        name: str,
        digest: str,
        side: int,
        width: int,
        mean: Triple = IMAGENET_MEAN,
        std: Triple = IMAGENET_STD,
        stretch: bool = False,
    ) -> None:
        super().__init__()
        self.name, self.digest = name, digest
        self.side, self.grid, self.width = side, side // PATCH, width
        self.mean, self.std, self.stretch = mean, std, stretch

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.parameters()).device

    def forward(self, pixels: Tensor) -> Tensor:
        """The embeddings, float32 (b, width, grid, grid), of frames (b, 3, side, side)."""
        return self.features(pixels).embedding

    def features(self, pixels: Tensor) -> Features:
        """The embeddings of frames (b, 3, side, side), and what the checkpoint's own decoder wants beside them."""
        raise NotImplementedError

    def decoder(self) -> "Decoder":
        """The checkpoint's own mask decoder: to start a head from, and to prompt with boxes and points."""
        raise NotImplementedError


def frame_size(size: tuple[int, int], encoder: Framing) -> tuple[int, int]:
    """The (height, width) in pixels that a picture of `size` = (height, width) takes in the frame, at least 1 each."""
    if encoder.stretch:
        return encoder.side, encoder.side
    scale = encoder.side / max(size)
    height, width = (max(1, int(s * scale + 0.5)) for s in size)  # SAM rounds halves up
    return height, width


def inside(shares: tuple[float, float], small: int) -> tuple[int, int]:
    """The (height, width) that a picture takes in a map of the frame with `small` cells a side, at least 1 each; of the
    frame it takes `shares`."""
    height, width = (max(1, round(share * small)) for share in shares)
    return height, width


def frame(image: Image.Image, encoder: Framing) -> tuple[Tensor, tuple[int, int]]:
    """An RGB picture of any size as the encoder's frame.

    Returns float32 (3, side, side), normalised RGB, and the (height, width) that the picture takes in it.
    """
    height, width = frame_size((image.height, image.width), encoder)
    small = (
        image if image.size == (width, height) else image.resize((width, height), Image.Resampling.BILINEAR)
    )
    pixels = torch.from_numpy(np.asarray(small, dtype=np.float32) / 255).permute(2, 0, 1)
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (encoder.mean, encoder.std))
    framed = torch.zeros(3, encoder.side, encoder.side)
    framed[:, :height, :width] = (pixels - mean) / std
    return framed, (height, width)


def frame_points(points: Tensor, taken: tuple[int, int], size: tuple[int, int]) -> Tensor:
    """Points (…, 2) or boxes (…, 4), x before y, in pixels of a picture of `size`, in pixels of its frame.

    `taken` and `size` are (height, width) of the picture in the frame and of the picture itself.
    """
    scale = torch.tensor([taken[1] / size[1], taken[0] / size[0]], dtype=torch.float64)
    return (points.double() * scale.repeat(points.shape[-1] // 2)).float()


def unframe(logits: Tensor, taken: tuple[int, int], size: tuple[int, int], side: int | None = None) -> Tensor:
    """Mask logits (…, s, s) of a frame of `side` pixels back at the picture's own `size` = (height, width), bilinearly.

    Without `side`, s is a quarter of it, as SAM's decoder makes them; a head that refines makes finer ones.
    Cropped to `taken`, the picture's (height, width) in the frame, before they are enlarged: the frame's padding
    never reaches the mask.
    """
    flat = logits.reshape(1, -1, *logits.shape[-2:])
    side = side or MASK_SCALE * logits.shape[-1]
    framed = interpolate(flat, size=(side, side), mode="bilinear", align_corners=False)
    inner = framed[..., : taken[0], : taken[1]]
    return interpolate(inner, size=size, mode="bilinear", align_corners=False).reshape(
        *logits.shape[:-2], *size
    )
