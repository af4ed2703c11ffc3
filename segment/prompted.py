"""SAM without training: the boxes of described defects as prompts, one mask a finding."""

from collections.abc import Sequence

import torch
from PIL import Image
from torch import Tensor

from flawscribe.records import Description, Instance, MaskPrediction
from segment.components import instance
from segment.encoders import Encoder, Features, frame, frame_points
from segment.postprocess import Enlarged, logit, marked
from segment.rle import area_of, encode_runs, union

_PROMPTS = {"cpu": 8, "cuda": 64}  # decoded together: each takes some 25 MB of a full-sized SAM's decoder


class Prompted:
    """A SAM checkpoint's encoder and decoder."""

    def __init__(self, encoder: Encoder, threshold: float | None = None) -> None:
        self.encoder, self.decoder = encoder, encoder.decoder()
        self._threshold = logit(0.5 if threshold is None else threshold)

    def described(self, image: Image.Image, description: Description) -> MaskPrediction:
        """The mask of each finding's box in an RGB image, in `instances`, and their union.

        The picture is encoded once and its boxes are decoded together. An instance's `score` is SAM's own estimate
        of its IoU, its `text` the finding's. A finding without a box, or whose mask is empty, has no instance.
        """
        boxed = [f for f in description.findings if f.box is not None]
        if not boxed:
            return MaskPrediction()
        features, taken = encoded(self.encoder, image)
        size = (image.height, image.width)
        boxes = frame_points(torch.tensor([f.box for f in boxed]), taken, size)
        found: list[Instance] = []
        step = prompts_at_once(self.encoder)
        for at in range(0, len(boxed), step):
            masks, scores = self._decode(features, boxes[at : at + step])
            for finding, mask, score in zip(boxed[at : at + step], masks, scores.tolist(), strict=True):
                rle = encode_runs(
                    marked(Enlarged(mask, self.encoder.side, taken, size), self._threshold, size)
                )
                if rle is not None:
                    found.append(instance(rle, min(max(score, 0.0), 1.0), finding.text))
        return together(found)

    def _decode(self, features: Features, boxes: Tensor) -> tuple[Tensor, Tensor]:
        """float32 mask logits (n, s, s) and scores (n,) of boxes (n, 4) in the frame, on the CPU."""
        with torch.inference_mode():
            masks, scores = self.decoder.masks(features, boxes=boxes[None].to(self.encoder.device))
        return masks[0, :, 0].float().cpu(), scores[0, :, 0].float().cpu()


def together(found: Sequence[Instance]) -> MaskPrediction:
    """One answer from instances: their union as the mask."""
    rle = union([one.rle for one in found])
    area = area_of(rle) / (rle.size[0] * rle.size[1]) if rle else 0.0
    return MaskPrediction(rle=rle, area=area, instances=tuple(found))


def prompts_at_once(encoder: Encoder) -> int:
    """How many prompts go through the decoder together."""
    return _PROMPTS.get(encoder.device.type, _PROMPTS["cpu"])


def encoded(encoder: Encoder, image: Image.Image) -> tuple[Features, tuple[int, int]]:
    """An RGB image's features, and the (height, width) that it takes in the frame."""
    framed, taken = frame(image, encoder)
    with torch.inference_mode():
        return encoder.features(framed[None].to(encoder.device)), taken
