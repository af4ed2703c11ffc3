"""A folder of every kind of picture and of everything that only pretends to be one, through the whole command."""

import os
import pickle
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from flawscribe.records import FailureKind
from flawscribe.runs import Run

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def scene(mode: str = "RGB", size: tuple[int, int] = (60, 40)) -> Image.Image:
    image = Image.new("RGB", size, "red")
    image.paste("blue", (size[0] // 2, 0, *size))
    return image.convert(mode)


def turned() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


def frames(path: Path) -> None:
    scene().save(path, save_all=True, append_images=[scene().rotate(90), scene().rotate(180)])


GOOD: dict[str, Callable[[Path], object]] = {
    "plain.png": lambda p: scene().save(p),
    "plain.jpg": lambda p: scene().save(p),
    "cmyk.jpg": lambda p: scene("CMYK").save(p),
    "progressive.jpeg": lambda p: scene().save(p, progressive=True),
    "a.webp": lambda p: scene().save(p),
    "a.avif": lambda p: scene().save(p),
    "a.gif": lambda p: scene().save(p),
    "a.tiff": lambda p: scene().save(p, compression="tiff_lzw"),
    "a.bmp": lambda p: scene().save(p),
    "deep.png": lambda p: Image.fromarray(np.arange(2400, dtype=np.uint16).reshape(40, 60) * 27).save(p),
    "deep.tif": lambda p: Image.fromarray(np.linspace(0, 1, 2400, dtype=np.float32).reshape(40, 60)).save(p),
    "palette.png": lambda p: scene("P").save(p),
    "bits.png": lambda p: scene("1").save(p),
    "alpha.png": lambda p: scene("RGBA").save(p),
    "grey alpha.png": lambda p: scene("LA").save(p),
    "turned.jpg": lambda p: scene().save(p, exif=turned()),
    "moving.gif": frames,
    "moving.webp": frames,
    "moving.png": frames,
    "one.png": lambda p: scene(size=(2, 1)).resize((1, 1)).save(p),
    "tall.png": lambda p: scene(size=(8, 3000)).save(p),
    "huge.png": lambda p: scene("L", (8000, 7000)).save(p),
    "name with  spaces.png": lambda p: scene().save(p),
    "ünïcödé 日本語.png": lambda p: scene().save(p),
    "🦊🧑\u200d🚀.png": lambda p: scene().save(p),
    "quote'\"&<b>.png": lambda p: scene().save(p),
    "-o.png": lambda p: scene().save(p),
    "same.png": lambda p: scene().save(p),
    "same.jpg": lambda p: scene().save(p),
    "wrong name.jpg": lambda p: scene().save(p, "PNG"),
}


def cut(path: Path, share: float = 0.5) -> None:
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 256, (60, 60, 3), dtype=np.uint8)).save(path)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])


def chunks(path: Path, width: int, height: int, rows: bytes = b"") -> None:
    """A PNG that says it has this size."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


def large(path: Path) -> None:
    with path.open("wb") as f:
        f.truncate(101_000_000)


BROKEN, LARGE, MISSING = FailureKind.BROKEN_IMAGE, FailureKind.IMAGE_TOO_LARGE, FailureKind.MISSING_IMAGE
BAD: dict[str, tuple[Callable[[Path], object], FailureKind]] = {
    "cut.png": (cut, BROKEN),
    "cut.jpg": (cut, BROKEN),
    "cut.webp": (cut, BROKEN),
    "cut.gif": (cut, BROKEN),
    "cut.tiff": (cut, BROKEN),
    "head alone.png": (lambda p: cut(p, 0.002), BROKEN),
    "empty.png": (lambda p: p.write_bytes(b""), BROKEN),
    "text.png": (lambda p: p.write_text("not a picture"), BROKEN),
    "page.jpg": (lambda p: p.write_text("<html><script>alert(1)</script></html>"), BROKEN),
    "script.png": (lambda p: p.write_text("%!PS\n(boo) show\n"), BROKEN),
    "pickle.png": (lambda p: p.write_bytes(pickle.dumps({"a": [1]})), BROKEN),
    "bomb.png": (lambda p: chunks(p, 60_000, 60_000, bytes(10_000_000)), LARGE),
    "sixty-six.png": (lambda p: chunks(p, 8_250, 8_000, b""), LARGE),
    "no width.png": (lambda p: chunks(p, 0, 10), BROKEN),
    "no rows.png": (lambda p: chunks(p, 10, 10), BROKEN),
    "large.png": (large, LARGE),
    "dangling.png": (lambda p: p.symlink_to("nowhere.png"), MISSING),
    "round.png": (lambda p: p.symlink_to(p.name), BROKEN),
    "pipe.png": (os.mkfifo, BROKEN),
    "folder.png": (lambda p: p.mkdir(), BROKEN),
}


def test_readable_pictures_are_answered_and_broken_ones_are_typed(tmp_path: Path) -> None:
    folder, run = tmp_path / "pictures", tmp_path / "run"
    folder.mkdir()
    lines = []
    for name, make in [*GOOD.items(), *((n, m) for n, (m, _) in BAD.items())]:
        make(folder / name)
        lines.append(name)
    if os.geteuid():
        scene().save(folder / "locked.png")
        (folder / "locked.png").chmod(0)
        BAD["locked.png"] = (lambda p: None, BROKEN)
        lines.append("locked.png")
    manifest = folder / "manifest.csv"
    quoted = "".join('"' + name.replace('"', '""') + '"' + f",{i}\n" for i, name in enumerate(lines))
    manifest.write_text("image,id\n" + quoted, encoding="utf-8")
    command = [
        sys.executable,
        "-m",
        "flawscribe.cli",
        "run",
        str(manifest),
        "-o",
        str(run),
        "--engine",
        "transformers",
    ]
    ended = subprocess.run(command, capture_output=True, text=True)
    assert ended.returncode == 1, ended.stderr
    assert "Traceback" not in ended.stderr + ended.stdout and "Warning" not in ended.stderr
    for stage in ("describe", "segment"):
        rows = Run.open(run).latest(stage)
        for i, name in enumerate(lines):
            row = rows[str(i)]
            if name in GOOD:
                assert row.ok, (stage, name, row.failure)
                if stage == "describe":
                    assert ("animated" in str(row.record)) == name.startswith("moving"), name
            else:
                assert row.failure is not None and row.failure.kind == BAD[name][1], (stage, name, row)
                assert name in row.failure.message and "\n" not in row.failure.message
    report = (run / "report.html").read_text(encoding="utf-8")
    assert report.count("The picture is animated") == 3
    assert all(word in report for word in ("broken_image", "image_too_large", "missing_image"))


def test_files_that_differ_by_extension_are_two_samples(tmp_path: Path) -> None:
    """And so are their masks, which are written, and read, under their ids."""
    for name in ("a.png", "a.jpg", "b.png"):
        scene().save(tmp_path / name)
    run = tmp_path / "run"
    command = [sys.executable, "-m", "flawscribe.cli"]
    subprocess.run(
        [*command, "segment", str(tmp_path), "-o", str(run), "--png", str(tmp_path / "masks")], check=True
    )
    assert {p.name for p in (tmp_path / "masks").iterdir()} >= {"a.png", "b.png"}
    assert len(list((tmp_path / "masks").iterdir())) == 3
    assert set(Run.open(run).latest("segment")) == {"a.png", "a.jpg", "b.png"}
    (tmp_path / "masks" / "a.jpg.png").unlink()
    again = [
        *command,
        "segment",
        str(tmp_path),
        "-o",
        str(tmp_path / "again"),
        "--masks",
        str(tmp_path / "masks"),
    ]
    assert subprocess.run(again).returncode == 1
    rows = Run.open(tmp_path / "again").latest("segment")
    assert rows["a.png"].ok and rows["b.png"].ok
    assert rows["a.jpg"].failure is not None and rows["a.jpg"].failure.kind == FailureKind.MISSING_ANSWER
