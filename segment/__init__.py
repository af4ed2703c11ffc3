"""Where an image is defective: a SAM encoder, a defect head in SAM's mask decoder, masks as COCO RLE.

In reading order: `rle`, `metrics`, `encoders`, `head` (the model), `postprocess` (logits to runs), `predict`
(images in, `MaskPrediction` out), `prompted` and `automatic` (SAM without training), `stage` (over a run), `external`
(masks made elsewhere), `written` and `coco` (beside a run).
"""
