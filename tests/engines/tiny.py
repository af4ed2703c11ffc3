"""A tiny Idefics3 checkpoint of random weights, for loading and batching: what it says means nothing."""

from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    Idefics3Config,
    Idefics3ForConditionalGeneration,
    Idefics3ImageProcessor,
    Idefics3Processor,
    PreTrainedTokenizerFast,
)

SPECIAL = ["<pad>", "<end_of_utterance>", "<image>", "<fake_token_around_image>", "<global-img>"]
TEMPLATE = (
    "{% for m in messages %}{% if m['role'] == 'system' %}{{ raise_exception('no system role') }}{% endif %}"
    "{% for part in m['content'] %}{{ '<image>' if part['type'] == 'image' else part['text'] }}{% endfor %}"
    "{{ '\n' }}{% endfor %}"
)


def tiny_checkpoint(folder: Path, context: int = 256) -> Path:
    """Write the checkpoint: 64-pixel pictures, one token a byte, a template without a system role."""
    torch.manual_seed(3)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {word: i for i, word in enumerate([*SPECIAL, *alphabet])}
    bytes_only = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    bytes_only.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bytes_only.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bytes_only,
        pad_token="<pad>",
        eos_token="<end_of_utterance>",
        additional_special_tokens=SPECIAL[2:],
    )
    images = Idefics3ImageProcessor(
        do_image_splitting=False, size={"longest_edge": 64}, max_image_size={"longest_edge": 64}
    )
    processor = Idefics3Processor(images, tokenizer, image_seq_len=4, chat_template=TEMPLATE)
    shape = {"num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64}
    config = Idefics3Config(
        vision_config={"hidden_size": 32, "image_size": 64, "patch_size": 16, **shape},
        text_config={
            "model_type": "llama",
            "vocab_size": len(tokenizer),
            "hidden_size": 64,
            "num_key_value_heads": 2,
            "head_dim": 64,
            "max_position_embeddings": context,
            "pad_token_id": 0,
            "bos_token_id": None,
            "eos_token_id": 1,
            **shape,
        },
        scale_factor=2,
        image_token_id=2,
        pad_token_id=0,
        bos_token_id=None,
        eos_token_id=1,
    )
    model = Idefics3ForConditionalGeneration(config)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder
