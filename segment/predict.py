"""Images in, `MaskPrediction`s out."""

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import interpolate

from flawscribe.records import MaskPrediction
from segment.head import DefectHead
from segment.rle import encode


def frame(image: Image.Image, head: DefectHead) -> tuple[Tensor, tuple[int, int]]:
    """SAM's input frame: the longest side scaled to the encoder's, the picture in the upper left, zeros elsewhere.

    Returns float (3, side, side) normalised RGB and the (height, width) that the picture takes in it.
    """
    scale = head.side / max(image.size)
    width, height = (max(1, round(s * scale)) for s in image.size)
    small = (
        image if image.size == (width, height) else image.resize((width, height), Image.Resampling.BILINEAR)
    )
    pixels = torch.from_numpy(np.asarray(small, dtype=np.float32) / 255).permute(2, 0, 1)
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (head.config.mean, head.config.std))
    framed = torch.zeros(3, head.side, head.side)
    framed[:, :height, :width] = (pixels - mean) / std
    return framed, (height, width)


def unframe(logits: Tensor, taken: tuple[int, int], size: tuple[int, int]) -> Tensor:
    """Mask logits (s, s) of a frame back at the image's own `size` = (height, width), bilinearly.

    Cropped to the picture before it is enlarged: the frame's padding never reaches the mask.
    """
    framed = interpolate(logits[None, None], scale_factor=4, mode="bilinear", align_corners=False)
    inner = framed[..., : taken[0], : taken[1]]
    return interpolate(inner, size=size, mode="bilinear", align_corners=False)[0, 0]


@torch.inference_mode()
def predict(head: DefectHead, images: Sequence[Image.Image]) -> list[MaskPrediction]:
    """The head's answers for RGB images of any sizes; masks at each image's own size.

    Below the head's presence threshold no pixel is marked.
    """
    frames, taken = zip(*(frame(i, head) for i in images), strict=True)
    device = next(head.parameters()).device
    out = head(torch.stack(frames).to(device))
    answers = []
    for i, image in enumerate(images):
        p = float(out.presence[i].sigmoid())
        size = (image.height, image.width)
        mask = np.zeros(size, dtype=bool)
        if p >= head.config.presence_threshold:
            logits = unframe(out.mask[i].float().cpu(), taken[i], size)
            threshold = float(torch.logit(torch.tensor(head.config.mask_threshold)))
            mask = (logits >= threshold).numpy()
        answers.append(
            MaskPrediction(
                rle=encode(mask),
                p_mask=p,
                quality=float(out.quality[i, 0]),
                quality_if_intended=float(out.quality[i, 1]),
                area=float(mask.mean()),
            )
        )
    return answers
