"""How sharp and how grainy a picture is, as a few numbers: the quality that people give falls with blur and grain.

Means over a picture are ruled by its contours. Grain shows in the flat parts, so in the low quantiles of the Laplacian;
sharpness at the contours, so in the high ones.
"""

import torch
from torch import Tensor
from torch.nn.functional import conv2d, pad

QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9, 0.99)
_LAPLACIAN = ((0.0, 1.0, 0.0), (1.0, -4.0, 1.0), (0.0, 1.0, 0.0))
_LEAST = 0.01  # about a grey level: below, there is nothing to tell apart


def sharpness(picture: Tensor) -> Tensor:
    """float32 (6,): logarithms of QUANTILES of the absolute Laplacian of a normalised RGB picture (3, h, w)."""
    grey = picture.float().mean(0)[None, None]
    kernel = torch.tensor(_LAPLACIAN, device=picture.device)[None, None]
    found = conv2d(pad(grey, (1, 1, 1, 1), mode="replicate"), kernel).abs().flatten()
    return (torch.quantile(found, torch.tensor(QUANTILES, device=picture.device)) + _LEAST).log()
