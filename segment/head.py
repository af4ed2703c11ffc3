"""The defect head: learned defect tokens in SAM's mask decoder, over a SAM image encoder.

Three tokens take the place of SAM's prompts: one becomes the mask, one P(defective), one the quality: as it is if
what looks wrong is a defect, and as it is if the prompt asked for it, which a picture alone cannot tell.
Encoder and decoder are transformers' own SAM modules, so that SAM's weights fit them as they are.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import SamMaskDecoderConfig, SamVisionConfig
from transformers.models.sam.modeling_sam import SamMaskDecoder, SamPositionalEmbedding, SamVisionEncoder

from flawscribe.errors import SetupError

FORMAT = "flawscribe-defect-head"
_MASK, _PRESENCE, _QUALITY = range(3)


@dataclass(frozen=True)
class HeadConfig:
    """The head's shape, and the thresholds that validation chose.

    `mean` and `std` normalise RGB in [0, 1]; `mask_threshold` is the probability from which a pixel is
    marked, `presence_threshold` the P(defective) below which no pixel is.
    """

    vision: dict[str, Any]
    decoder: dict[str, Any]
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    mask_threshold: float = 0.5
    presence_threshold: float = 0.5


@dataclass(frozen=True)
class HeadOutput:
    """Raw answers for a batch: `mask` logits (b, s, s) at a quarter of the input side, `presence` logits (b,),
    `quality` (b, 2) in [1, 5]: with the anomalies as defects, and without."""

    mask: Tensor
    presence: Tensor
    quality: Tensor


class DefectHead(nn.Module):
    """Encoder, decoder and defect tokens in one module.

    Input: (b, 3, side, side) normalised RGB, the picture in the upper left corner, the rest zero (SAM's frame).
    """

    def __init__(self, config: HeadConfig) -> None:
        super().__init__()
        self.config = config
        vision = SamVisionConfig(**config.vision)
        decoder = SamMaskDecoderConfig(**config.decoder)
        vision._attn_implementation = decoder._attn_implementation = "sdpa"
        width = decoder.hidden_size
        self.side: int = config.vision["image_size"]
        self.mean, self.std, self.stretch = config.mean, config.std, False
        self.encoder = SamVisionEncoder(vision)
        self.decoder = SamMaskDecoder(decoder)
        self.positions = SamPositionalEmbedding(vision)
        self.tokens = nn.Parameter(torch.randn(3, width) * 0.02)
        self.presence = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, 1))
        self.quality = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, 2))

    def forward(self, pixels: Tensor) -> HeadOutput:
        """Mask logits, presence logits and quality of a batch (see HeadOutput)."""
        return self.decode(self.encoder(pixels).last_hidden_state)

    def decode(self, embedding: Tensor) -> HeadOutput:
        """The answers from encoder embeddings (b, width, h, w)."""
        batch, width, h, w = embedding.shape
        tokens = self.tokens.expand(batch, 1, -1, -1)
        out, image = self.decoder.transformer(
            point_embeddings=tokens,
            image_embeddings=embedding,
            image_positional_embeddings=self._grid(h, w, embedding).expand(batch, -1, -1, -1),
            attention_similarity=None,
        )[:2]
        out = out[:, 0]
        image = image.transpose(2, 3).reshape(batch, width, h, w)
        up = self.decoder.activation(self.decoder.upscale_layer_norm(self.decoder.upscale_conv1(image)))
        up = self.decoder.activation(self.decoder.upscale_conv2(up))
        weights = self.decoder.output_hypernetworks_mlps[0](out[:, _MASK])
        mask = torch.einsum("bc,bchw->bhw", weights, up)
        quality = 1 + 4 * torch.sigmoid(self.quality(out[:, _QUALITY]))
        return HeadOutput(mask, self.presence(out[:, _PRESENCE])[:, 0], quality)

    def _grid(self, h: int, w: int, like: Tensor) -> Tensor:
        ys = (torch.arange(h, device=like.device, dtype=like.dtype) + 0.5) / h
        xs = (torch.arange(w, device=like.device, dtype=like.dtype) + 0.5) / w
        grid = torch.stack(torch.meshgrid(xs, ys, indexing="xy"), dim=-1)
        return self.positions(grid).permute(2, 0, 1)[None].to(like.dtype)


def save_head(head: DefectHead, folder: Path) -> None:
    """Write `config.json` and half-precision `model.safetensors`."""
    folder.mkdir(parents=True, exist_ok=True)
    state = {k: v.detach().cpu().to(torch.float16).contiguous() for k, v in head.state_dict().items()}
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    text = json.dumps({"format": FORMAT, **asdict(head.config)}, indent=1)
    (folder / "config.json").write_text(text + "\n", encoding="utf-8")


def load_head(folder: Path, device: str = "cpu") -> DefectHead:
    """Read a head as `save_head` wrote it, in float32; SetupError where the folder holds none."""
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        if config.pop("format", None) != FORMAT:
            raise ValueError(f"its config.json is not of the format {FORMAT}")
        head = DefectHead(HeadConfig(**config))
        state = load_file(folder / "model.safetensors")
        head.load_state_dict({k: v.float() for k, v in state.items()})
    except Exception as e:  # a hostile or damaged checkpoint fails in whatever way it was made to
        raise SetupError(f"{folder} holds no defect head: {str(e).splitlines()[0]}") from e
    return head.eval().to(device)
