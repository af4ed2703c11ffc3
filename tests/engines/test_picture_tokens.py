"""The families' rules for a picture's tokens, against the families' own code and published examples."""

import pytest

from engines.picture_tokens import merged_patches, rule_of, tiled

SIZES = [
    (224, 224),
    (1024, 1024),
    (1536, 640),
    (640, 1536),
    (33, 47),
    (8, 8),
    (6000, 4000),
    (1, 150),
    (513, 512),
]


@pytest.mark.parametrize(("width", "height"), SIZES)
@pytest.mark.parametrize(("side", "least", "most"), [(28, 56 * 56, 12_845_056), (32, 65_536, 16_777_216)])
def test_qwens_squares_are_those_of_its_preprocessor(
    width: int, height: int, side: int, least: int, most: int
) -> None:
    reference = pytest.importorskip("transformers.models.qwen2_vl.image_processing_qwen2_vl")
    h, w = reference.smart_resize(height, width, side, least, most)
    assert merged_patches(width, height, side, least, most) == (h // side) * (w // side) + 2


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_internvls_tiles_are_those_of_its_preprocessor(width: int, height: int) -> None:
    reference = pytest.importorskip("transformers.models.got_ocr2.image_processing_got_ocr2")
    across, down = reference.get_optimal_tiled_canvas((height, width), (448, 448), 1, 12)
    tiles = across * down
    assert tiled(width, height) == 256 * (tiles + (tiles > 1))


@pytest.mark.parametrize(
    ("model", "size", "tokens"),
    [  # OpenAI's own examples, and what its servers were seen to bill
        ("gpt-4o", (1024, 1024), 765),
        ("gpt-4o-2024-08-06", (2048, 4096), 1105),
        ("gpt-4.1", (128, 64), 255),
        ("gpt-4o-mini", (128, 64), 8500),
        ("o3", (128, 64), 225),
        ("gpt-4.1-mini", (1024, 1024), 1659),
        ("gpt-4.1-mini", (1800, 2400), 2353),
        ("openai/gpt-5-nano", (32, 32), 3),
        ("Qwen/Qwen2.5-VL-7B-Instruct", (280, 280), 102),
        ("Qwen/Qwen3-VL-8B-Instruct", (320, 320), 102),
        ("OpenGVLab/InternVL3-8B", (448, 448), 256),
    ],
)
def test_a_name_tells_the_rule(model: str, size: tuple[int, int], tokens: int) -> None:
    rule = rule_of(model)
    assert rule is not None and rule.tokens(*size) == tokens and rule.source


@pytest.mark.parametrize("model", ["nano", "llava", "gpt-5.2", "gpt-6", "not-gpt-4o", "claude", ""])
def test_of_others_nothing_is_claimed(model: str) -> None:
    assert rule_of(model) is None
