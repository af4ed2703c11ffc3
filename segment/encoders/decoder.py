"""SAM's own mask decoder behind one interface: boxes and points as prompts, and its parts to start a head from."""

from typing import Any

import torch
from torch import Tensor, nn
from transformers import SamMaskDecoderConfig, SamVisionConfig
from transformers.models.sam.modeling_sam import SamMaskDecoder, SamPositionalEmbedding

from flawscribe.errors import UserError
from segment.encoders.base import Features


class Decoder:
    """A checkpoint's mask decoder over features of frames.

    `mask_decoder` is transformers' SamMaskDecoder with the checkpoint's weights, a copy: what a defect head starts
    from (SAM 2's and SAM-HQ's have more parts, for their own prompts, which a head does without). `positions` encodes
    places in [0, 1], a copy too; `no_mask` (width,) is what SAM adds to every cell where no mask is given.
    """

    def __init__(self, model: Any, grid: int, side: int) -> None:
        self._model, self.grid, self.side = model, grid, side
        self.mask_decoder = _plain(model.mask_decoder, model.config.mask_decoder_config)
        self.positions = _positions(model.shared_image_embedding.positional_embedding)
        self.no_mask: Tensor = model.prompt_encoder.no_mask_embed.weight[0].detach().clone()

    @classmethod
    def without_prompts(
        cls, mask_decoder: SamMaskDecoder, positions: SamPositionalEmbedding, grid: int, side: int
    ) -> "Decoder":
        """A decoder that starts a head but takes no prompts."""
        decoder = cls.__new__(cls)
        decoder._model, decoder.grid, decoder.side = None, grid, side
        decoder.mask_decoder = _plain(mask_decoder, mask_decoder.config)
        decoder.positions = _positions(positions.positional_embedding)
        decoder.no_mask = torch.zeros(mask_decoder.hidden_size, device=positions.positional_embedding.device)
        return decoder

    @torch.no_grad()
    def masks(
        self,
        features: Features,
        boxes: Tensor | None = None,
        points: Tensor | None = None,
        labels: Tensor | None = None,
        multimask: bool = False,
    ) -> tuple[Tensor, Tensor]:
        """Mask logits (b, n, m, 4 grid, 4 grid) and predicted IoUs (b, n, m) for n prompts on each of b frames.

        A prompt is a box, `boxes` (b, n, 4) as x0, y0, x1, y1, or k points, `points` (b, n, k, 2) as x, y with
        `labels` (b, n, k), 1 on the object and 0 off it, or both; all in pixels of the frame (see `frame_points`).
        m is 1, or with `multimask` the decoder's three guesses. Raises UserError where the checkpoint takes none.
        """
        if self._model is None:
            raise UserError("nano's encoder takes no prompts: give a SAM checkpoint as the encoder")
        asked = boxes if boxes is not None else points
        if asked is None or asked.shape[0] * asked.shape[1] < 2 or features.embedding.device.type != "cpu":
            return self._masks(features, boxes, points, labels, multimask)
        alone = []  # one by one there: eight copies of an embedding leave the cache, and take half as long again
        for i in range(asked.shape[0]):
            for j in range(asked.shape[1]):
                box, point, label = (
                    None if x is None else x[i : i + 1, j : j + 1] for x in (boxes, points, labels)
                )
                alone.append(self._masks(features[i : i + 1], box, point, label, multimask))
        masks, scores = (
            torch.cat(x).unflatten(0, asked.shape[:2]).squeeze(2) for x in zip(*alone, strict=True)
        )
        return masks, scores

    def _masks(
        self,
        features: Features,
        boxes: Tensor | None,
        points: Tensor | None,
        labels: Tensor | None,
        multimask: bool,
    ) -> tuple[Tensor, Tensor]:
        model, embedding = self._model, features.embedding
        sparse, dense = model.prompt_encoder(
            input_points=points, input_labels=labels, input_boxes=boxes, input_masks=None
        )
        positions = model.get_image_wide_positional_embeddings().expand(len(embedding), -1, -1, -1)
        if model.config.model_type == "sam_hq":
            return _hq_masks(model.mask_decoder, features, positions, sparse, dense, multimask)
        fine = {"high_resolution_features": list(features.extra)} if features.extra else {}
        found = model.mask_decoder(
            image_embeddings=embedding,
            image_positional_embeddings=positions,
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
            multimask_output=multimask,
            **fine,
        )
        return found[0], found[1]


def _hq_masks(
    part: Any, features: Features, positions: Tensor, sparse: Tensor, dense: Tensor, multimask: bool
) -> tuple[Tensor, Tensor]:
    """SAM-HQ's masks, SAM's plus those of its own token (Ke et al. 2023, section 3.2); see `Decoder.masks`.

    With `multimask` the three are in the order of their scores. transformers' own decoder (5.19) upscales the
    embedding as it was before the transformer, and transposed; this one upscales the transformer's, as SAM-HQ does.
    """
    embedding, (b, n) = features.embedding, sparse.shape[:2]
    own = torch.cat([part.iou_token.weight, part.mask_tokens.weight, part.hq_token.weight])
    tokens = torch.cat([own.expand(b, n, -1, -1), sparse], dim=2)
    found, image = part.transformer(
        point_embeddings=tokens,
        image_embeddings=(embedding + dense).repeat_interleave(n, 0),
        image_positional_embeddings=positions.repeat_interleave(n, 0),
        attention_similarity=None,
    )
    image = image.transpose(2, 3).reshape(b * n, *embedding.shape[1:])
    up = part.activation(part.upscale_layer_norm(part.upscale_conv1(image)))
    up = part.activation(part.upscale_conv2(up))
    early = part.activation(
        part.compress_vit_norm(part.compress_vit_conv1(features.extra[0].permute(0, 3, 1, 2)))
    )
    late = part.activation(part.encoder_norm(part.encoder_conv1(embedding)))
    sharp = part.encoder_conv2(late) + part.compress_vit_conv2(early)
    fused = part.mask_conv2(part.activation(part.mask_norm(part.mask_conv1(up)))) + sharp.repeat_interleave(
        n, 0
    )
    sam = [mlp(found[:, :, 1 + i]) for i, mlp in enumerate(part.output_hypernetworks_mlps)]
    hq = part.hq_mask_mlp(found[:, :, 1 + len(sam)])

    def drawn(weights: Tensor, picture: Tensor) -> Tensor:
        picture = picture.reshape(b, n, *picture.shape[1:])
        return torch.einsum("bnmc,bnchw->bnmhw", weights, picture)

    masks = drawn(torch.stack(sam, dim=2), up)
    scores = part.iou_prediction_head(found[:, :, 0])
    if multimask:
        scores, order = scores[:, :, 1:].sort(dim=2, descending=True)
        masks = masks[:, :, 1:].gather(2, order[..., None, None].expand(-1, -1, -1, *masks.shape[3:]))
    else:
        scores, masks = scores[:, :, :1], masks[:, :, :1]
    return masks + drawn(hq[:, :, None], fused), scores


_SHARED = (
    "hidden_size",
    "mlp_dim",
    "num_hidden_layers",
    "num_attention_heads",
    "attention_downsample_rate",
    "num_multimask_outputs",
    "iou_head_depth",
    "iou_head_hidden_dim",
)


def _plain(source: nn.Module, config: Any) -> SamMaskDecoder:
    """SAM's mask decoder with the weights of SAM's, SAM-HQ's or SAM 2's; what the latter have beside them is left out.

    SAM 2's blocks use LayerNorm's default epsilon, and some of their parts are called otherwise.
    """
    shared = {key: getattr(config, key) for key in _SHARED}
    plain_config = SamMaskDecoderConfig(**shared, layer_norm_eps=getattr(config, "layer_norm_eps", 1e-5))
    plain_config._attn_implementation = "sdpa"
    plain = SamMaskDecoder(plain_config)
    state = {}
    for name, tensor in source.state_dict().items():
        if ".mlp." in name:
            name = name.replace("proj_in", "lin1").replace("proj_out", "lin2")
        name = name.replace(".o_proj.", ".out_proj.")
        state[name] = tensor
    plain.load_state_dict({name: state[name] for name in plain.state_dict()})
    return plain.to(next(source.parameters()).device)


def _positions(matrix: Tensor) -> SamPositionalEmbedding:
    positions = SamPositionalEmbedding(SamVisionConfig(num_pos_feats=matrix.shape[1]))
    positions.positional_embedding = nn.Parameter(matrix.detach().clone())
    return positions
