"""The verb as a whole: nothing overwritten, nothing half there, every option in its place, and what it prints."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from test_import_coco import document

from flawscribe.cli import main
from segment.importers import FORMATS
from segment.importers.command import import_command

W, H = 40, 30
SQUARE = [[1, 1, 9, 1, 9, 9, 1, 9]]


def names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


@pytest.fixture
def source(picture, write) -> Path:
    """A COCO file with two pictures, one of them missing."""
    picture("set/a.png", (W, H))
    return write("set/c.json", document(SQUARE, SQUARE))


def test_pictures_are_referred_to_or_copied(importing, source) -> None:
    done = importing("coco", source)
    assert names(done.folder) == ["failures.jsonl", "import.json", "manifest.jsonl", "masks/a.png"]
    assert json.loads((done.folder / "manifest.jsonl").read_text())["image"] == "../set/a.png"
    done = importing("coco", source, "--copy", "--force")
    assert json.loads((done.folder / "manifest.jsonl").read_text())["image"] == "images/a.png"
    assert (done.folder / "images/a.png").read_bytes() == (source.parent / "a.png").read_bytes()


def test_what_was_done_is_told_and_kept(importing, source) -> None:
    done = importing("coco", source)
    assert "1 images, 1 masks" in done.out and "failed: missing_image" in done.out
    kept = json.loads((done.folder / "import.json").read_text())
    assert (kept["format"], kept["images"], kept["failed"]) == ("coco", 1, {"missing_image": 1})
    assert kept["options"] == {"images": None, "boxes_as_masks": False, "unmarked": "unknown", "clip": False}
    figures = json.loads(importing("coco", source, "--json", "--force").out)
    assert (figures["images"], figures["masks"], figures["failures"]) == (1, 1, {"missing_image": 1})


def test_nothing_is_overwritten_unasked(importing, source, tmp_path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data/mine.txt").write_text("mine")
    assert "not empty" in str(importing("coco", source).error)
    assert "not an earlier import" in str(importing("coco", source, "--force").error)
    assert names(tmp_path / "data") == ["mine.txt"]


def test_an_earlier_import_is_replaced_as_a_whole(importing, source, tmp_path) -> None:
    first = importing("coco", source, "--copy")
    assert "not empty" in str(importing("coco", source).error)
    assert importing("coco", source, "--force").code == 1 and not (first.folder / "images").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "set"]


def test_where_nothing_can_be_imported_nothing_is_left(importing, write, tmp_path) -> None:
    done = importing("coco", write("c.json", document(SQUARE)))
    assert done.code == 2 and "the first: c.json:images[0]: " in str(done.error)
    assert [path.name for path in tmp_path.iterdir()] == ["c.json"]


def test_ids_that_would_share_a_file_do_not(importing, picture, write) -> None:
    content = document(SQUARE, [[9, 9, 19, 9, 19, 19, 9, 19]], SQUARE)
    for image, name in zip(content["images"], ("x/a.png", "x%2Fa.png", "x/A.png"), strict=True):
        picture(name, (W, H))
        image["file_name"] = name
    done = importing("coco", write("c.json", content), "--copy")
    assert done.code == 0 and len(list((done.folder / "masks").iterdir())) == 3
    assert done.mask("x/a.png")[2, 2] and done.mask("x%2Fa.png")[12, 12]


def test_masks_are_of_the_upright_picture(importing, write, tmp_path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.zeros((W, H, 3), np.uint8)).save(tmp_path / "a.png", exif=exif)
    done = importing("coco", write("c.json", document(SQUARE)))
    golden = done.samples["a.png"].golden
    assert Image.open(golden.mask).size == (W, H)


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (("coco", "{}", "--annotators", "each"), "--annotators is not for coco"),
        (("x-aigd", "{}", "--clip"), "--clip is not for x-aigd, which takes --split"),
        (("nothing", "{}"), "nothing"),
        (("coco", "/nowhere.json"), "/nowhere.json"),
        (("agidefect", "{}", "--column", "quality"), "OURS=THEIRS"),
        (("agidefect", "{}", "--column", "qualty=mos"), "qualty is no column"),
        (("pal4vst", "{}", "--threshold", "0"), "0"),
    ],
)
def test_wrong_usage_is_one_line(args, told: str, source, capsys, monkeypatch, tmp_path) -> None:
    args = [str(source) if arg == "{}" else arg for arg in args]
    monkeypatch.setattr(sys, "argv", ["flawscribe", "import", *args, "-o", str(tmp_path / "data")])
    with pytest.raises(SystemExit) as ended:
        main()
    err = capsys.readouterr().err
    assert ended.value.code == 2 and told in err and err.count("\n") == 1


def test_every_special_option_is_one_of_the_commands() -> None:
    options = {max(p.opts, key=len).lstrip("-").replace("-", "_") for p in import_command.params}
    assert set().union(*(form.options for form in FORMATS.values())) <= options


def test_help_needs_neither_numpy_nor_pillow() -> None:
    code = "import sys, segment.importers.command; print([m for m in ('numpy', 'PIL', 'torch') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "[]\n"


@pytest.mark.slow
def test_ctrl_c_leaves_nothing_and_the_next_call_starts_afresh(write, picture, tmp_path) -> None:
    picture("a.png", (2000, 2000))
    content = document(SQUARE)
    content["images"] = [{"id": i, "file_name": "a.png"} for i in range(1000)]
    content["annotations"] = [
        {"id": i, "image_id": i, "category_id": 2, "segmentation": [[1, 1, 1900, 1, 1900, 1900 - i % 50]]}
        for i in range(1000)
    ]
    for i, image in enumerate(content["images"]):
        (tmp_path / f"{i}.png").symlink_to("a.png")
        image["file_name"] = f"{i}.png"
    file = write("c.json", content)
    command = [
        sys.executable,
        "-m",
        "flawscribe.cli",
        "import",
        "coco",
        str(file),
        "-o",
        str(tmp_path / "data"),
    ]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    until = time.monotonic() + 60
    while not list(tmp_path.glob(".data.*/masks/*")):
        assert time.monotonic() < until and process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    err = process.communicate(timeout=60)[1]
    assert (
        process.returncode == 130
        and err.endswith("the same command begins anew\n")
        and "Traceback" not in err
    )
    assert not (tmp_path / "data").exists() and not list(tmp_path.glob(".data.*"))
