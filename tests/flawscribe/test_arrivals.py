"""A manifest is read as its samples are asked for: once, wherever the reading is left off."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

import flawscribe.inputs
from flawscribe.errors import UserError
from flawscribe.inputs import open_run
from flawscribe.keys import key_of
from flawscribe.records import Row, Sample
from flawscribe.runs import Run
from flawscribe.stages import run_stage


def manifest(folder: Path, n: int, **fields: str) -> Path:
    rows = [{"id": f"{i}", "image": f"{i}.png", **fields} for i in range(n)]
    rows.insert(2, {"id": "0", "image": "again.png"})
    path = folder / "m.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The ids (or places) of the manifest's rows as they are checked."""
    taken: list[str] = []
    real = flawscribe.inputs.read_manifest

    def read(*args: object, **options: object) -> Iterator[object]:
        for entry in real(*args, **options):  # type: ignore[arg-type]
            taken.append(entry.id if isinstance(entry, Sample) else entry[0])
            yield entry

    monkeypatch.setattr(flawscribe.inputs, "read_manifest", read)
    return taken


def stage(run: Run, until: int | None = None) -> list[str]:
    """Answer the run's samples, or the first `until` of them before all goes wrong; the ids that were asked."""
    asked: list[str] = []

    def process(pairs: Iterator[tuple[Sample, str]]) -> Iterator[Row]:
        for sample, key in pairs:
            if len(asked) == until:
                raise RuntimeError("killed")
            asked.append(sample.id)
            yield Row(id=sample.id, key=key, record={"text": sample.id})

    try:
        run_stage(run, "describe", {}, lambda s: key_of(image=s.image, prompt=s.prompt), process, quiet=True)
    except RuntimeError:
        assert until is not None
    return asked


def test_the_first_sample_is_worked_on_before_the_last_is_read(tmp_path: Path, taken: list[str]) -> None:
    run = open_run(str(manifest(tmp_path, 500)), str(tmp_path / "run"))
    assert stage(run, until=3) == ["0", "1", "2"]
    assert len(taken) < 50


def test_what_was_read_before_a_kill_is_not_read_again(tmp_path: Path, taken: list[str]) -> None:
    path = manifest(tmp_path, 50)
    stage(open_run(str(path), str(tmp_path / "run")), until=20)
    os.sync()
    list_ = tmp_path / "run" / "samples" / "0001.jsonl"
    whole = list_.read_bytes()
    list_.write_bytes(whole[: len(whole) // 2])  # the kill came before the rest was on disk, amid a line
    left = whole[: len(whole) // 2].count(b"\n")
    assert 2 < left < 20
    taken.clear()
    run = open_run(str(path), str(tmp_path / "run"))
    assert stage(run) == [str(i) for i in range(20, 50)]
    assert len(taken) == 51 - left
    assert [s.id for s in run.samples()] == [str(i) for i in range(50)]
    assert [row.id for row in run.rows("samples") if row.failure] == ["m.jsonl:3"]


def test_a_run_goes_on_with_its_manifest_by_itself(tmp_path: Path) -> None:
    path = manifest(tmp_path, 10)
    stage(open_run(str(path), str(tmp_path / "run")), until=4)
    assert stage(open_run(str(tmp_path / "run"))) == [str(i) for i in range(4, 10)]


def test_a_run_whose_manifest_changed_meanwhile_asks_for_it(tmp_path: Path) -> None:
    path = manifest(tmp_path, 10)
    stage(open_run(str(path), str(tmp_path / "run")), until=4)
    manifest(tmp_path, 12)
    with pytest.raises(UserError, match=r"only the beginning of .*m\.jsonl: give that again"):
        open_run(str(tmp_path / "run"))
    assert stage(open_run(str(path), str(tmp_path / "run"))) == [str(i) for i in range(4, 12)]


def test_an_unchanged_manifest_is_not_read_again_and_a_changed_one_is(
    tmp_path: Path, taken: list[str]
) -> None:
    path = manifest(tmp_path, 10)
    stage(open_run(str(path), str(tmp_path / "run")))
    taken.clear()
    assert stage(open_run(str(path), str(tmp_path / "run"))) == []
    assert taken == []
    manifest(tmp_path, 11, prompt="a cat")
    run = open_run(str(path), str(tmp_path / "run"))
    assert stage(run) == ["10", *(str(i) for i in range(10))]
    assert {s.prompt for s in run.samples()} == {"a cat"}


def test_others_read_what_has_come_so_far(tmp_path: Path) -> None:
    stage(open_run(str(manifest(tmp_path, 300)), str(tmp_path / "run")), until=5)
    seen = [s.id for s in Run.open(tmp_path / "run").samples()]
    assert seen[:5] == [str(i) for i in range(5)]
    assert len(seen) < 50


def test_walks_side_by_side_read_each_row_once(tmp_path: Path, taken: list[str]) -> None:
    run = open_run(str(manifest(tmp_path, 200)), str(tmp_path / "run"))
    taken.clear()
    with run.lock():
        first = run.samples()
        assert [next(first).id for _ in range(3)] == ["0", "1", "2"]
        assert [s.id for s in run.samples()] == [str(i) for i in range(200)]
        assert [s.id for s in first] == [str(i) for i in range(3, 200)]
    assert len(taken) == 201


def test_a_manifest_that_changed_while_it_was_read_is_read_again(tmp_path: Path, taken: list[str]) -> None:
    path = manifest(tmp_path, 300)
    run = open_run(str(path), str(tmp_path / "run"))
    with run.lock():
        samples = run.samples()
        next(samples)
        manifest(tmp_path, 3)
        for _ in samples:
            pass
    again = open_run(str(path), str(tmp_path / "run"))
    assert [s.id for s in again.samples()] == ["0", "1", "2"]


def test_what_stands_before_a_place_that_cannot_be_read_is_worked_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = manifest(tmp_path, 40)
    real = flawscribe.inputs.read_manifest

    def broken(*args: object, **options: object) -> Iterator[object]:
        for entry in real(*args, **options):  # type: ignore[arg-type]
            if isinstance(entry, Sample) and entry.id == "35":
                raise UserError("the disk is gone")
            yield entry

    monkeypatch.setattr(flawscribe.inputs, "read_manifest", broken)
    run = open_run(str(path), str(tmp_path / "run"))
    seen = []
    with run.lock(), pytest.raises(UserError, match="the disk is gone"):
        for sample in run.samples():
            seen.append(sample.id)
    assert seen == [str(i) for i in range(35)]
