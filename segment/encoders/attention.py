"""The global attention of SAM's ViT without its table of relative positions, which is the encoder's whole memory.

SAM adds to the score of a query and a key what their distances in rows and in columns are worth to the query
(Li et al. 2022, MViTv2, section 4.1): for 64 x 64 cells and 12 heads 800 MB in one block, written and read again.
Here a few rows of queries at a time get their scores, in a buffer that stays in the processor's cache. The numbers
are the same but for rounding.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

_ROWS = 8  # of queries at a time: for 64 columns and float32 8 MB of scores


class GlobalAttention(nn.Module):
    """Takes the place of transformers' SamVisionAttention in a block without windows, with that one's weights."""

    def __init__(self, source: Any) -> None:
        super().__init__()
        self.qkv, self.proj = source.qkv, source.proj
        self.rel_pos_h, self.rel_pos_w = source.rel_pos_h, source.rel_pos_w
        self.heads: int = source.num_attention_heads

    def forward(self, hidden_states: Tensor) -> tuple[Tensor, None]:
        """Cells (b, s, s, hidden) to cells (b, s, s, hidden); no attention weights are handed out."""
        b, s, _, hidden = hidden_states.shape
        shape = (b, s * s, 3, self.heads, hidden // self.heads)
        q, k, v = self.qkv(hidden_states).view(shape).permute(2, 0, 3, 1, 4)
        rows = torch.einsum(
            "bnhwc,hkc->bnhwk", q.unflatten(2, (s, s)), _distances(self.rel_pos_h, s)
        ).flatten(2, 3)
        columns = torch.einsum(
            "bnhwc,wkc->bnhwk", q.unflatten(2, (s, s)), _distances(self.rel_pos_w, s)
        ).flatten(2, 3)
        attend = _by_rows if hidden_states.device.type == "cpu" else _at_once
        out = attend(q, k, v, rows, columns)
        return self.proj(out.transpose(1, 2).reshape(b, s, s, hidden)), None


def lighten(vision_encoder: Any) -> None:
    """Replace the global attentions of transformers' SAM or SAM-HQ vision encoder, where they know distances."""
    for layer in vision_encoder.layers:
        if layer.window_size == 0 and layer.attn.use_rel_pos:
            layer.attn = GlobalAttention(layer.attn)


def _distances(table: Tensor, s: int) -> Tensor:
    """(s, s, c): for a query's and a key's row (or column) the entry of their distance in the table (2 s - 1, c)."""
    at = torch.arange(s, device=table.device)
    return table[at[:, None] - at[None, :] + s - 1]


def _at_once(q: Tensor, k: Tensor, v: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """All of it in one kernel, picture by picture: on a GPU the table is quickly made, only large."""
    outs = []
    for i in range(len(q)):
        bias = (rows[i, :, :, :, None] + columns[i, :, :, None, :]).flatten(2)
        outs.append(scaled_dot_product_attention(q[i], k[i], v[i], attn_mask=bias))
    return torch.stack(outs)


def _by_rows(q: Tensor, k: Tensor, v: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Attention (b, heads, n, c) head by head and `_ROWS` rows of queries at a time; `rows` and `columns` (…, n, s)."""
    b, heads, n, c = q.shape
    s = rows.shape[-1]
    step = min(_ROWS * s, n)
    q = q * c**-0.5
    out, scores, weights = torch.empty_like(q), q.new_empty(step, n), q.new_empty(step, n)
    for i in range(b):
        for h in range(heads):
            keys = k[i, h].T
            for at in range(0, n, step):
                part = slice(at, min(at + step, n))
                size = part.stop - at
                torch.mm(q[i, h, part], keys, out=scores[:size])
                grid = scores[:size].view(size, s, s)
                grid += rows[i, h, part, :, None]
                grid += columns[i, h, part, None, :]
                torch.softmax(scores[:size], -1, out=weights[:size])
                torch.mm(weights[:size], v[i, h], out=out[i, h, part])
    return out
