"""Masks finer than the encoder's grid: a small convolutional branch sees the picture's own pixels.

SAM's decoder answers at four cells a patch. Where the encoder's input is small (nano's: 128 px, so 32 × 32) that
is coarser than the defects. The branch adds to the enlarged coarse logits what the pixels tell of the
edges, in the manner of SAM-HQ's and ViTMatte's detail streams. Its last layer begins at zero: an untrained branch
changes nothing.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, pixel_shuffle, pixel_unshuffle

_CHANNELS, _DILATIONS = 64, (1, 2)
_FOLD = 4  # it computes at a quarter of its output's side, in blocks of 4 × 4 pixels: a tenth of the cost


class Refiner(nn.Module):
    """Coarse mask logits and decoder features to mask logits at the side of `detail`."""

    def __init__(self, width: int) -> None:
        super().__init__()
        features = width // 8
        self.context = nn.Conv2d(width, _CHANNELS, 1)
        self.detail = nn.Conv2d(3 * _FOLD**2, _CHANNELS, 3, padding=1)
        self.features = nn.Conv2d(features + 1, _CHANNELS, 1)
        self.mixed = nn.ModuleList(
            nn.Conv2d(_CHANNELS, _CHANNELS, 3, padding=d, dilation=d) for d in _DILATIONS
        )
        self.norms = nn.ModuleList(nn.GroupNorm(8, _CHANNELS) for _ in self.mixed)
        self.activation = nn.GELU()
        self.last = nn.Conv2d(_CHANNELS, _FOLD**2, 1)
        self.last.weight.data.zero_()
        assert self.last.bias is not None
        self.last.bias.data.zero_()

    def forward(self, coarse: Tensor, features: Tensor, context: Tensor, detail: Tensor) -> Tensor:
        """Logits (b, m, m) from coarse logits (b, s, s), the decoder's features (b, width / 8, s, s) that they are
        made of and (b, width, grid, grid) before those, and normalised RGB (b, 3, m, m); 4 divides m."""
        side = detail.shape[-1]
        given = self.features(torch.cat([features, coarse[:, None]], 1))
        x = self.detail(pixel_unshuffle(detail, _FOLD))
        for part in (given, self.context(context)):
            x = x + interpolate(part, size=side // _FOLD, mode="bilinear", align_corners=False)
        x = self.activation(x)
        for conv, norm in zip(self.mixed, self.norms, strict=True):
            x = x + self.activation(norm(conv(x)))
        large = interpolate(coarse[:, None], size=side, mode="bilinear", align_corners=False)
        return (large + pixel_shuffle(self.last(x), _FOLD))[:, 0]
