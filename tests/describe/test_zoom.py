"""Pictures looked at in parts: what is shown, and how what the parts tell becomes one answer."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from describe.protocol import Ask
from describe.schedule import describe_samples
from describe.tiles import tiles, whereabouts
from describe.zoom import zoom
from engines import Answer, Fault, Request, Token
from engines.replay import ReplayEngine
from flawscribe.images import load_image
from flawscribe.records import Description, FailureKind, Row, Sample
from prompts import load


@pytest.mark.parametrize("size", [(512, 512), (1024, 600), (97, 300), (3000, 2000), (65, 64), (128, 1)])
def test_tiles_cover_the_picture_and_overlap(size: tuple[int, int]) -> None:
    width, height = size
    seen = np.zeros((height, width), int)
    boxes = tiles(width, height)
    for x0, y0, x1, y1 in boxes:
        assert 0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height
        assert x1 - x0 <= 768 and y1 - y0 <= 768
        seen[y0:y1, x0:x1] += 1
    assert seen.min() >= 1 and len(set(boxes)) == len(boxes)
    for i in range(0, width - 20, 37):  # whatever is small lies whole inside one of them
        for j in range(0, height - 20, 37):
            assert any(x0 <= i and y0 <= j and i + 20 <= x1 and j + 20 <= y1 for x0, y0, x1, y1 in boxes)


def test_a_picture_of_one_tile_is_not_cut() -> None:
    assert tiles(64, 64) == tiles(10, 60) == []
    assert len(tiles(512, 512)) == 9


@pytest.mark.parametrize(
    ("box", "where"),
    [
        ((0, 0, 50, 50), "upper left"),
        ((25, 25, 75, 75), "centre"),
        ((50, 25, 100, 75), "right middle"),
        ((25, 50, 75, 100), "lower middle"),
    ],
)
def test_places_have_names(box: tuple[int, int, int, int], where: str) -> None:
    assert whereabouts(box, 100, 100) == where


def outcome(folder: Path, respond: Callable[[Request], Answer | Fault]) -> Row:
    Image.new("RGB", (128, 128)).save(folder / "a.png")
    sample, ask = Sample(id="a", image=str(folder / "a.png"), prompt="a cat"), Ask(load("describe_zoom"))
    (row,) = describe_samples(iter([(sample, "k")]), ReplayEngine(respond), lambda s: zoom(s, ask))
    return row


def says(text: str, p: float) -> Answer:
    body = json.dumps({"Defective": bool(text), "Description": [text] if text else []})
    head, word, tail = body.partition("true" if text else "false")
    top = (("true", float(np.log(p))), ("false", float(np.log(1 - p))))
    return Answer(body, tokens=(Token(head, ()), Token(word, top), Token(tail, ())))


def test_small_defects_count_and_are_told_once(tmp_path: Path) -> None:
    """A mark at (40, 40) is seen in the tiles that hold it, and told once, with its place."""

    def respond(request: Request) -> Answer:
        assert request.user.endswith('"a cat"')
        if request.box is None:
            assert "is a detail" not in (request.system or "")
            return says("", 0.1)
        assert "This image is a detail, the " in (request.system or "")
        x0, y0, x1, y1 = request.box
        return (
            says("The tiny finger bends backwards.", 0.9) if x0 < 40 < x1 and y0 < 40 < y1 else says("", 0.2)
        )

    row = outcome(tmp_path, respond)
    found = Description.model_validate(row.record)
    assert found.defective and found.p_defective == pytest.approx(0.9, abs=1e-6)
    assert len(found.findings) == 1 and found.findings[0].box
    assert found.text == f"In the {found.findings[0].location} part: The tiny finger bends backwards."
    assert found.steps["views"] == "the whole and 9 tiles"


def test_what_the_whole_tells_its_parts_need_not_repeat(tmp_path: Path) -> None:
    def respond(request: Request) -> Answer:
        if request.box is None:
            return says("The left hand shows six fingers, and the clock has three hands.", 0.7)
        return says("This hand shows six fingers.", 0.8) if request.box[:2] == (0, 0) else says("", 0.1)

    found = Description.model_validate(outcome(tmp_path, respond).record)
    assert found.text.startswith("The left hand") and len(found.findings) == 1


def test_tiles_that_fail_are_told_and_the_whole_decides(tmp_path: Path) -> None:
    lost = Fault(FailureKind.TIMEOUT, "late")
    row = outcome(tmp_path, lambda request: lost if request.box else says("", 0.2))
    found = Description.model_validate(row.record)
    assert not found.defective and found.p_defective == pytest.approx(0.2)
    assert found.steps["failed views"].count("timeout") == 9
    row = outcome(tmp_path, lambda request: says("", 0.2) if request.box else lost)
    assert row.failure and row.failure.kind == FailureKind.TIMEOUT


def test_a_picture_that_cannot_be_opened_fails(tmp_path: Path) -> None:
    sample, ask = Sample(id="a", image=str(tmp_path / "none.png")), Ask(load("describe_zoom"))
    engine = ReplayEngine(lambda request: says("", 0.1))
    (row,) = describe_samples(iter([(sample, "k")]), engine, lambda s: zoom(s, ask))
    assert row.failure and row.failure.kind == FailureKind.MISSING_IMAGE


def test_engines_show_the_part(tmp_path: Path) -> None:
    pixels = np.arange(40 * 60 * 3, dtype=np.uint8).reshape(40, 60, 3)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    assert np.array_equal(
        np.asarray(load_image(str(tmp_path / "a.png"), (10, 5, 30, 25))), pixels[5:25, 10:30]
    )
