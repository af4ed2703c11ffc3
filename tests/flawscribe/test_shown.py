"""What a model is shown of a picture: how large, and what is said where it is not the file as it is."""

import io
from pathlib import Path

import pytest
from PIL import Image

from flawscribe.images import image_bytes, load_image, sent_note, shown_image, shown_size


def saved(path: Path, width: int, height: int, mode: str = "RGB", **options: object) -> str:
    Image.new(mode, (width, height), 128 if mode == "L" else (200, 100, 0, 90)[: len(mode)]).save(
        path, **options
    )
    return str(path)


@pytest.mark.parametrize(
    ("size", "most", "shown"),
    [
        ((4096, 4096), 1024 * 1024, (1024, 1024)),
        ((400, 100), 10_000, (200, 50)),
        ((100, 100), 10_000, (100, 100)),  # at the limit: the file as it is
        ((101, 100), 10_000, (100, 99)),
        ((5000, 1), 100, (100, 1)),
        ((1, 5000), 100, (1, 100)),
        ((7, 5), 1, (1, 1)),
        ((7, 5), None, (7, 5)),
    ],
)
def test_a_picture_has_at_most_so_many_pixels_and_keeps_its_aspect(
    tmp_path: Path, size: tuple[int, int], most: int | None, shown: tuple[int, int]
) -> None:
    path = saved(tmp_path / "a.png", *size, mode="L")
    assert load_image(path, None, most).size == shown == shown_size(path, None, most)
    data, _, note = image_bytes(path, None, most)
    assert Image.open(io.BytesIO(data)).size == shown
    if shown == size:
        assert (data, note) == (Path(path).read_bytes(), "")
    else:
        assert note == f"scaled from {size[0]} x {size[1]} to {shown[0]} x {shown[1]}; sent as PNG"
        assert shown_image(path, None, most)[1] == note.removesuffix("; sent as PNG")


def test_of_a_part_the_part_is_scaled(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.png", 60, 40)
    box = (10, 10, 50, 30)
    assert load_image(path, box, 200).size == (20, 10) == shown_size(path, box, 200)
    assert sent_note(path, box, 200) == "parts cut out; scaled from 40 x 20 to 20 x 10; sent as PNG"
    assert sent_note(path, box) == "parts cut out; sent as PNG"


def test_sizes_are_those_of_the_upright_picture(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    path = saved(tmp_path / "a.jpg", 60, 20, exif=exif.tobytes())
    assert shown_size(path) == (20, 60) == load_image(path).size
    assert shown_size(path, None, 300) == (10, 30) == load_image(path, None, 300).size
    assert sent_note(path, None, 300) == "turned upright; scaled from 20 x 60 to 10 x 30; sent as PNG"


def test_what_is_changed_is_said(tmp_path: Path) -> None:
    assert sent_note(saved(tmp_path / "a.png", 4, 4, "RGBA")) == "transparency on white; sent as PNG"
    assert sent_note(saved(tmp_path / "c.jpg", 4, 4, "CMYK")) == "CMYK made RGB; sent as PNG"
    assert sent_note(saved(tmp_path / "a.bmp", 4, 4)) == "sent as PNG"
    assert shown_image(saved(tmp_path / "b.bmp", 4, 4))[1] == ""  # the same pixels, in this process
    assert sent_note(saved(tmp_path / "g.png", 4, 4, "L")) == ""
