"""SAM without training: boxes of described defects, and its own masks ranked by the description."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from small_sam import save_sam
from transformers import SamImageProcessor, SamModel, SamProcessor

from flawscribe.errors import UserError
from flawscribe.inputs import open_run
from flawscribe.records import Description, FailureKind, Finding, MaskPrediction, Row
from flawscribe.runs import Run
from segment.automatic import Automatic, chosen
from segment.encoders import Encoder, load_encoder
from segment.marking import Marking
from segment.places import Place, places, region_of
from segment.prompted import Prompted, encoded
from segment.rle import decode, union
from segment.stage import segment_run


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_sam(tmp_path_factory.mktemp("sam") / "small")


@pytest.fixture(scope="module")
def encoder(checkpoint: Path) -> Encoder:
    return load_encoder(str(checkpoint))


def picture(width: int = 90, height: int = 60) -> Image.Image:
    rng = np.random.default_rng(width)
    return Image.fromarray(rng.integers(0, 255, (height, width, 3), np.uint8))


FINDINGS = (
    Finding(text="Six fingers.", box=(5, 5, 40, 50)),
    Finding(text="It says nothing of where."),
    Finding(text="A melted ear.", box=(50, 10, 80, 55)),
)
FOUND = Description(defective=True, text="Six fingers. A melted ear.", findings=FINDINGS)


def test_boxes_give_what_transformers_own_loop_gives(checkpoint: Path, encoder: Encoder) -> None:
    image = picture()
    ours = Prompted(encoder).described(image, FOUND)
    assert [instance.text for instance in ours.instances] == ["Six fingers.", "A melted ear."]

    model = SamModel.from_pretrained(checkpoint).eval()
    side = {"height": 128, "width": 128}
    mask_side = {"height": 32, "width": 32}
    processor = SamProcessor(
        SamImageProcessor(
            size={"longest_edge": 128}, pad_size=side, mask_size={"longest_edge": 32}, mask_pad_size=mask_side
        )
    )
    for instance, finding in zip(ours.instances, (FINDINGS[0], FINDINGS[2]), strict=True):
        given = processor(image, input_boxes=[[list(finding.box or ())]], return_tensors="pt")
        with torch.no_grad():
            out = model(
                **{k: v for k, v in given.items() if k in ("pixel_values", "input_boxes")},
                multimask_output=False,
            )
        theirs = processor.post_process_masks(
            out.pred_masks, given["original_sizes"], given["reshaped_input_sizes"], pad_size=side
        )[0][0, 0].numpy()
        mask = decode(instance.rle)
        assert mask.shape == theirs.shape
        assert (mask & theirs).sum() / (mask | theirs).sum() > 0.97
        assert instance.score == pytest.approx(float(out.iou_scores[0, 0, 0]), abs=1e-3)
    assert ours.rle == union([instance.rle for instance in ours.instances])
    assert ours.rle is not None and ours.area == pytest.approx(decode(ours.rle).mean())


def test_no_box_marks_nothing(encoder: Encoder) -> None:
    said = Description(defective=True, text="Odd.", findings=(Finding(text="Odd."),))
    assert Prompted(encoder).described(picture(), said) == MaskPrediction()


@pytest.mark.parametrize(
    ("words", "region"),
    [
        ("Six fingers in the upper left.", (0, 0, 0.5, 0.5)),
        ("The sign at the bottom is garbled.", (0, 0.5, 1, 1)),
        ("right middle", (0.5, 0.25, 1, 0.75)),
        ("in the centre", (0.25, 0.25, 0.75, 0.75)),
        ("Upset by its leftovers.", None),
        ("The eyes do not match.", None),
    ],
)
def test_places_are_read_from_words(words: str, region: object) -> None:
    assert region_of(words) == region


def test_findings_come_before_sentences_and_boxes_before_words() -> None:
    found = places(FOUND, (60, 90))
    assert [(place.text, place.exact) for place in found] == [("Six fingers.", True), ("A melted ear.", True)]
    assert found[0].region == pytest.approx((5 / 90, 5 / 60, 40 / 90, 50 / 60))
    text = "A hand at the upper right has six fingers. It looks odd. The lower left is blurred."
    plain = places(Description(defective=True, text=text), (60, 90))
    assert [place.region for place in plain] == [(0.5, 0, 1, 0.5), (0, 0.5, 0.5, 1)]


def test_each_place_takes_the_best_mask_that_lies_there() -> None:
    shapes = np.zeros((4, 20, 20), bool)
    shapes[0, :, :] = True  # everything
    shapes[1, 1:6, 1:6] = True  # upper left
    shapes[2, 2:5, 2:5] = True  # the same, less sure
    shapes[3, 12:19, 12:19] = True  # lower right
    scores = np.array([0.99, 0.95, 0.9, 0.93])
    left = Place("a", (0, 0, 0.5, 0.5), False)
    box = Place("b", (0.6, 0.6, 0.95, 0.95), True)
    assert chosen(shapes, scores, [left, box, left, left]) == [(left, 1), (box, 3), (left, 2)]
    assert chosen(shapes[:0], scores[:0], [left]) == []


def test_proposals_are_sure_stable_and_no_doubles(encoder: Encoder) -> None:
    image = picture()
    features, taken = encoded(encoder, image)
    found = Automatic(encoder).proposals(features, taken, (60, 90))
    assert len(found.scores) > 0
    assert (found.scores >= 0.88).all() and (found.scores.diff() <= 0).all()
    everywhere = Description(
        defective=True, text="All of it.", findings=(Finding(text="All of it.", box=(0, 0, 90, 60)),)
    )
    answer = Automatic(encoder).described(image, everywhere)
    assert [instance.text for instance in answer.instances] == ["All of it."]
    assert answer.rle is not None and answer.rle.size == (60, 90)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """A run of five pictures, described in the protocol `grounded` as its rows are written."""
    (tmp_path / "in").mkdir()
    for n in range(5):
        picture(90 + n).save(tmp_path / "in" / f"{n}.png")
    run = open_run(str(tmp_path / "in"), str(tmp_path / "run"))
    list(run.rows("samples"))
    describe(run, "2.png", Description(defective=True, text="Odd.", findings=(Finding(text="Odd."),)))
    return run


def describe(run: Run, other: str, said: Description) -> None:
    """Write the describe rows; `other` has a description of its own, 4.png none."""
    with run.lock():
        run.begin("describe", {"protocol": "grounded"})
        with run.writer("describe") as write:
            for n, answer in enumerate([FOUND, Description(defective=False), FOUND, FOUND]):
                own = said if f"{n}.png" == other else answer
                write(Row(id=f"{n}.png", key="k", record=own.model_dump(mode="json")))


def test_a_run_is_marked_by_its_descriptions(run: Run, checkpoint: Path) -> None:
    counts = segment_run(run, model=str(checkpoint), prompt_with="describe")
    assert (counts.ok, counts.failed) == (3, 2)
    rows = run.latest("segment")
    kinds = {name: row.failure.kind for name, row in rows.items() if row.failure}
    assert kinds == {"2.png": FailureKind.MISSING_ANSWER, "4.png": FailureKind.MISSING_ANSWER}
    first, flawless = (MaskPrediction.model_validate(rows[n].record) for n in ("0.png", "1.png"))
    assert len(first.instances) == 2 and first.rle is not None
    assert flawless == MaskPrediction()
    again = segment_run(run, model=str(checkpoint), prompt_with="describe")
    assert (again.ok, again.kept) == (0, 3)
    describe(run, "0.png", FOUND.model_copy(update={"findings": FINDINGS[:1]}))
    changed = segment_run(run, model=str(checkpoint), prompt_with="describe")
    assert (changed.ok, changed.kept) == (2, 2)  # that of 0.png, and 2.png has boxes now
    assert len(MaskPrediction.model_validate(run.latest("segment")["0.png"].record).instances) == 1


def test_automatic_masks_take_descriptions_without_boxes(run: Run, checkpoint: Path) -> None:
    counts = segment_run(run, model=str(checkpoint), prompt_with="automatic")
    assert (counts.ok, counts.failed) == (4, 1)


@pytest.mark.parametrize(
    ("model", "given", "told"),
    [
        ("nano", {"prompt_with": "describe"}, "takes no prompts"),
        ("sam", {"prompt_with": "discribe"}, "Did you mean 'describe'"),
        ("sam", {"prompt_with": "describe", "marking": Marking(tiles=2)}, "leave out --tiles"),
        ("sam", {"prompt_with": "describe", "marking": Marking(presence=0.1)}, "leave out --presence"),
        ("sam", {}, "--prompt-with"),
        ("nowhere", {}, "no mask model 'nowhere'"),
    ],
)
def test_what_cannot_be_done_is_one_line(
    run: Run, checkpoint: Path, model: str, given: dict, told: str
) -> None:
    with pytest.raises(UserError, match=told):
        segment_run(run, model=str(checkpoint) if model == "sam" else model, **given)
    assert not run.has("segment")


def test_descriptions_without_boxes_are_refused(tmp_path: Path, checkpoint: Path) -> None:
    picture().save(tmp_path / "a.png")
    run = open_run(str(tmp_path), str(tmp_path / "run"))
    with pytest.raises(UserError, match="flawscribe describe first"):
        segment_run(run, model=str(checkpoint), prompt_with="describe")
    with run.lock():
        run.begin("describe", {"protocol": "single"})
    with pytest.raises(UserError, match="--protocol grounded"):
        segment_run(run, model=str(checkpoint), prompt_with="describe")
