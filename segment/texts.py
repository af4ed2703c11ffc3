"""Descriptions as vectors, for a mask that follows the words.

The packaged way needs no weights: words and pairs of neighbouring words, hashed into a fixed number of counts (the
hashing trick, Weinberger et al. 2009, through scikit-learn). A model of sentence embeddings takes its place where
one is named.
"""

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from flawscribe.errors import SetupError, UserError, one_line
from flawscribe.models import resolve_model

if TYPE_CHECKING:
    from segment.head import TextRef

HASHED = "hashed"
HASHED_WIDTH = 2048
_LONGEST = 4000  # characters of a description that are looked at
Embed = Callable[[Sequence[str]], np.ndarray]


def embedder(name: str) -> tuple[Embed, int]:
    """What turns n texts into float32 (n, width) of unit length, and that width; an empty text is all zero.

    `name` is "hashed", or a directory or hub id (`org/name[@revision]`) of an encoder that transformers loads (mean of
    the last layer over the tokens, as sentence-transformers' models are trained for). Raises UserError for a name
    that is neither, SetupError where it cannot be loaded.
    """
    return (_hashed, HASHED_WIDTH) if name == HASHED else _model(name)


def embedder_of(ref: "TextRef") -> Embed:
    """What embeds descriptions for a head that was trained with it; SetupError where it is gone or another by now."""
    try:
        embed, width = embedder(ref.name)
    except UserError as e:
        raise SetupError(f"what embeds descriptions for the head cannot be loaded: {e}") from e
    if (width, text_digest(ref.name)) != (ref.width, ref.digest):
        raise SetupError(
            f"the head was trained with other embeddings than {ref.name} now makes: train it again"
        )
    return embed


def _hashed(texts: Sequence[str]) -> np.ndarray:
    from sklearn.feature_extraction.text import HashingVectorizer

    hashing = HashingVectorizer(n_features=HASHED_WIDTH, ngram_range=(1, 2), norm="l2", dtype=np.float32)
    return np.asarray(hashing.transform([t[:_LONGEST] for t in texts]).todense(), dtype=np.float32)


@cache
def _model(name: str) -> tuple[Embed, int]:
    import torch
    from transformers import AutoModel, AutoTokenizer

    found = resolve_model(name)
    revision = found.revision if found.kind == "hub" else None
    try:
        tokenizer = AutoTokenizer.from_pretrained(found.path, revision=revision)
        model = AutoModel.from_pretrained(found.path, revision=revision, use_safetensors=True).eval()
        width, longest = int(model.config.hidden_size), int(model.config.max_position_embeddings) - 2
    except Exception as e:  # a damaged or missing checkpoint fails in any way
        raise SetupError(f"{name} is no model of sentence embeddings: {one_line(e)}") from e

    @torch.inference_mode()
    def embed(texts: Sequence[str]) -> np.ndarray:
        vectors = np.zeros((len(texts), width), dtype=np.float32)
        for at, text in enumerate(texts):
            if not text.strip():
                continue
            tokens = tokenizer(text[:_LONGEST], truncation=True, max_length=longest, return_tensors="pt")
            mean = model(**tokens).last_hidden_state[0].mean(0)
            vectors[at] = (mean / mean.norm().clamp(min=1e-6)).numpy()
        return vectors

    return embed, width


def text_digest(name: str) -> str:
    """What identifies the embedding in a checkpoint: other weights of the same name are another."""
    if name == HASHED:
        return f"{HASHED}-{HASHED_WIDTH}"
    return resolve_model(name).revision if Path(name).expanduser().is_dir() else name
