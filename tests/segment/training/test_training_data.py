"""What may be learnt from, what is refused by name, and which pictures stay together."""

import fcntl
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from small_sam import save_sam

from flawscribe.errors import UserError
from segment.checkpoint import save_head
from segment.encoders import load_encoder
from segment.head import head_over
from segment.training.data import check_enough, data_digest, read_examples
from segment.training.loop import read_log
from segment.training.losses import Weights
from segment.training.split import groups_of, split
from segment.training.train import Arguments, train
from segment.training.views import framed_mask, show, view_of

Rows = list[dict[str, object]]


class Frame:
    side, mean, std, stretch = 64, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5), False


def data(folder: Path, n: int = 12) -> Rows:
    """n blurred pictures, every other one with a square defect, each with a prompt of its own."""
    (folder / "m").mkdir(parents=True)
    rows: Rows = []
    for i in range(n):
        rng = np.random.default_rng(i)
        blobs = Image.fromarray(rng.integers(0, 255, (6, 9, 3), np.uint8))
        blobs.resize((60, 40), Image.Resampling.BICUBIC).save(folder / f"{i}.png")
        row: dict[str, object] = {"id": str(i), "image": f"{i}.png", "prompt": f"a thing {i}", "quality": 3.0}
        row |= {"defective": bool(i % 2)}
        if i % 2:
            mask = np.zeros((40, 60), np.uint8)
            mask[10:20, 5 + i : 15 + i] = 255
            Image.fromarray(mask).save(folder / "m" / f"{i}.png")
            row |= {"mask": f"m/{i}.png", "descriptions": ["A broken thing."]}
        rows.append(row)
    return rows


def written(folder: Path, rows: Rows) -> Path:
    path = folder / "manifest.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def spoil_size(folder: Path, rows: Rows) -> None:
    Image.new("L", (60, 41), 255).save(folder / "m" / "3.png")


def spoil_colour(folder: Path, rows: Rows) -> None:
    colours = np.random.default_rng(0).integers(0, 255, (40, 60, 3), np.uint8)
    Image.fromarray(colours).save(folder / "m" / "3.png")


def spoil_soft(folder: Path, rows: Rows) -> None:
    Image.fromarray(np.linspace(0, 255, 2400).reshape(40, 60).astype(np.uint8)).save(folder / "m" / "3.png")


def spoil_empty(folder: Path, rows: Rows) -> None:
    Image.new("L", (60, 40)).save(folder / "m" / "3.png")


def spoil_image(folder: Path, rows: Rows) -> None:
    (folder / "3.png").unlink()


def spoil_label(folder: Path, rows: Rows) -> None:
    rows[3]["defective"] = False


def spoil_golden(folder: Path, rows: Rows) -> None:
    rows[3] = {"id": "3", "image": "3.png"}


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (spoil_size, "3.*60 x 41 pixels, but its image has 60 x 40"),
        (spoil_colour, "3.*levels or colours"),
        (spoil_soft, "3.*levels or colours"),
        (spoil_empty, "3.*defective, but its mask is empty"),
        (spoil_image, "3.*no such file"),
        (spoil_label, "3.*flawless, but its mask is not empty"),
        (spoil_golden, "3.*nothing says whether it is defective"),
    ],
)
def test_a_row_that_cannot_be_learnt_from_is_named(
    tmp_path: Path, spoil: Callable[[Path, Rows], None], told: str
) -> None:
    rows = data(tmp_path)
    spoil(tmp_path, rows)
    with pytest.raises(UserError, match=told) as caught:
        read_examples(written(tmp_path, rows), tmp_path, skip_bad=False)
    assert "\n" not in str(caught.value)
    examples, left_out = read_examples(tmp_path / "manifest.jsonl", tmp_path, skip_bad=True)
    assert (len(examples), len(left_out)) == (11, 1)


@pytest.mark.parametrize("kind", ["RGB", "1", "P", "0 and 1", "JPEG"])
def test_black_and_white_masks_are_taken_however_they_are_kept(tmp_path: Path, kind: str) -> None:
    rows = data(tmp_path)
    path = tmp_path / "m" / "3.png"
    mask = Image.open(path)
    mask.load()
    if kind == "JPEG":
        rows[3]["mask"] = "m/3.jpg"
        mask.save(tmp_path / "m" / "3.jpg", quality=90)
    elif kind == "0 and 1":
        Image.fromarray((np.asarray(mask) > 0).astype(np.uint8)).save(path)
    else:
        mask.convert(kind).save(path)
    examples, _ = read_examples(written(tmp_path, rows), tmp_path, skip_bad=False)
    assert examples[3].box == (8, 10, 18, 20)


@pytest.mark.parametrize(
    ("keep", "told"),
    [
        (lambda r: not r["defective"], "no defective image with a mask"),
        (lambda r: r["defective"], "no flawless image"),
        (lambda r: r["id"] == "3", "nothing is left for|no flawless"),
    ],
)
def test_one_sided_data_is_refused(tmp_path: Path, keep: Callable[[dict], bool], told: str) -> None:
    rows = [row for row in data(tmp_path) if keep(row)]
    examples, _ = read_examples(written(tmp_path, rows), tmp_path, skip_bad=False)
    with pytest.raises(UserError, match=told):
        check_enough(split(examples, 0.3, 0), detect=True)


def test_only_defective_images_do_where_nothing_is_to_be_detected(tmp_path: Path) -> None:
    rows = [row for row in data(tmp_path) if row["defective"]]
    examples, _ = read_examples(written(tmp_path, rows), tmp_path, skip_bad=False)
    check_enough(split(examples, 0.3, 0), detect=False)


def test_prompts_pairs_and_near_duplicates_stay_together(tmp_path: Path) -> None:
    rows = data(tmp_path)
    rows[0]["prompt"], rows[5]["prompt"] = "A  red ball", "a red Ball"
    rows[2]["pair"], rows[5]["pair"] = "p", "p"
    Image.open(tmp_path / "7.png").resize((30, 20)).save(tmp_path / "8.png")  # the same picture, smaller
    examples, _ = read_examples(written(tmp_path, rows), tmp_path, skip_bad=False)
    groups = groups_of(examples)
    assert [0, 2, 5] in groups and [7, 8] in groups and len(groups) == 9
    for seed in range(10):
        parts = split(examples, 0.3, seed)
        valid = {e.id for e in parts["validation"]}
        assert len(valid) + len(parts["training"]) == 12 and 2 <= len(valid) <= 5
        assert all(len(valid & {str(i) for i in g}) in (0, len(g)) for g in groups)
    assert {e.id for e in split(examples, 0.3, 1)["validation"]} == {
        e.id for e in split(examples, 0.3, 1)["validation"]
    }


def test_a_given_split_is_kept(tmp_path: Path) -> None:
    rows = [row | {"split": ("train", "val", "test")[i % 3]} for i, row in enumerate(data(tmp_path))]
    examples, _ = read_examples(written(tmp_path, rows), tmp_path, skip_bad=False)
    parts = split(examples, 0.2, 0)
    assert [e.id for e in parts["validation"]] == ["1", "4", "7", "10"]
    assert [e.id for e in parts["training"]] == ["0", "3", "6", "9"]
    del rows[4]["split"]
    examples, _ = read_examples(written(tmp_path, rows), tmp_path, skip_bad=False)
    with pytest.raises(UserError, match="4: the column split"):
        split(examples, 0.2, 0)


def test_the_datas_digest_is_of_its_content(tmp_path: Path) -> None:
    rows = data(tmp_path / "a")
    first, _ = read_examples(written(tmp_path / "a", rows), tmp_path / "a", skip_bad=False)
    (tmp_path / "a").rename(tmp_path / "b")
    moved, _ = read_examples(tmp_path / "b" / "manifest.jsonl", tmp_path / "b", skip_bad=False)
    assert data_digest(first) == data_digest(moved)
    rows[3]["quality"] = 2.0
    other, _ = read_examples(written(tmp_path / "b", rows), tmp_path / "b", skip_bad=False)
    assert data_digest(other) != data_digest(first)


def test_views_cut_the_mask_as_they_cut_the_picture_and_never_through_it(tmp_path: Path) -> None:
    rows = data(tmp_path)
    examples, _ = read_examples(written(tmp_path, rows), tmp_path, skip_bad=False)
    for example in examples:
        image = Image.open(example.image).convert("RGB")
        assert view_of(example, 0).size == example.size
        assert view_of(example, 2) == view_of(example, 2) != view_of(example, 1)
        for number in range(4):
            view = view_of(example, number)
            x0, y0, x1, y1 = view.box
            assert 0 <= x0 < x1 <= 60 and 0 <= y0 < y1 <= 40
            assert show(image, view).size == (x1 - x0, y1 - y0)
            if example.mask is None or example.box is None:
                continue
            assert x0 <= example.box[0] and example.box[2] <= x1 and y0 <= example.box[1]
            mask = np.asarray(Image.open(example.mask)) > 0
            shares = framed_mask(mask, view, Frame(), 64).astype(float) / 255
            covered = shares.sum() * max(view.size) ** 2 / 64**2
            assert covered == pytest.approx(mask.sum(), rel=0.03)
            assert not framed_mask(None, view, Frame(), 64).any()


def test_data_that_was_mended_may_use_the_same_folder(tmp_path: Path) -> None:
    rows = data(tmp_path / "d")
    spoil_empty(tmp_path / "d", rows)
    arguments = Arguments(data=str(written(tmp_path / "d", rows)))
    for _ in range(2):
        with pytest.raises(UserError, match="its mask is empty"):
            train(arguments, tmp_path / "head")
    (tmp_path / "head" / "somebodys.txt").touch()
    with pytest.raises(UserError, match="something else than a training"):
        train(arguments, tmp_path / "head")


def test_two_trainings_do_not_share_a_folder(tmp_path: Path) -> None:
    arguments = Arguments(data=str(written(tmp_path / "d", data(tmp_path / "d"))))
    (tmp_path / "head").mkdir()
    with (tmp_path / "head" / "lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(UserError, match="another process is working on"):
            train(arguments, tmp_path / "head")


def test_a_split_that_leaves_nothing_says_what_it_holds(tmp_path: Path) -> None:
    rows = [row | {"split": "test" if i < 4 else "train"} for i, row in enumerate(data(tmp_path))]
    examples, _ = read_examples(written(tmp_path, rows), tmp_path, False)
    with pytest.raises(UserError, match="nothing for validation: it says test, train, not train and val"):
        split(examples, 0.2, 0)


@pytest.mark.parametrize("value", [True, 1, 1.0, "true", "Yes"])
def test_what_was_asked_for_is_told_by_any_kind_of_table(tmp_path: Path, value: object) -> None:
    rows = [row if row["defective"] else row | {"justified": value} for row in data(tmp_path)]
    examples, _ = read_examples(written(tmp_path, rows), tmp_path, False)
    assert all(e.asked != e.defective for e in examples)
    rows[0]["justified"] = "perhaps"
    with pytest.raises(UserError, match=r"^0: justified is 'perhaps'"):
        read_examples(written(tmp_path, rows), tmp_path, False)


def test_a_row_is_named_once(tmp_path: Path) -> None:
    rows = data(tmp_path)
    with pytest.raises(UserError, match=r"^manifest\.jsonl:13: the id '0' is there already"):
        read_examples(written(tmp_path, [*rows, rows[0]]), tmp_path, False)


def test_losses_that_weigh_nothing_are_refused(tmp_path: Path) -> None:
    arguments = Arguments(data=str(written(tmp_path, data(tmp_path))), weights=Weights(0, 0, 0, 0))
    with pytest.raises(UserError, match="nothing would be learnt"):
        train(arguments, tmp_path / "head")


@pytest.mark.parametrize(
    ("init", "told"), [("no/head", "no head no/head"), (None, "the decoder of the head .* not of the shape")]
)
def test_a_head_to_start_from_has_to_fit(tmp_path: Path, init: str | None, told: str) -> None:
    if init is None:
        init = str(tmp_path / "other")
        sam = load_encoder(str(save_sam(tmp_path / "sam")))
        save_head(head_over(sam), Path(init))
    source = written(tmp_path, data(tmp_path))
    with pytest.raises(UserError, match=told):
        train(Arguments(data=str(source), init=init), tmp_path / "head")


def test_a_damaged_log_costs_its_own_lines_alone(tmp_path: Path) -> None:
    assert read_log(tmp_path) == []
    good = b'{"epoch": 2, "loss": 1.5}'
    lines = [b'{"epoch": 1, "lo', b"\xff\x00", b"[]", b'{"epoch": [1]}', b'{"loss": 1}', b"[" * 9999, good]
    (tmp_path / "log.jsonl").write_bytes(b"\n".join(lines))
    assert read_log(tmp_path) == [{"epoch": 2.0, "loss": 1.5}]
