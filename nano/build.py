"""The shapes of nano, and how one trained vision tower becomes part of both of its models.

SAM's vision encoder without relative positions and windows is the same pre-norm ViT as Idefics3's:
the tower is trained once, as SAM's, and copied tensor by tensor into the VLM.
"""

import torch
from torch import Tensor
from transformers import Idefics3Config, Idefics3ForConditionalGeneration, PreTrainedTokenizerFast

from segment.head import DefectHead, HeadConfig

SIDE, PATCH, WIDTH, LAYERS, HEADS = 128, 16, 192, 6, 6
IMAGE_TOKENS = (SIDE // PATCH // 2) ** 2
CONTEXT = 1024
MEAN = STD = (0.5, 0.5, 0.5)


def new_head() -> DefectHead:
    """An untrained defect head over an untrained tower."""
    return DefectHead(
        HeadConfig(
            vision={
                "hidden_size": WIDTH,
                "output_channels": 128,
                "num_hidden_layers": LAYERS,
                "num_attention_heads": HEADS,
                "image_size": SIDE,
                "patch_size": PATCH,
                "mlp_ratio": 4.0,
                "use_abs_pos": True,
                "use_rel_pos": False,
                "window_size": 0,
                "global_attn_indexes": list(range(LAYERS)),
                "num_pos_feats": 64,
            },
            decoder={"hidden_size": 128, "mlp_dim": 512, "num_attention_heads": 4},
            mean=MEAN,
            std=STD,
        )
    )


def new_vlm(tokenizer: PreTrainedTokenizerFast) -> Idefics3ForConditionalGeneration:
    """An untrained VLM of about 5 million parameters for the tokenizer's vocabulary."""
    ids = {
        "pad_token_id": tokenizer.pad_token_id,
        "bos_token_id": None,
        "eos_token_id": tokenizer.eos_token_id,
    }
    config = Idefics3Config(
        vision_config={
            "hidden_size": WIDTH,
            "intermediate_size": 4 * WIDTH,
            "num_hidden_layers": LAYERS,
            "num_attention_heads": HEADS,
            "image_size": SIDE,
            "patch_size": PATCH,
            "hidden_act": "gelu",
            "layer_norm_eps": 1e-6,
        },
        text_config={
            "model_type": "llama",
            "vocab_size": len(tokenizer),
            "hidden_size": 192,
            "intermediate_size": 512,
            "num_hidden_layers": 4,
            "num_attention_heads": 3,
            "num_key_value_heads": 3,
            "head_dim": 64,
            "max_position_embeddings": CONTEXT,
            "tie_word_embeddings": True,
            **ids,
        },
        scale_factor=2,
        image_token_id=tokenizer.get_vocab()["<image>"],
        tie_word_embeddings=True,
        **ids,
    )
    model = Idefics3ForConditionalGeneration(config)
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    return model


def copy_tower(head: DefectHead, vlm: Idefics3ForConditionalGeneration) -> None:
    """Copy the head's vision tower into the VLM's (patches, positions, blocks; not SAM's neck)."""
    source = head.encoder.state_dict()
    tower: dict[str, Tensor] = {
        "embeddings.patch_embedding.weight": source["patch_embed.projection.weight"],
        "embeddings.patch_embedding.bias": source["patch_embed.projection.bias"],
        "embeddings.position_embedding.weight": source["pos_embed"].reshape(-1, WIDTH),
        "post_layernorm.weight": torch.ones(WIDTH),
        "post_layernorm.bias": torch.zeros(WIDTH),
    }
    names = {"layer_norm1": "layer_norm1", "layer_norm2": "layer_norm2", "attn.proj": "self_attn.out_proj"}
    names |= {"mlp.lin1": "mlp.fc1", "mlp.lin2": "mlp.fc2"}
    for i in range(LAYERS):
        ours, theirs = f"layers.{i}", f"encoder.layers.{i}"
        for kind in ("weight", "bias"):
            for a, b in names.items():
                tower[f"{theirs}.{b}.{kind}"] = source[f"{ours}.{a}.{kind}"]
            parts = source[f"{ours}.attn.qkv.{kind}"].chunk(3)
            for name, part in zip("qkv", parts, strict=True):
                tower[f"{theirs}.self_attn.{name}_proj.{kind}"] = part
    vlm.model.vision_model.load_state_dict(tower)
