"""The embedded default models: a small VLM that describes and a SAM-architecture head that marks.

In reading order: `build` (their shapes, and how one trained tower becomes part of both), `tokenizer`,
`data` (training batches from scenes), `train_tower`, `train_vlm`, `evaluate` (the card's figures);
`weights/` holds what `scripts/train_nano.py` made.
"""
