"""SAM checkpoints small enough for tests, with random weights."""

from pathlib import Path

import torch
from transformers import SamConfig, SamMaskDecoderConfig, SamModel, SamPromptEncoderConfig, SamVisionConfig


def save_sam(folder: Path, side: int = 128, sure: bool = True) -> Path:
    """A SAM of 32 channels in transformers' layout.

    If `sure`, it takes each of its masks, blobs of the picture's own, for a good one: else random weights propose
    nothing.
    """
    torch.manual_seed(0)
    config = SamConfig(
        vision_config=SamVisionConfig(
            hidden_size=32,
            output_channels=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            image_size=side,
            patch_size=16,
            mlp_dim=64,
            window_size=4,
            global_attn_indexes=[1],
            num_pos_feats=16,
        ).to_dict(),
        prompt_encoder_config=SamPromptEncoderConfig(
            hidden_size=32, image_size=side, patch_size=16, mask_input_channels=4
        ).to_dict(),
        mask_decoder_config=SamMaskDecoderConfig(
            hidden_size=32, mlp_dim=64, num_attention_heads=2, iou_head_hidden_dim=32
        ).to_dict(),
    )
    model = SamModel(config)
    for weight in model.parameters():  # transformers' own weights are so small that every answer is near 0
        if weight.dim() > 1:
            torch.nn.init.xavier_normal_(weight)
    if sure:
        with torch.no_grad():
            decoder = model.mask_decoder
            decoder.iou_prediction_head.proj_out.bias.fill_(0.95)
            decoder.iou_prediction_head.proj_out.weight.mul_(0.01)
            for mlp in decoder.output_hypernetworks_mlps:
                mlp.proj_out.weight.mul_(1000)
    model.save_pretrained(folder)
    return folder
