"""Folders as manifests: pictures with prompts beside them, Hugging Face datasets, scenes, runs."""

import io
import json
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from flawscribe.errors import UserError
from flawscribe.images import load_image, load_mask
from flawscribe.manifest import read_manifest
from flawscribe.records import Failure, Golden, Sample


def png(color: str = "red", size: tuple[int, int] = (6, 4)) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, color).save(buffer, "PNG")
    return buffer.getvalue()


def put(path: Path, content: bytes | str = b"") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def samples(path: Path, pictures: Path | None = None) -> dict[str, Sample]:
    entries = list(read_manifest(path, pictures))
    assert all(isinstance(e, Sample) for e in entries), entries
    return {e.id: e for e in entries if isinstance(e, Sample)}


def failures(path: Path, pictures: Path | None = None) -> dict[str, Failure]:
    return {e[0]: e[1] for e in read_manifest(path, pictures) if not isinstance(e, Sample)}


def test_pictures_with_prompts_beside_them(tmp_path: Path) -> None:
    put(tmp_path / "b.PNG", png())
    put(tmp_path / "b.txt", "\ufeffa red cat\r\n")
    put(tmp_path / "a.jpg")
    put(tmp_path / "sub" / "deep" / "c.webp")
    put(tmp_path / "sub" / "deep" / "c.txt", "")
    for hidden in (".hidden.png", ".git/x.png", "notes.md", "sub/script.eps", "b.pdf"):
        put(tmp_path / hidden)
    found = samples(tmp_path)
    assert list(found) == ["a.jpg", "b.PNG", "sub/deep/c.webp"]
    assert [s.prompt for s in found.values()] == [None, "a red cat", None]
    assert found["sub/deep/c.webp"].image == str(tmp_path / "sub/deep/c.webp")
    assert found["a.jpg"].golden is None


def test_prompts_and_names_that_are_no_text_are_failures(tmp_path: Path) -> None:
    put(tmp_path / "a.png", png())
    put(tmp_path / "a.txt", b"\xff\xfe\xfa")
    put(tmp_path / "b.png", png())
    put(tmp_path / "b.txt", b"x" * 200_000)
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.png")).write_bytes(png())
    put(tmp_path / "ok.png", png())
    assert list(failures(tmp_path)) == ["a.png", "b.png", "\\udcff.png"]
    assert [e.id for e in read_manifest(tmp_path) if isinstance(e, Sample)] == ["ok.png"]


def test_a_prompt_beside_a_picture_is_no_link_to_somewhere_else(tmp_path: Path) -> None:
    put(tmp_path / "secret", "precious")
    put(tmp_path / "pictures" / "a.png", png())
    (tmp_path / "pictures" / "a.txt").symlink_to(tmp_path / "secret")
    assert "symbolic link" in failures(tmp_path / "pictures")["a.png"].message


def test_a_folder_without_pictures_says_so(tmp_path: Path) -> None:
    put(tmp_path / "notes.txt")
    with pytest.raises(UserError, match="no pictures"):
        list(read_manifest(tmp_path))


def test_a_run_inside_the_folder_is_not_part_of_it(tmp_path: Path) -> None:
    put(tmp_path / "a.png", png())
    put(tmp_path / "run" / "run.json", "{}")
    put(tmp_path / "run" / "pictures" / "x.png", png())
    assert list(samples(tmp_path)) == ["a.png"]
    with pytest.raises(UserError, match="is a run"):
        read_manifest(tmp_path / "run")


def test_a_folder_with_a_manifest_is_that_manifest(tmp_path: Path) -> None:
    put(tmp_path / "images" / "a.png", png())
    put(tmp_path / "masks" / "a.png", png())
    put(tmp_path / "manifest.jsonl", json.dumps({"id": "a", "image": "images/a.png"}))
    assert list(samples(tmp_path)) == ["a"]
    put(tmp_path / "manifest.csv", "id,image\n")
    with pytest.raises(UserError, match="several"):
        read_manifest(tmp_path)


def test_parquet_files_with_embedded_pictures(tmp_path: Path) -> None:
    mask = io.BytesIO()
    Image.new("L", (6, 4), 255).save(mask, "PNG")
    features = {
        "image": {"_type": "Image"},
        "category": {"_type": "ClassLabel", "names": ["body", "faces", "animals"]},
    }
    rows = [
        {"image": {"bytes": png("blue"), "path": "x.png"}, "prompt": "a fish", "category": 2, "defective": 1},
        {"image": {"bytes": png("blue"), "path": "y.png"}, "mask": {"bytes": mask.getvalue(), "path": None}},
        {"image": {"bytes": None, "path": "images/z.png"}},
        {"image": {"bytes": b"no picture", "path": "w.png"}},
    ]
    columns = {k: [r.get(k) for r in rows] for k in ("image", "prompt", "category", "defective", "mask")}
    table = pa.table(columns).replace_schema_metadata(
        {"huggingface": json.dumps({"info": {"features": features}})}
    )
    (tmp_path / "set" / "data").mkdir(parents=True)
    pq.write_table(table, tmp_path / "set" / "data" / "train-00000-of-00001.parquet")
    put(tmp_path / "set" / "README.md", "a card")
    found = samples(tmp_path / "set", tmp_path / "pictures")
    name = "data/train-00000-of-00001"
    assert list(found) == [f"{name}/{n}" for n in range(4)]
    fish = found[f"{name}/0"]
    assert fish.golden == Golden(defective=True, category="animals")
    assert Path(fish.image).read_bytes() == png("blue")  # verbatim: what was embedded is what is looked at
    assert load_image(fish.image).getpixel((0, 0)) == (0, 0, 255)
    assert found[f"{name}/1"].image == fish.image
    golden = found[f"{name}/1"].golden
    assert golden is not None
    assert golden.mask is not None
    assert load_mask(golden.mask, (6, 4)).all()
    assert found[f"{name}/2"].image == str(tmp_path / "set/data/images/z.png")
    before = sorted(os.listdir(tmp_path / "pictures"))
    samples(tmp_path / "set", tmp_path / "pictures")
    assert sorted(os.listdir(tmp_path / "pictures")) == before
    told = failures(tmp_path / "set")[f"{name}.parquet:1"].message
    assert "embedded" in told


def test_what_save_to_disk_writes(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    picture = put(tmp_path / "cat.png", png("green"))
    features = datasets.Features(
        {
            "image": datasets.Image(),
            "prompt": datasets.Value("string"),
            "category": datasets.ClassLabel(names=["faces", "animals"]),
            "descriptions": datasets.Sequence(datasets.Value("string")),
        }
    )
    rows = {
        "image": [str(picture)] * 3,
        "prompt": ["a cat", None, "a dog"],
        "category": [1, 0, 1],
        "descriptions": [["five legs"], ["no nose"], ["two tails", "too long"]],
    }
    one = datasets.Dataset.from_dict(rows, features=features)
    one.save_to_disk(str(tmp_path / "one"), num_shards=2)
    datasets.DatasetDict({"train": one, "test": one}).save_to_disk(str(tmp_path / "two"))
    picture.unlink()
    found = samples(tmp_path / "one", tmp_path / "pictures")
    assert list(found) == ["0", "1", "2"]
    assert found["2"].golden == Golden(
        defective=True, category="animals", descriptions=("two tails", "too long")
    )
    assert load_image(found["0"].image).getpixel((0, 0)) == (0, 128, 0)
    splits = samples(tmp_path / "two", tmp_path / "pictures")
    assert list(splits) == [f"{split}/{n}" for split in ("train", "test") for n in range(3)]


def test_a_saved_dataset_names_no_file_outside_it(tmp_path: Path) -> None:
    put(tmp_path / "d" / "state.json", json.dumps({"_data_files": [{"filename": "../../secret.arrow"}]}))
    with pytest.raises(UserError, match="outside"):
        list(read_manifest(tmp_path / "d"))
    put(tmp_path / "d" / "state.json", json.dumps({"_data_files": [{"filename": "data.arrow"}]}))
    put(tmp_path / "d" / "data.arrow", b"\xff\xff\xff\xff torn")
    with pytest.raises(UserError, match="Arrow"):
        list(read_manifest(tmp_path / "d"))


def test_an_image_folder_with_metadata_in_its_splits(tmp_path: Path) -> None:
    put(tmp_path / "train" / "metadata.csv", "file_name,prompt,defective\na.png,a cat,true\n,x,\n")
    put(tmp_path / "test" / "metadata.jsonl", '{"file_name": "sub/b.png", "id": "bee"}\n')
    assert list(failures(tmp_path)) == ["train/metadata.csv:3"]
    found = {e.id: e for e in read_manifest(tmp_path) if isinstance(e, Sample)}
    assert found["bee"].image == str(tmp_path / "test/sub/b.png")
    assert found["train/a.png"].image == str(tmp_path / "train/a.png")
    assert found["train/a.png"].golden == Golden(defective=True)
