"""Run directories made to do harm, or damaged: reading one writes nowhere else, and says what is wrong."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from PIL import Image

from describe.command import describe
from describe.stage import account_of_run
from flawscribe.errors import UserError
from flawscribe.runs import Run
from judge.command import judge
from report.command import report
from segment.command import segment

LINKS = [
    "lock",
    "report.html.tmp",
    "metrics.json.tmp",
    "run.json.tmp",
    "describe.parquet.tmp",
    "digests.jsonl",
]
LINKS += ["samples/new.tmp", "describe/0002.jsonl", "describe"]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Two described, marked and judged pictures."""
    (tmp_path / "masks").mkdir()
    for name in "ab":
        Image.new("RGB", (16, 16)).save(tmp_path / f"{name}.png")
        Image.new("1", (16, 16)).save(tmp_path / "masks" / f"{name}.png")
    golden = {"defective": True, "descriptions": ["One hand has six fingers."]}
    write(tmp_path / "m.jsonl", [{"id": name, "image": f"{name}.png", **golden} for name in "ab"])
    write(tmp_path / "d.jsonl", [{"id": name, "description": "The hand has six fingers."} for name in "ab"])
    out = ["-o", str(tmp_path / "run")]
    assert (
        call(describe, str(tmp_path / "m.jsonl"), *out, "--descriptions", str(tmp_path / "d.jsonl")) is None
    )
    assert call(segment, str(tmp_path / "run"), "--masks", str(tmp_path / "masks")) is None
    assert call(judge, str(tmp_path / "run")) is None
    return tmp_path / "run"


def write(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def call(verb: Any, *arguments: str) -> str | None:
    """What a verb says as it refuses; None where it does its work."""
    result = CliRunner().invoke(verb, arguments)
    if isinstance(result.exception, UserError):
        return str(result.exception)
    assert result.exit_code in (0, 1), result.exception
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return None


def again(verb: Any, run: Path) -> str | None:
    """Call a verb on the run with what it was begun with."""
    given = {describe: ["--descriptions", "d.jsonl"], segment: ["--masks", "masks"]}.get(verb, [])
    return call(verb, str(run), *(str(run.parent / x) if x in ("d.jsonl", "masks") else x for x in given))


@pytest.mark.parametrize("name", LINKS)
def test_no_link_leads_out_of_a_run(run: Path, tmp_path: Path, name: str) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    if name == "describe":
        (run / name).rename(tmp_path / "elsewhere")
        (run / name).symlink_to(tmp_path / "elsewhere")
    else:
        (run / name).unlink(missing_ok=True)
        (run / name).symlink_to(victim)
    before = sorted(tmp_path.rglob("*"))
    for verb in (report, judge, segment, describe):
        assert "is a symbolic link" in str(again(verb, run))
    assert "is a symbolic link" in str(call(describe, str(tmp_path / "m.jsonl"), "-o", str(run)))
    assert victim.read_text() == "precious" and sorted(tmp_path.rglob("*")) == before


def test_nor_out_of_one_that_is_only_being_made(tmp_path: Path) -> None:
    (tmp_path / "victim").write_text("precious")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "lock").symlink_to(tmp_path / "victim")
    with pytest.raises(UserError, match="cannot write"):
        Run.create(tmp_path / "run")
    assert (tmp_path / "victim").read_text() == "precious"


def changed(stage: str, change: Callable[[dict[str, Any]], Any]) -> Callable[[Path], None]:
    """A function that changes the record of the first row of a stage."""

    def damage(run: Path) -> None:
        path = run / stage / "0001.jsonl"
        first, *rest = path.read_text().splitlines()
        row = json.loads(first)
        change(row["record"])
        path.write_text("\n".join([json.dumps(row), *rest]) + "\n")

    return damage


def references(*found: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda record: record["completeness"].update(details={"references": list(found)})


DAMAGES = {
    "no defective": changed("describe", lambda r: r.pop("defective")),
    "usage a number": changed("describe", lambda r: r.update(usage=5)),
    "usage of texts": changed("describe", lambda r: r.update(usage={"prompt_tokens": "x"})),
    "text a list": changed("describe", lambda r: r.update(text=["a"])),
    "a verdict that is a number": changed("judge", lambda r: r.update(completeness=5)),
    "references of numbers": changed("judge", references(5)),
    "tokens that are texts": changed("judge", references({"usage": {"prompt_tokens": "x"}})),
    "an area of texts": changed("segment", lambda r: r.update(area="x")),
    "an image that is a number": changed("samples", lambda r: r.update(image=5)),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_row_is_one_line(run: Path, name: str) -> None:
    DAMAGES[name](run)
    said = [again(verb, run) for verb in (describe, judge, segment, report)]
    assert any("damaged" in told for told in said if told)
    assert all("\n" not in told for told in said if told)


@pytest.mark.parametrize("field", ["commit", "versions", "stages", "schema"])
def test_a_damaged_description_of_the_run_is_one_line(run: Path, field: str) -> None:
    info = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps({**info, field: [1]}))
    told = again(report, run)
    assert told and "\n" not in told


def test_masks_replace_nothing_that_is_there(run: Path, tmp_path: Path) -> None:
    """Least of all the pictures themselves, in whose folder they may be put by mistake."""
    given = ["--masks", str(tmp_path / "masks")]
    before = {path: path.read_bytes() for path in tmp_path.glob("*.png")}
    assert "is there already" in str(call(segment, str(run), *given, "--png", str(tmp_path)))
    assert "the picture itself" in str(call(segment, str(run), *given, "--png", str(tmp_path), "--force"))
    assert {path: path.read_bytes() for path in tmp_path.glob("*.png")} == before
    assert call(segment, str(run), *given, "--png", str(tmp_path / "new")) is None
    assert call(segment, str(run), *given, "--png", str(tmp_path / "new"), "--force") is None
    assert len(list((tmp_path / "new").iterdir())) == 2


def test_a_circle_of_links_among_the_masks_is_one_failed_row(run: Path, tmp_path: Path) -> None:
    (tmp_path / "masks" / "a.png").unlink()
    (tmp_path / "masks" / "a.png").symlink_to("a.png")
    assert call(segment, str(run), "--masks", str(tmp_path / "masks"), "--redo") is None
    rows = Run.open(run).latest("segment")
    assert rows["a"].failure and rows["b"].ok


@pytest.mark.parametrize("name", ["", "run\udcff"])
def test_a_run_needs_a_name_that_can_be_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (16, 16)).save(tmp_path / "a.png")
    assert call(describe, str(tmp_path), "-o", name) is not None
    assert os.listdir(tmp_path) == ["a.png"]


@pytest.mark.parametrize("option", ["--descriptions", "--replay"])
def test_a_pipe_in_the_place_of_answers_is_refused(tmp_path: Path, option: str) -> None:
    Image.new("RGB", (16, 16)).save(tmp_path / "a.png")
    os.mkfifo(tmp_path / "x.jsonl")
    engine = ["--engine", "replay"] if option == "--replay" else []
    file = str(tmp_path / "x.jsonl")
    told = call(describe, str(tmp_path), "-o", str(tmp_path / "run"), option, file, *engine)
    assert told and "x.jsonl" in told


_HEADS = {
    "an escape that JSON does not know": rb'{"id":"\x","key":"k","record":{}}',
    "an id that is no text": b'{"id":"\xff","key":"k","record":{}}',
    "half a surrogate pair": rb'{"id":"\ud800","key":"k","record":{}}',
    "a key that is no text": b'{"id":"a","key":"\xff","record":{}}',
    "no record": b'{"id":"a","key":"k","record":null}',
    "a record and a failure": (
        b'{"id":"a","key":"k","record":{"defective":false},'
        b'"failure":{"stage":"describe","kind":"timeout","message":"late"}}'
    ),
}


@pytest.mark.parametrize("line", _HEADS.values(), ids=_HEADS)
def test_a_forged_head_is_told_in_one_line(run: Path, line: bytes) -> None:
    with (run / "samples" / "0001.jsonl").open("ab") as f:
        f.write(line + b"\n")
    with pytest.raises(UserError, match="is damaged"):
        [sample.image for sample in Run.open(run).samples()]
    for verb in (describe, segment, judge, report):
        assert "damaged" in (again(verb, run) or "")


@pytest.mark.parametrize(
    "usage", [{"prompt_tokens": -5}, {"calls": 10**400}, {"prompt_tokens": 1, "cached_tokens": 2}], ids=str
)
def test_forged_numbers_of_tokens_are_not_added_up(run: Path, usage: dict[str, int]) -> None:
    shard = run / "describe" / "0001.jsonl"
    row = json.loads(shard.read_text().splitlines()[0])
    row["record"]["usage"] = usage
    shard.write_text(json.dumps(row) + "\n")
    with pytest.raises(UserError, match="give --redo describe"):
        account_of_run(Run.open(run))
