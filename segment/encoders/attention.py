"""SAM's ViT blocks without their tables of relative positions, most of the encoder's memory.

SAM adds to the score of a query and a key what their distances in rows and in columns are worth to the query
(Li et al. 2022, MViTv2, section 4.1): for 64 x 64 cells and 12 heads 800 MB in one block, written and read again.
Here the scores are made a part at a time, in a buffer that stays in the processor's cache. Windows are cut from the
projected cells, so that the cells which only fill up the last windows are not projected. The numbers are the same but
for rounding.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

_ROWS = 8  # of queries at a time: for 64 columns and float32 8 MB of scores


class Block(nn.Module):
    """Takes the place of transformers' SamVisionLayer, with that one's weights and parts' names."""

    def __init__(self, source: Any) -> None:
        super().__init__()
        self.layer_norm1, self.layer_norm2, self.mlp = source.layer_norm1, source.layer_norm2, source.mlp
        self.attn, self.window_size = Attention(source.attn, source.window_size), source.window_size

    def forward(self, cells: Tensor) -> Tensor:
        """Cells (b, s, s, hidden) to cells."""
        cells = cells + self.attn(self.layer_norm1(cells))
        return cells + self.mlp(self.layer_norm2(cells))


class Attention(nn.Module):
    """Attention over all cells, or with `window` among the cells of each window of that side."""

    def __init__(self, source: Any, window: int) -> None:
        super().__init__()
        self.qkv, self.proj = source.qkv, source.proj
        self.rel_pos_h, self.rel_pos_w = source.rel_pos_h, source.rel_pos_w
        self.heads: int = source.num_attention_heads
        self.window = window

    def forward(self, cells: Tensor) -> Tensor:
        """Cells (b, s, s, hidden) to cells."""
        b, s, _, hidden = cells.shape
        side = self.window or s
        n = -(-s // side)  # windows in a row
        projected = self.qkv(cells)
        if n * side > s:  # what fills up the last windows is zero before it is projected
            full = projected.new_empty(b, n * side, n * side, 3 * hidden)
            full[:, :s, :s], full[:, s:], full[:, :s, s:] = projected, self.qkv.bias, self.qkv.bias
            projected = full
        parts = projected.view(b, n, side, n, side, 3, self.heads, -1).permute(5, 0, 1, 3, 6, 2, 4, 7)
        q, k, v = parts.reshape(3, b * n * n, self.heads, side * side, -1)
        grid = q.unflatten(2, (side, side))
        rows = torch.einsum("bnhwc,hkc->bnhwk", grid, _distances(self.rel_pos_h, side)).flatten(2, 3)
        columns = torch.einsum("bnhwc,wkc->bnhwk", grid, _distances(self.rel_pos_w, side)).flatten(2, 3)
        if cells.device.type != "cpu":
            out = _at_once(q, k, v, rows, columns)
        elif self.window:
            out = _by_windows(q, k, v, rows, columns)
        else:
            out = _by_rows(q, k, v, rows, columns)
        out = out.view(b, n, n, self.heads, side, side, -1).permute(0, 1, 4, 2, 5, 3, 6)
        return self.proj(out.reshape(b, n * side, n * side, hidden)[:, :s, :s])


def lighten(vision_encoder: Any) -> None:
    """Replace the blocks of transformers' SAM or SAM-HQ vision encoder, where they know relative positions."""
    for i, layer in enumerate(vision_encoder.layers):
        if layer.attn.use_rel_pos:
            vision_encoder.layers[i] = Block(layer)


def _distances(table: Tensor, s: int) -> Tensor:
    """(s, s, c): for a query's and a key's row (or column) the entry of their distance in the table (2 s - 1, c)."""
    at = torch.arange(s, device=table.device)
    return table[at[:, None] - at[None, :] + s - 1]


def _at_once(q: Tensor, k: Tensor, v: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """In one kernel: on a GPU the table is quickly made, only large. All of q, k, v are (b, heads, n, c)."""
    bias = (rows[..., :, None] + columns[..., None, :]).flatten(3)
    return scaled_dot_product_attention(q, k, v, attn_mask=bias)


def _by_windows(q: Tensor, k: Tensor, v: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """The same, window by window."""
    s = rows.shape[-1]
    out, q, scores = torch.empty_like(q), q * q.shape[-1] ** -0.5, q.new_empty(*q.shape[1:3], k.shape[2])
    for i in range(len(q)):
        torch.bmm(q[i], k[i].transpose(1, 2), out=scores)
        grid = scores.unflatten(2, (s, s))
        grid += rows[i, :, :, :, None]
        grid += columns[i, :, :, None, :]
        torch.bmm(scores.softmax(-1), v[i], out=out[i])
    return out


def _by_rows(q: Tensor, k: Tensor, v: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """The same, head by head and `_ROWS` rows of queries at a time."""
    b, heads, n, c = q.shape
    s = rows.shape[-1]
    step = min(_ROWS * s, n)
    out, q = torch.empty_like(q), q * c**-0.5
    scores, weights = q.new_empty(step, n), q.new_empty(step, n)
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
