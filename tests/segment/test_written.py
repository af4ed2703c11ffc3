"""What is written beside a run: mask pictures, overlays, and a COCO file that other tools read."""

import contextlib
import io
import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image
from pycocotools.coco import COCO

from flawscribe.errors import UserError
from flawscribe.inputs import open_run
from flawscribe.records import MaskPrediction, Row
from flawscribe.runs import Run
from segment.coco import write_coco
from segment.command import segment
from segment.components import components
from segment.overlay import TINT
from segment.rle import decode, encode
from segment.written import write_overlays, write_pngs


def two_squares() -> np.ndarray:
    mask = np.zeros((30, 40), bool)
    mask[2:10, 3:12] = True
    mask[20:24, 30:38] = True
    return mask


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Three pictures: one with two regions, one with none, one that failed."""
    (tmp_path / "in" / "deep").mkdir(parents=True)
    for name in ("a.png", "b.jpg", "deep/c.png"):
        Image.new("RGB", (40, 30), (40, 90, 140)).save(tmp_path / "in" / name)
    run = open_run(str(tmp_path / "in"), str(tmp_path / "run"))
    list(run.rows("samples"))
    rle = encode(two_squares())
    marked = MaskPrediction(rle=rle, p_mask=0.8, area=float(two_squares().mean()), instances=components(rle))
    with run.lock():
        run.begin("segment", {"model": "nano"})
        with run.writer("segment") as write:
            for name, answer in (("a.png", marked), ("b.jpg", MaskPrediction(p_mask=0.1))):
                write(Row(id=name, key="k", record=answer.model_dump(mode="json")))
    return run


def test_pycocotools_loads_every_region(run: Run, tmp_path: Path) -> None:
    assert write_coco(run, tmp_path / "sub" / "masks.json") == 2
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(str(tmp_path / "sub" / "masks.json"))
    assert [image["flawscribe_id"] for image in coco.dataset["images"]] == ["a.png", "b.jpg"]
    found = [coco.annToMask(annotation) for annotation in coco.loadAnns(coco.getAnnIds())]
    assert (np.any(found, axis=0) == two_squares()).all()
    large, small = coco.loadAnns(coco.getAnnIds())
    assert (large["area"], large["bbox"], large["score"]) == (72, [3.0, 2.0, 9.0, 8.0], 0.8)
    assert (small["area"], small["bbox"]) == (32, [30.0, 20.0, 8.0, 4.0])


def test_supervision_reads_the_masks(run: Run, tmp_path: Path) -> None:
    supervision = pytest.importorskip("supervision")
    write_coco(run, tmp_path / "masks.json")
    data = supervision.DetectionDataset.from_coco(
        images_directory_path=str(tmp_path / "in"),
        annotations_path=str(tmp_path / "masks.json"),
        force_masks=True,
    )
    assert data.classes == ["defect"]
    (path,) = [path for path in data.image_paths if path.endswith("a.png")]
    detections = data.annotations[path]
    assert detections.mask.shape == (2, 30, 40)
    assert (detections.mask.any(0) == two_squares()).all()
    assert detections.xyxy[0].tolist() == [3, 2, 12, 10]


def test_fields_are_those_that_fiftyone_documents(run: Run, tmp_path: Path) -> None:
    """What its page on COCODetectionDataset lists; ids are whole numbers, and each image's and category's are there."""
    write_coco(run, tmp_path / "masks.json")
    content = json.loads((tmp_path / "masks.json").read_text())
    assert set(content) >= {"info", "licenses", "categories", "images", "annotations"}
    assert all(set(image) >= {"id", "file_name", "height", "width"} for image in content["images"])
    ids = {image["id"] for image in content["images"]}
    categories = {category["id"] for category in content["categories"]}
    for annotation in content["annotations"]:
        assert set(annotation) >= {"id", "image_id", "category_id", "bbox", "segmentation", "area", "iscrowd"}
        assert annotation["image_id"] in ids and annotation["category_id"] in categories
        assert annotation["iscrowd"] == 0


def test_overlays_tint_what_is_marked_and_nothing_else(run: Run, tmp_path: Path) -> None:
    assert write_overlays(run, tmp_path / "seen") == 2
    with Image.open(tmp_path / "seen" / "a.png") as image:
        seen = np.asarray(image)
    assert image.size == (40, 30)
    plain = (seen == (40, 90, 140)).all(-1)
    boxes = np.zeros((30, 40), bool)
    boxes[2:10, 3:12] = boxes[20:24, 30:38] = True
    assert (plain == ~boxes).all()
    assert abs(seen[5, 7] - (np.array([40, 90, 140]) * 0.65 + np.array(TINT) * 0.35)).max() < 2
    with Image.open(tmp_path / "seen" / "b.jpg.png") as image:
        assert image.size == (40, 30)


def test_nothing_is_overwritten_unasked(run: Run, tmp_path: Path) -> None:
    write_pngs(run, tmp_path / "m")
    write_coco(run, tmp_path / "c.json")
    for write, where in ((write_pngs, "m"), (write_overlays, "m"), (write_coco, "c.json")):
        with pytest.raises(UserError, match="there already"):
            write(run, tmp_path / where)
        write(run, tmp_path / where, True)
    with pytest.raises(UserError, match="is a folder"):
        write_coco(run, tmp_path / "m")
    for sample in run.samples():  # an overlay is never written over its own picture
        before = Path(sample.image).read_bytes()
        with pytest.raises(UserError, match="the picture itself"):
            write_overlays(run, tmp_path / "in", True)
        assert Path(sample.image).read_bytes() == before


def test_masks_of_another_size_than_the_picture_are_refused_by_name(run: Run, tmp_path: Path) -> None:
    Image.new("RGB", (60, 30)).save(tmp_path / "in" / "a.png")
    for write in (write_pngs, write_overlays):
        with pytest.raises(
            UserError, match=r"a\.png: the mask has 40 x 30 pixels, but its image has 60 x 30"
        ):
            write(run, tmp_path / "m")
    assert write_coco(run, tmp_path / "c.json") == 0


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(segment, list(arguments))


def test_the_whole_command(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    rng = np.random.default_rng(0)
    for n, size in enumerate([(300, 180), (97, 400)]):
        Image.fromarray(rng.integers(0, 255, (size[1], size[0], 3), np.uint8)).save(
            tmp_path / "in" / f"{n}.png"
        )
    how = ["--presence", "0", "--threshold", "0.05", "--tiles", "2", "--components"]
    out = [
        "--png",
        str(tmp_path / "m"),
        "--overlay",
        str(tmp_path / "s"),
        "--coco",
        str(tmp_path / "c.json"),
        "--json",
    ]
    done = invoke(str(tmp_path / "in"), "-o", str(tmp_path / "run"), *how, *out)
    assert done.exit_code == 0, done.output
    figures = json.loads(done.stdout)
    assert (figures["ok"], figures["png"], figures["overlay"]) == (2, 2, 2)
    run = Run.open(tmp_path / "run")
    for name, row in run.latest("segment").items():
        answer = MaskPrediction.model_validate(row.record)
        with Image.open(tmp_path / "m" / name) as image:
            written = np.asarray(image) > 0
        assert (decode(answer.rle) == written).all() if answer.rle else not written.any()
        assert sum(instance.area for instance in answer.instances) == pytest.approx(answer.area, abs=0.02)
    again = invoke(str(tmp_path / "run"), *how, "--json")
    assert json.loads(again.stdout)["kept"] == 2
    other = invoke(str(tmp_path / "run"), "--threshold", "0.9")
    assert isinstance(other.exception, UserError) and "threshold was 0.05 and is now 0.9" in str(
        other.exception
    )


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--masks", "m", "--tiles", "2"], "leave out --tiles"),
        (["--png", "m", "--overlay", "./m"], "different folders"),
        (["--model", "nanno"], "Did you mean 'nano'"),
    ],
)
def test_options_that_do_not_go_together(tmp_path: Path, run: Run, arguments: list[str], told: str) -> None:
    done = invoke(str(run.path), *arguments)
    assert isinstance(done.exception, UserError) and told in str(done.exception)
