"""One trained tower, two models: the copy must compute the same."""

import torch

from nano.build import copy_tower, new_head, new_vlm
from nano.train_vlm import corpus, train_tokenizer


def test_tower_computes_the_same_in_both_models() -> None:
    torch.manual_seed(0)
    tokenizer = train_tokenizer(corpus()[:300])
    head, vlm = new_head().eval(), new_vlm(tokenizer).eval()
    copy_tower(head, vlm)
    pixels = torch.randn(2, 3, 128, 128)
    with torch.inference_mode():
        hidden = head.encoder.patch_embed(pixels) + head.encoder.pos_embed
        for layer in head.encoder.layers:
            hidden = layer(hidden)
        grid = torch.ones(2, 8, 8, dtype=torch.bool)
        theirs = vlm.model.vision_model.embeddings(pixels, patch_attention_mask=grid)
        theirs = vlm.model.vision_model.encoder(theirs).last_hidden_state
    torch.testing.assert_close(hidden.flatten(1, 2), theirs, atol=1e-5, rtol=1e-5)


def test_models_are_small_and_booleans_are_single_tokens() -> None:
    tokenizer = train_tokenizer(corpus())
    count = sum(p.numel() for p in new_vlm(tokenizer).parameters())
    assert count < 12_000_000
    for word in ("true", "false"):
        assert len(tokenizer.encode(word, add_special_tokens=False)) == 1
    text = 'naïve 日本 🙂 "quoted" \\ text'
    assert tokenizer.decode(tokenizer.encode(text, add_special_tokens=False)) == text
