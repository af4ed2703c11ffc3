"""Images in, `MaskPrediction`s out."""

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image

from flawscribe.records import MaskPrediction
from segment.encoders.base import frame, unframe
from segment.head import DefectHead
from segment.rle import encode


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
