"""nano's encoder: the packaged one of 3.0 million parameters, trained on drawn scenes alone."""

import json

import torch
from safetensors.torch import load_file
from torch import Tensor
from transformers import SamMaskDecoderConfig, SamVisionConfig
from transformers.models.sam.modeling_sam import SamMaskDecoder, SamPositionalEmbedding, SamVisionEncoder

from flawscribe.models import directory_digest, nano_head_path
from segment.encoders.base import Encoder, Features
from segment.encoders.checks import refused
from segment.encoders.decoder import Decoder


class NanoEncoder(Encoder):
    """SAM's ViT without windows and relative positions: frames of 128 px, embeddings (b, 128, 8, 8).

    Normalised by 0.5 and 0.5. Its decoder is the packaged defect head's, which never saw a prompt.
    """

    def __init__(self, vision: SamVisionConfig, decoder: SamMaskDecoderConfig, **known: object) -> None:
        super().__init__(side=vision.image_size, width=vision.output_channels, **known)  # type: ignore[arg-type]
        self.encoder = SamVisionEncoder(vision)
        self._decoder = SamMaskDecoder(decoder)
        self._positions = SamPositionalEmbedding(vision)

    def features(self, pixels: Tensor) -> Features:
        """The neck's output."""
        with torch.no_grad():
            return Features(self.encoder(pixels).last_hidden_state)

    def decoder(self) -> Decoder:
        """The packaged head's decoder; it takes no prompts."""
        return Decoder.without_prompts(self._decoder, self._positions, self.grid, self.side)


def load_nano() -> Encoder:
    """The packaged encoder; SetupError where its files are missing or damaged."""
    folder = nano_head_path()
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        vision, decoder = SamVisionConfig(**config["vision"]), SamMaskDecoderConfig(**config["decoder"])
        vision._attn_implementation = decoder._attn_implementation = "sdpa"
        encoder = NanoEncoder(
            vision,
            decoder,
            name="nano",
            digest=directory_digest(folder),
            mean=tuple(config["mean"]),
            std=tuple(config["std"]),
        )
        parts = {"encoder": encoder.encoder, "decoder": encoder._decoder, "positions": encoder._positions}
        state = load_file(folder / "model.safetensors")
        for prefix, part in parts.items():
            cut = len(prefix) + 1
            part.load_state_dict({k[cut:]: v.float() for k, v in state.items() if k.startswith(f"{prefix}.")})
    except Exception as e:
        raise refused(folder, e) from e
    return encoder
