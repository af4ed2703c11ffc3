"""Small SAMs with random weights, in Meta's own modules and in transformers'."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from torch import nn


def randomise(model: nn.Module, seed: int) -> None:
    """Random numbers everywhere, also where SAM begins with zeros: positions must count in what is compared."""
    draws = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, value in model.state_dict().items():
            if "norm" in name and name.endswith("weight"):
                value.copy_(1 + 0.1 * torch.randn(value.shape, generator=draws))
            elif "positional" in name:
                value.copy_(torch.randn(value.shape, generator=draws))
            elif value.is_floating_point():
                spread = 0.1 if value.ndim < 2 else value[0].numel() ** -0.5
                if "hypernetworks" in name or "upscal" in name:
                    spread *= 3  # logits in the tens, as trained weights give
                value.copy_(spread * torch.randn(value.shape, generator=draws))


def meta_sam(
    *, side: int = 256, width: int = 64, layers: int = 2, heads: int = 2, embedding: int = 64, window: int = 5
) -> Any:
    """`segment_anything.modeling.Sam` of these shapes, by default 2 layers, the second of them global."""
    modeling = pytest.importorskip("segment_anything.modeling")
    encoder = modeling.ImageEncoderViT(
        img_size=side,
        embed_dim=width,
        depth=layers,
        num_heads=heads,
        out_chans=embedding,
        norm_layer=partial(nn.LayerNorm, eps=1e-6),
        use_rel_pos=True,
        window_size=window,
        global_attn_indexes=[layers - 1],
    )
    grid = side // 16
    prompts = modeling.PromptEncoder(
        embed_dim=embedding,
        image_embedding_size=(grid, grid),
        input_image_size=(side, side),
        mask_in_chans=16,
    )
    transformer = modeling.TwoWayTransformer(depth=2, embedding_dim=embedding, mlp_dim=128, num_heads=8)
    decoder = modeling.MaskDecoder(transformer=transformer, transformer_dim=embedding, iou_head_hidden_dim=32)
    sam = modeling.Sam(encoder, prompts, decoder).eval()
    randomise(sam, 1)
    return sam


@pytest.fixture(scope="session")
def sam() -> Any:
    """A small SAM in Meta's own modules."""
    return meta_sam()


@pytest.fixture(scope="session")
def pth(sam: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same as a file of Meta's kind."""
    path = tmp_path_factory.mktemp("pth") / "weights.pth"
    torch.save(sam.state_dict(), path)
    return path


SMALL_VISION = {
    "hidden_size": 64,
    "output_channels": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": 256,
    "window_size": 5,
    "global_attn_indexes": [1],
    "num_pos_feats": 32,
}
SMALL_DECODER = {"hidden_size": 64, "mlp_dim": 128, "iou_head_hidden_dim": 32}
SMALL_HIERA = {
    "hidden_size": 16,
    "image_size": [256, 256],
    "blocks_per_stage": [1, 1, 2, 1],
    "embed_dim_per_stage": [16, 32, 64, 128],
    "num_attention_heads_per_stage": [1, 2, 2, 4],
    "window_size_per_stage": [8, 4, 4, 4],
    "global_attention_blocks": [3],
}


def small_config(family: str) -> Any:
    """A configuration of transformers' `Sam`, `SamHQ` or `Sam2` for frames of 256 px, 64 channels."""
    vision: dict[str, Any] = dict(SMALL_VISION)
    decoder: dict[str, Any] = dict(SMALL_DECODER)
    if family == "SamHQ":
        decoder["vit_dim"] = 64
    elif family == "Sam2":
        vision = {
            "backbone_config": dict(SMALL_HIERA),
            "backbone_channel_list": [128, 64, 32, 16],
            "backbone_feature_sizes": [[64, 64], [32, 32], [16, 16]],
            "fpn_hidden_size": 64,
        }
    return getattr(transformers, f"{family}Config")(
        vision_config=vision,
        prompt_encoder_config={"hidden_size": 64, "image_size": 256},
        mask_decoder_config=decoder,
    )


@pytest.fixture(scope="session", params=["Sam", "SamHQ", "Sam2"])
def family(request: pytest.FixtureRequest) -> str:
    """The prefix of transformers' classes."""
    return str(request.param)


@pytest.fixture(scope="session")
def directory(family: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small checkpoint of the family in transformers' layout."""
    model = getattr(transformers, f"{family}Model")(small_config(family)).eval()
    randomise(model, 2)
    folder = tmp_path_factory.mktemp(family)
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def hq_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small SAM-HQ whose own token adds nothing: its last convolutions are zero."""
    model = transformers.SamHQModel(small_config("SamHQ")).eval()
    randomise(model, 3)
    part = model.mask_decoder
    for layer in (part.mask_conv2, part.encoder_conv2, part.compress_vit_conv2):
        nn.init.zeros_(layer.weight)
        nn.init.zeros_(layer.bias)
    folder = tmp_path_factory.mktemp("hq")
    model.save_pretrained(folder)
    return folder
