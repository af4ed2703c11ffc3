"""The defect head: learned defect tokens in SAM's mask decoder, over a SAM image encoder.

Three tokens take the place of SAM's prompts: one becomes the mask, one P(defective), one the quality: as it is if
what looks wrong is a defect, and as it is if the prompt asked for it, which a picture alone cannot tell. A head may
have two things more: a branch that sees the pixels (`segment.refine`), with a quality that knows how sharp they are
(`segment.sharpness`), and a description that the mask follows: a fourth token, projected from its embedding in the
manner of LISA (Lai et al. 2024), and the places that it names, as a mask that prompts SAM is given (`segment.words`).
Encoder and decoder are transformers' own SAM modules, so that SAM's weights fit them as they are.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate
from transformers import SamMaskDecoderConfig, SamVisionConfig
from transformers.models.sam.modeling_sam import SamMaskDecoder, SamPositionalEmbedding, SamVisionEncoder

from segment.encoders.base import Encoder, inside
from segment.refine import Refiner
from segment.sharpness import QUANTILES, sharpness
from segment.words import GRID

_MASK, _PRESENCE, _QUALITY = range(3)
_DECODER = (
    "hidden_size",
    "mlp_dim",
    "num_hidden_layers",
    "num_attention_heads",
    "attention_downsample_rate",
    "num_multimask_outputs",
    "iou_head_depth",
    "iou_head_hidden_dim",
    "layer_norm_eps",
)
_FINEST = 256  # the side of refined masks: SAM's own, and all that smaller encoders see


@dataclass(frozen=True)
class EncoderRef:
    """The frozen encoder that a head was trained over: `name` as `load_encoder` takes it, `digest` of its weights."""

    name: str
    digest: str
    side: int
    width: int


@dataclass(frozen=True)
class TextRef:
    """What embeds descriptions for the head (see `segment.texts`): its name, its digest, the vectors' width."""

    name: str
    digest: str
    width: int


@dataclass(frozen=True)
class HeadConfig:
    """The head's shape, and the thresholds that validation chose.

    Either `vision`, the shape of a SAM encoder that is part of the checkpoint, or `encoder`, one that stands elsewhere.
    `mean` and `std` normalise RGB in [0, 1]; `mask_threshold` is the probability from which a pixel is
    marked, `presence_threshold` the P(defective) below which no pixel is. `detail` is the side in pixels of refined
    masks, 0 where the head does not look at pixels; `text` is None for a head that takes no description. `unlearnt`
    names what training did not teach it: "presence" (P(defective)), "quality". With `pooled` the mask has a say in
    P(defective).
    """

    decoder: dict[str, Any]
    vision: dict[str, Any] | None = None
    encoder: EncoderRef | None = None
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    mask_threshold: float = 0.5
    presence_threshold: float = 0.5
    detail: int = 0
    text: TextRef | None = None
    unlearnt: tuple[str, ...] = ()
    pooled: bool = False


@dataclass(frozen=True)
class Seen:
    """What a head looks at, of b pictures: the encoder's `embedding` (b, width, grid, grid); where the head looks at
    pixels too, `detail` (b, 3, m, m), normalised RGB with zeros beside the picture, and their `sharpness` (b, 6).
    `shares` are the (height, width) of the frame, each in (0, 1], that the pictures take; None where all of it."""

    embedding: Tensor
    detail: Tensor | None = None
    sharpness: Tensor | None = None
    shares: tuple[tuple[float, float], ...] | None = None

    def inner(self, side: int) -> list[tuple[int, int]]:
        """The (height, width) that each picture takes in a map of the frame with `side` cells a side."""
        return [inside(share, side) for share in self.shares or ((1.0, 1.0),) * len(self.embedding)]

    def __getitem__(self, which: Tensor) -> "Seen":
        """Those of some of the pictures, by a bool (b,)."""
        detail, sharp, shares = self.detail, self.sharpness, self.shares
        return Seen(
            self.embedding[which],
            None if detail is None else detail[which],
            None if sharp is None else sharp[which],
            None if shares is None else tuple(s for s, w in zip(shares, which.tolist(), strict=True) if w),
        )


@dataclass(frozen=True)
class HeadOutput:
    """Raw answers for a batch: `mask` logits (b, m, m) of the whole frame (m is a quarter of the encoder's side, or
    `detail` where the head refines), `presence` logits (b,), `quality` (b, 2) in [1, 5]: with the anomalies as
    defects, and without."""

    mask: Tensor
    presence: Tensor
    quality: Tensor


class DefectHead(nn.Module):
    """Encoder, decoder and defect tokens in one module.

    Input: (b, 3, side, side) normalised RGB frames (see `segment.encoders.base.frame`). An encoder that is given stays
    frozen and no part of the head's own weights.
    """

    def __init__(self, config: HeadConfig, encoder: Encoder | None = None) -> None:
        super().__init__()
        if (encoder is None) == (config.vision is None):
            raise ValueError("a head has an encoder of its own or is given one")
        self.config = config
        decoder = SamMaskDecoderConfig(**config.decoder)
        decoder._attn_implementation = "sdpa"
        width = decoder.hidden_size
        self.encoder: nn.Module
        if encoder is None:
            assert config.vision is not None
            vision = SamVisionConfig(**config.vision)
            vision._attn_implementation = "sdpa"
            self.side: int = config.vision["image_size"]
            self.stretch = False
            self.encoder = SamVisionEncoder(vision)
        else:
            vision = SamVisionConfig(num_pos_feats=width // 2)
            self.side, self.stretch, self.encoder = encoder.side, encoder.stretch, encoder
        self.decoder = SamMaskDecoder(decoder)
        self.positions = SamPositionalEmbedding(vision)
        self.tokens = nn.Parameter(torch.randn(3, width) * 0.02)
        # What SAM adds to every cell where it is given no mask; heads with an encoder of their own do without.
        self.dense = nn.Parameter(torch.zeros(width)) if encoder is not None else None
        self.presence = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, 1))
        self.quality = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, 2))
        self.refiner = Refiner(width) if config.detail else None
        self.polish = _polish(width) if config.detail else None
        self.words = self.no_words = None
        if config.text is not None:
            inner = 2 * width
            self.words = nn.Sequential(
                nn.Linear(config.text.width, inner), nn.GELU(), nn.Linear(inner, width)
            )
            self.no_words = nn.Parameter(torch.zeros(width))
            # What a named place adds to its cells, and to the mask's logits there: nothing, until it is trained.
            self.place = nn.Parameter(torch.zeros(width))
            self.place_gain = nn.Parameter(torch.zeros(1))

    @property
    def mean(self) -> tuple[float, float, float]:
        """The frame's normalisation, of RGB in [0, 1]."""
        return self.config.mean

    @property
    def std(self) -> tuple[float, float, float]:
        """The frame's normalisation, of RGB in [0, 1]."""
        return self.config.std

    @property
    def conditional(self) -> bool:
        """Whether the mask can follow a description."""
        return self.words is not None

    def set_thresholds(self, mask: float, presence: float) -> None:
        """Keep the thresholds, both probabilities, with the head."""
        self.config = replace(self.config, mask_threshold=mask, presence_threshold=presence)

    def learnt(self, what: str) -> bool:
        """Whether training taught it its "presence" (P(defective)) or "quality"."""
        return what not in self.config.unlearnt

    def forward(
        self,
        pixels: Tensor,
        texts: Tensor | None = None,
        taken: Sequence[tuple[int, int]] | None = None,
    ) -> HeadOutput:
        """The answers for frames (b, 3, side, side), of which pictures take the (height, width) `taken`, else all;
        for `texts` see `answer`."""
        return self.answer(self.look(pixels, taken), texts)

    def embed(self, pixels: Tensor) -> Tensor:
        """The encoder's embeddings, float32 (b, width, grid, grid), of frames."""
        found = self.encoder(pixels)
        return found if isinstance(found, Tensor) else found.last_hidden_state

    def look(self, pixels: Tensor, taken: Sequence[tuple[int, int]] | None = None) -> Seen:
        """What the head sees of frames; `taken` as for `forward`."""
        embedding, side = self.embed(pixels), self.config.detail
        shares = tuple((h / self.side, w / self.side) for h, w in taken) if taken else None
        if not side:
            return Seen(embedding, shares=shares)
        detail = interpolate(pixels, size=side, mode="area")
        seen = Seen(embedding, detail, shares=shares)
        sharp = [sharpness(d[:, :h, :w]) for d, (h, w) in zip(detail, seen.inner(side), strict=True)]
        return replace(seen, sharpness=torch.stack(sharp))

    def answer(self, seen: Seen, texts: Tensor | None = None) -> HeadOutput:
        """P(defective), quality and mask; where a row of `texts` (see `segment.words.row`) is not all zero, the mask
        follows it.

        P(defective) and quality never see the words: a description is made only of what somebody took to be
        defective, and its being there would tell the answer.
        """
        return self.follow(self.pool(self.decode(seen), seen), seen, texts)

    def pool(self, out: HeadOutput, seen: Seen) -> HeadOutput:
        """`out`, decoded without words, with P(defective) as the head answers it: pooled with the mask's surest pixel.

        The mean of both log-odds (a logarithmic opinion pool: Genest and Zidek 1986). Each alone is sure of some
        flawless pictures, but seldom both of one. It is made in the end, and not trained: on what the head has learnt
        from, masks are surer than elsewhere.
        """
        if not self.config.pooled:
            return out
        inner = seen.inner(out.mask.shape[-1])
        peaks = torch.stack([m[:h, :w].max() for m, (h, w) in zip(out.mask, inner, strict=True)])
        return replace(out, presence=(out.presence + peaks) / 2)

    def follow(self, out: HeadOutput, seen: Seen, texts: Tensor | None) -> HeadOutput:
        """`out`, made without words, with the masks of the rows of `texts` that are not all zero following them."""
        said = None if texts is None or not self.conditional else texts.abs().sum(1) > 0
        if texts is None or said is None or not bool(said.any()):
            return out
        mask = out.mask.clone()
        mask[said] = self.decode(seen[said], texts[said]).mask
        return replace(out, mask=mask)

    def decode(self, seen: Seen, texts: Tensor | None = None) -> HeadOutput:
        """One pass of the decoder, with `texts` (b, text width + GRID²; see `segment.words.row`) or none."""
        embedding = seen.embedding if self.dense is None else seen.embedding + self.dense[:, None, None]
        batch, width, h, w = embedding.shape
        tokens = self.tokens.expand(batch, 1, -1, -1)
        vectors, places = self._apart(texts)
        if places is not None:
            embedding = embedding + _enlarged(places, h) * self.place[:, None, None]
        if self.words is not None and self.no_words is not None:
            words = self._word_tokens(batch, vectors)[:, None, None]
            # A token of its own, which the picture's cells attend to, and in the mask's: the shorter way to learn.
            others = tokens.new_ones(tokens.shape[2], 1)
            others[[_PRESENCE, _QUALITY]] = 0
            tokens = torch.cat([tokens + others * words, words], 2)
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
        if self.refiner is not None and seen.detail is not None:
            mask = self.refiner(mask, up, image, seen.detail)
        if places is not None:
            mask = mask + self.place_gain * _enlarged(places, mask.shape[-1])[:, 0]
        judged = out[:, _QUALITY]
        if self.polish is not None and seen.sharpness is not None:
            judged = judged + self.polish(seen.sharpness)
        quality = 1 + 4 * torch.sigmoid(self.quality(judged))
        return HeadOutput(mask, self.presence(out[:, _PRESENCE])[:, 0], quality)

    def _apart(self, texts: Tensor | None) -> tuple[Tensor | None, Tensor | None]:
        """Embeddings (b, text width) and maps of places (b, 1, GRID, GRID) of rows of both."""
        if texts is None or self.config.text is None:
            return None, None
        width = self.config.text.width
        return texts[:, :width], texts[:, width:].reshape(-1, 1, GRID, GRID)

    def _word_tokens(self, batch: int, texts: Tensor | None) -> Tensor:
        """(b, width): the projected description, or what stands for none (a row that is all zero)."""
        assert self.words is not None and self.no_words is not None
        if texts is None:
            return self.no_words.expand(batch, -1)
        said = (texts.abs().sum(1, keepdim=True) > 0).to(texts.dtype)
        # Vectors of unit length have small numbers, from which a fresh layer would learn slowly.
        return said * self.words(texts * texts.shape[1] ** 0.5) + (1 - said) * self.no_words

    def _grid(self, h: int, w: int, like: Tensor) -> Tensor:
        ys = (torch.arange(h, device=like.device, dtype=like.dtype) + 0.5) / h
        xs = (torch.arange(w, device=like.device, dtype=like.dtype) + 0.5) / w
        grid = torch.stack(torch.meshgrid(xs, ys, indexing="xy"), dim=-1)
        return self.positions(grid).permute(2, 0, 1)[None].to(like.dtype)


def _enlarged(places: Tensor, side: int) -> Tensor:
    return interpolate(places, size=side, mode="bilinear", align_corners=False)


def _polish(width: int) -> nn.Sequential:
    """What sharpness adds to the quality's token: nothing, until it is trained."""
    last = nn.Linear(width, width)
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    return nn.Sequential(nn.Linear(len(QUANTILES), width), nn.GELU(), last)


def head_over(encoder: Encoder, text: TextRef | None = None, refine: bool = True) -> DefectHead:
    """A new head over a frozen encoder: the decoder starts from the checkpoint's own weights, the tokens anew."""
    source = encoder.decoder()
    config = HeadConfig(
        decoder={key: getattr(source.mask_decoder.config, key) for key in _DECODER},
        encoder=EncoderRef(encoder.name, encoder.digest, encoder.side, encoder.width),
        mean=encoder.mean,
        std=encoder.std,
        detail=min(encoder.side, _FINEST) if refine else 0,
        text=text,
        pooled=True,
    )
    head = DefectHead(config, encoder)
    head.decoder.load_state_dict(source.mask_decoder.state_dict())
    head.positions.load_state_dict(source.positions.state_dict())
    assert head.dense is not None
    head.dense.data.copy_(source.no_mask)
    return head
