"""Where an image is defective: a SAM encoder, a defect head in SAM's mask decoder, masks as COCO RLE.

In reading order: `rle`, `metrics`, `encoders`, `head` (the model), `predict` (images in, `MaskPrediction` out), `stage`
(over a run), `external` (masks made elsewhere).
"""
