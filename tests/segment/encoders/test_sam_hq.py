"""SAM-HQ's masks. transformers' decoder of it upscales the wrong embedding, so that it cannot be the measure."""

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import SamMaskDecoderConfig
from transformers.models.sam.modeling_sam import SamMaskDecoder

from segment.encoders import load_encoder


@pytest.mark.parametrize("multimask", [False, True])
def test_without_what_its_own_token_adds_it_is_sam_with_one_token_more(
    hq_directory: Path, multimask: bool
) -> None:
    encoder = load_encoder(str(hq_directory))
    model: Any = encoder.model
    decoder = encoder.decoder()
    sizes = {k: v for k, v in model.config.mask_decoder_config.to_dict().items() if k in _SIZES}
    plain = SamMaskDecoder(SamMaskDecoderConfig(**sizes, num_multimask_outputs=4)).eval()
    state = model.mask_decoder.state_dict()
    state["mask_tokens.weight"] = torch.cat([state["mask_tokens.weight"], state["hq_token.weight"]])
    for name in plain.state_dict():
        if name.startswith("output_hypernetworks_mlps.4."):
            state[name] = state[name.replace("output_hypernetworks_mlps.4.", "hq_mask_mlp.")]
    for end in ("weight", "bias"):  # the plain one scores its fifth mask too
        last = state[f"iou_prediction_head.proj_out.{end}"]
        state[f"iou_prediction_head.proj_out.{end}"] = torch.cat([last, last[:1]])
    plain.load_state_dict({name: state[name] for name in plain.state_dict()})

    pixels = torch.randn(2, 3, 256, 256, generator=torch.Generator().manual_seed(0))
    boxes = torch.tensor([[10.0, 20, 200, 150], [0, 0, 255, 170], [3, 4, 5, 6]]).repeat(2, 1, 1)
    features = encoder.features(pixels)
    masks, scores = decoder.masks(features, boxes=boxes, multimask=multimask)
    with torch.no_grad():
        sparse, dense = model.prompt_encoder(None, None, boxes, None)
        positions = model.get_image_wide_positional_embeddings().repeat(2, 1, 1, 1)
        theirs, scored = plain(features.embedding, positions, sparse, dense, multimask_output=multimask)
    if multimask:
        scored, order = scored[:, :, :3].sort(dim=2, descending=True)
        theirs = torch.stack([theirs[i, j, order[i, j]] for i in range(2) for j in range(3)]).reshape(
            2, 3, 3, 64, 64
        )
    assert theirs.abs().max() > 1
    torch.testing.assert_close(masks, theirs, atol=1e-3, rtol=0)
    torch.testing.assert_close(scores, scored, atol=1e-3, rtol=0)


def test_its_own_token_reads_the_early_features(directory: Path, family: str) -> None:
    if family != "SamHQ":
        pytest.skip("SAM-HQ's alone")
    encoder = load_encoder(str(directory))
    features = encoder.features(torch.zeros(1, 3, 256, 256))
    boxes = torch.tensor([[[10.0, 20, 200, 150]]])
    before, _ = encoder.decoder().masks(features, boxes=boxes)
    after, _ = encoder.decoder().masks(
        type(features)(features.embedding, (features.extra[0] + 1,)), boxes=boxes
    )
    assert (before - after).abs().max() > 1e-2


_SIZES = ("hidden_size", "mlp_dim", "num_hidden_layers", "num_attention_heads", "iou_head_hidden_dim")
