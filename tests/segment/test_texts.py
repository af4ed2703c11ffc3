"""Descriptions as vectors: hashed, or by a model of sentence embeddings."""

from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

from flawscribe.errors import SetupError, UserError
from segment.head import TextRef
from segment.texts import embedder, embedder_of, text_digest

TEXTS = ["The left arm is missing.", "the left arm is missing", "A fish in the air.", "", "  "]


def test_hashed_words() -> None:
    embed, width = embedder("hashed")
    vectors = embed(TEXTS)
    assert vectors.shape == (5, width) and vectors.dtype == np.float32
    assert np.allclose(np.linalg.norm(vectors, axis=1), [1, 1, 1, 0, 0])
    assert np.array_equal(vectors[0], vectors[1]) and vectors[0] @ vectors[2] < 0.3
    assert embed(["arm " * 10_000]).shape == (1, width)


def test_a_model_from_a_folder(tmp_path: Path) -> None:
    words = {"[PAD]": 0, "[UNK]": 1, "left": 2, "arm": 3, "fish": 4}
    core = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
    core.pre_tokenizer = pre_tokenizers.Whitespace()
    tokens = PreTrainedTokenizerFast(tokenizer_object=core, pad_token="[PAD]", unk_token="[UNK]")
    tokens.save_pretrained(tmp_path)
    shape = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    BertModel(BertConfig(vocab_size=5, max_position_embeddings=40, **shape)).save_pretrained(tmp_path)
    embed, width = embedder(str(tmp_path))
    vectors = embed([*TEXTS, "arm " * 1000])
    assert vectors.shape == (6, width) == (6, 16)
    assert np.allclose(np.linalg.norm(vectors, axis=1), [1, 1, 1, 0, 0, 1], atol=1e-5)
    assert np.array_equal(embed(TEXTS[:1]), vectors[:1])
    ref = TextRef(str(tmp_path), text_digest(str(tmp_path)), width)
    assert embedder_of(ref)(TEXTS[:1]).shape == (1, 16)
    with pytest.raises(SetupError, match="trained with other embeddings"):
        embedder_of(TextRef(str(tmp_path), "0" * 16, width))


def test_a_name_that_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no model"):
        embedder("no such model")
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(SetupError, match="is no model of sentence embeddings"):
        embedder(str(tmp_path))
