"""nano's weights on disk: half precision in safetensors, loaded in float32."""

import json
from pathlib import Path

from transformers import Idefics3ForConditionalGeneration, PreTrainedTokenizerFast

from nano.tokenizer import new_processor


def save_vlm(vlm: Idefics3ForConditionalGeneration, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Write a checkpoint that transformers and vLLM load. The weights given are rounded to half precision."""
    vlm.half().save_pretrained(folder)
    vlm.float()
    new_processor(tokenizer).save_pretrained(folder)
    config = folder / "config.json"
    content = json.loads(config.read_text(encoding="utf-8"))
    for part in (content, content["text_config"], content["vision_config"]):
        part["dtype"] = "float32"  # without it, a loader that follows the files computes in half precision
    config.write_text(json.dumps(content, indent=1, sort_keys=True) + "\n", encoding="utf-8")
