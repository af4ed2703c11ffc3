"""HADM, X-AIGD and SynthScars: small files in the form that is published; regions against other ways."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from pycocotools import mask as coco

W, H = 60, 48


def filled(*polygons: list[float]) -> np.ndarray:
    """The union of polygons as LEGION's loader makes it: pycocotools, each by itself."""
    rles = [coco.frPyObjects([np.array(p)], H, W) for p in polygons]
    return np.any([coco.decode(rle).squeeze(-1) for rle in rles], axis=0)


# --- HADM


def hadm(local: list[Any], human: list[Any], size: tuple[int, int] = (W, H)) -> dict[str, Any]:
    return {"image": {"width": size[0], "height": size[1]}, "annotation": local, "human": human}


HAND = {"body_parts": "hand", "level": "severe", "bbox": [30, 8, 10, 20]}  # corners in no order
LEGLESS = {"tag": ["human missing leg"], "bbox": [2, 2, 28, 46]}


def hadm_set(picture, write, **annotations: dict[str, Any]) -> Path:
    for name, content in annotations.items():
        split, _, stem = name.rpartition("__")
        picture(f"had/images/{split}/{stem}.jpg", (W, H))
        root = write(f"had/annotations/{split}/{stem}.json", content)
    return root.parents[2]


def test_hadm(importing, picture, write, tmp_path) -> None:
    person = {"tag": [], "bbox": [0, 0, 9, 9]}
    root = hadm_set(
        picture,
        write,
        val_ALL__a=hadm([HAND], [LEGLESS]),
        val_ALL__b=hadm([], [person]),
        val_sdxl__a=hadm([HAND], []),
    )
    (root / "info.pkl").write_bytes(b"cos\nsystem\n(S'touch pickled'\ntR.")
    done = importing("hadm", root, "--unmarked", "clean")
    assert done.code == 0 and list(done.samples) == ["val_ALL/a.jpg", "val_ALL/b.jpg"]
    a = done.samples["val_ALL/a.jpg"]
    assert a.golden.defective and a.golden.mask is None
    assert a.meta["categories"] == ["hand", "human missing leg"]
    assert a.meta["regions"][0] == {"part": "hand", "level": "severe", "box": [10, 8, 30, 20]}
    assert done.samples["val_ALL/b.jpg"].golden.defective is False
    boxes = importing("hadm", root, "--boxes-as-masks", "--split", "val_sdxl", "--force")
    mask = boxes.mask("val_sdxl/a.jpg")
    assert mask[8:20, 10:30].all() and mask.sum() == 240


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (hadm([HAND], [], (10, 10)), "says 10 x 10 pixels"),
        (hadm([HAND | {"bbox": [1, 2, 3]}], []), "3 numbers"),
        (hadm([HAND | {"bbox": [1, 2, 1, 9]}], []), "no area"),
        (hadm([HAND | {"bbox": [1, 2, 900, 9]}], []), "outside"),
        (hadm([HAND | {"bbox": [1, 2, float("inf"), 9]}], []), "not finite"),
        ({"annotation": []}, "image is not an object"),
        (hadm({}, []), "annotation is not a list"),
        ([], "not an object"),
        ("{", "not JSON"),
    ],
)
def test_broken_hadm(content: Any, told: str, importing, picture, write) -> None:
    root = hadm_set(picture, write, val_ALL__a=content, val_ALL__b=hadm([HAND], []))
    done = importing("hadm", root, "--boxes-as-masks")
    assert done.code == 1 and list(done.samples) == ["val_ALL/b.jpg"]
    assert told in done.failures["val_ALL/a.jpg"][1]


# --- X-AIGD


def xaigd_row(uid: str, labels: Any, size: tuple[int, int] = (W, H)) -> dict[str, Any]:
    buffer = io.BytesIO()
    Image.new("RGB", (W, H), "grey").save(buffer, "PNG")
    return {
        "image": {"bytes": buffer.getvalue(), "path": f"{uid}.png"},
        "generator": "FLUX.1-dev",
        "uid": uid,
        "labels": labels,
        "original_prompt": "a dog",
        "positive_prompt": "a dog, photograph",
        "negative_prompt": "",
        "guidance_scale": 3.5,
        "num_inference_steps": 28,
        "scheduler": "euler",
        "seed": 7,
        "width": size[0],
        "height": size[1],
        "image_format": "PNG",
        "jpeg_quality": None,
        "chroma_subsampling": None,
    }


def xaigd(tmp_path: Path, *rows: dict[str, Any]) -> Path:
    label = pa.struct({"label": pa.string(), "points": pa.list_(pa.list_(pa.float64()))})
    inferred = pa.Table.from_pylist(list(rows)).schema
    at = inferred.get_field_index("labels")
    table = pa.Table.from_pylist(list(rows), inferred.set(at, pa.field("labels", pa.list_(label))))
    path = tmp_path / "X-AIGD/data/labeled_test-00000-of-00001.parquet"
    path.parent.mkdir(parents=True)
    pq.write_table(table, path)
    return path


TRIANGLE = {"label": "low-level-edge_shape", "points": [[5.0, 5.0], [40.0, 8.0], [20.0, 40.0]]}


def test_xaigd(importing, tmp_path) -> None:
    beyond = {
        "label": "high-level-semantics",
        "points": [[50.0, -9.0], [99.0, -9.0], [99.0, 20.0], [50.0, 20.0]],
    }
    file = xaigd(tmp_path, xaigd_row("u1", [TRIANGLE, beyond]), xaigd_row("u2", []), xaigd_row("u3", None))
    done = importing("x-aigd", file.parents[1])
    assert done.code == 0, done.out
    first = done.samples["FLUX.1-dev/u1"]
    expected = filled([5, 5, 40, 8, 20, 40])
    expected[:20, 50:] = True
    assert (done.mask(first.id) == expected).all()
    assert Path(first.image).parent == done.folder / "images"
    assert (first.prompt, first.generator) == ("a dog, photograph", "FLUX.1-dev")
    assert first.meta["categories"] == ["high-level-semantics", "low-level-edge_shape"]
    assert done.samples["FLUX.1-dev/u2"].golden.defective is False
    assert done.samples["FLUX.1-dev/u3"].golden is None


def test_broken_xaigd(importing, tmp_path) -> None:
    file = xaigd(
        tmp_path,
        xaigd_row("good", [TRIANGLE]),
        xaigd_row("size", [TRIANGLE], (99, 99)),
        xaigd_row("two", [TRIANGLE | {"points": [[1.0, 1.0], [2.0, 2.0]]}]),
        xaigd_row("nan", [TRIANGLE | {"points": [[1.0, float("nan")], [2.0, 2.0], [3.0, 1.0]]}]),
        xaigd_row("odd", [TRIANGLE | {"points": [[1.0], [2.0, 2.0], [3.0, 1.0]]}]),
        xaigd_row("far", [TRIANGLE | {"points": [[1.0, 1e9], [2.0, 2.0], [3.0, 1.0]]}]),
        xaigd_row("none", []) | {"image": {"bytes": None, "path": "/etc/passwd"}},
        xaigd_row("broken", []) | {"image": {"bytes": b"no picture", "path": "x.png"}},
    )
    done = importing("x-aigd", file)
    assert done.code == 1 and list(done.samples) == ["FLUX.1-dev/good"]
    kinds = [kind for kind, _ in done.failures.values()]
    assert sorted(kinds) == ["bad_mask"] * 5 + ["broken_image", "missing_image"]


# --- SynthScars


def entry(name: str, *refs: dict[str, Any], caption: str = "I have found: a twisted hand.") -> dict[str, Any]:
    return {"caption": caption, "img_file_name": name, "refs": list(refs)}


def ref(*polygons: list[float]) -> dict[str, Any]:
    return {"sentence": "A hand", "explanation": "Six fingers.", "bbox": None, "segmentation": list(polygons)}


P1, P2 = [3.2, 4.1, 30.7, 6.3, 20.0, 40.9], [40.5, 10.0, 60.0 + 3e-14, 10.0, 58.2, 30.3]


def test_synthscars(importing, picture, write, tmp_path) -> None:
    picture("S/test/images/a.jpg", (W, H))
    picture("S/test/images/b.png", (W, H))
    write(
        "S/test/annotations/test.json",
        [
            {"12": entry("/mnt/hwfile/some/where/raw_imgs/a.jpg", ref(P1), caption='"First."')},
            {"15": entry("b.png", ref(P2))},
            {"31": entry("/mnt/other/a.jpg", ref(P2), caption="Second.")},
        ],
    )
    done = importing("synthscars", tmp_path / "S")
    assert done.code == 0, done.out
    assert (done.mask("test/a.jpg") == filled(P1, P2)).all()
    assert (done.mask("test/b.png") == filled(P2)).all()
    a = done.samples["test/a.jpg"]
    assert a.golden.descriptions == ("First.", "Second.") and a.meta["annotations"] == ["12", "31"]
    assert a.meta["regions"][0] == {"phrase": "A hand", "text": "Six fingers."}


def test_a_region_without_a_pixel_adds_nothing(importing, picture, write) -> None:
    picture("images/a.jpg", (W, H))
    line = ref([1.0, 1.0, 5.0, 5.0, 9.0, 9.0])  # the published training set holds one of these
    done = importing("synthscars", write("train.json", [{"317": entry("a.jpg", ref(P1), line)}]))
    assert (done.mask("a.jpg") == filled(P1)).all()


@pytest.mark.parametrize(
    ("broken", "told"),
    [
        (entry("a.jpg"), "no pixel"),
        (entry("a.jpg", ref([1, 1, 2])), "three points"),
        (entry("a.jpg", {"segmentation": "x"}), "not a list"),
        (entry("gone.jpg", ref(P1)), "no picture"),
        (entry("..", ref(P1)), "names no picture"),
        ({"caption": "x"}, "names no picture"),
        (entry("a.jpg", ref(P1), caption=5), "caption is 5"),
        ([], "names no picture"),
    ],
)
def test_broken_synthscars(broken: Any, told: str, importing, picture, write) -> None:
    picture("images/a.jpg", (W, H))
    picture("images/b.jpg", (W, H))
    done = importing("synthscars", write("t.json", [{"1": broken}, {"2": entry("b.jpg", ref(P1))}]))
    assert done.code == 1 and list(done.samples) == ["b.jpg"]
    assert told in next(iter(done.failures.values()))[1]
