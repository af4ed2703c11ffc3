import csv
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from handmade import HOSTILE, SIZE, YES, Builder, box, failure, prediction, says, verdicts
from pycocotools.coco import COCO

from flawscribe.errors import UserError
from flawscribe.records import RLE, Description, Finding
from flawscribe.runs import Run
from report.export import COLUMNS, export
from report.export_command import export as command
from segment.rle import decode

NEEDED = {
    "id",
    "status",
    "defective",
    "p_defective",
    "p_mask",
    "description",
    "mask",
    "quality",
    "completeness",
    "precision",
    "failure_kind",
    "failure_message",
}


def test_jsonl(small: Builder, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    assert export(small.run(), "jsonl", out) == 10
    rows = {row["id"]: row for row in map(json.loads, out.read_text(encoding="utf-8").splitlines())}
    assert list(rows) == [
        "hit",
        "hit2",
        "miss",
        "lost",
        "clean",
        "clean2",
        "alarm",
        "broken",
        "free",
        "manifest.jsonl:10",
    ]
    assert set(COLUMNS) >= NEEDED and all(tuple(row) == COLUMNS for row in rows.values())
    hit = rows["hit"]
    assert (hit["status"], hit["defective"], hit["p_defective"], hit["completeness"]) == ("ok", True, 0.9, 2)
    assert np.array_equal(decode(RLE(**hit["mask"])), box(0, 0, 10, 20))
    assert rows["hit2"]["precision"] is None
    assert rows["miss"]["mask"] is None and rows["miss"]["mask_raw"] is not None
    assert rows["lost"]["status"] == "failed" and rows["lost"]["failure_kind"] == "timeout"
    assert rows["lost"]["mask"] is None and rows["lost"]["mask_raw"] is not None
    assert (
        rows["manifest.jsonl:10"]["failure_kind"] == "bad_row" and rows["manifest.jsonl:10"]["image"] is None
    )
    assert rows["free"]["status"] == "ok" and rows["free"]["golden_defective"] is None


def test_parquet_holds_the_same(small: Builder, tmp_path: Path) -> None:
    run = small.run()
    export(run, "jsonl", tmp_path / "out.jsonl")
    assert export(run, "parquet", tmp_path / "out.parquet") == 10
    lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert pq.read_table(tmp_path / "out.parquet").to_pylist() == lines


def test_csv_holds_the_same(small: Builder, tmp_path: Path) -> None:
    run = small.run()
    export(run, "jsonl", tmp_path / "out.jsonl")
    assert export(run, "csv", tmp_path / "out.csv") == 10
    lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    with (tmp_path / "out.csv").open(encoding="utf-8", newline="") as f:
        for row, line in zip(csv.DictReader(f), lines, strict=True):
            for name, cell in row.items():
                text = line[name] is None or isinstance(line[name], str)
                assert (cell or None) == (line[name] or None) if text else json.loads(cell) == line[name]


def test_csv_runs_no_formula_and_keeps_every_text(build: Builder, tmp_path: Path) -> None:
    for i, text in enumerate(HOSTILE):
        build.add(f"{i}", None, Description(defective=True, text=text), prompt=text, generator=text)
    run = build.run()
    export(run, "csv", tmp_path / "out.csv")
    with (tmp_path / "out.csv").open(encoding="utf-8", newline="") as f:
        rows = list(csv.DictReader(f))
    assert len(rows) == len(HOSTILE)
    for row, text in zip(rows, HOSTILE, strict=True):
        assert row["prompt"] in (text, f"'{text}")
        assert not row["prompt"].lstrip().startswith(("=", "+", "-", "@"))
    for format in ("jsonl", "parquet"):
        export(run, format, tmp_path / f"out.{format}")
    lines = [
        json.loads(line)["prompt"] for line in (tmp_path / "out.jsonl").read_bytes().split(b"\n") if line
    ]
    assert lines == pq.read_table(tmp_path / "out.parquet")["prompt"].to_pylist() == list(HOSTILE)


def test_coco_is_read_by_pycocotools(small: Builder, tmp_path: Path) -> None:
    out = tmp_path / "coco.json"
    assert export(small.run(), "coco", out) == 10
    coco = COCO(str(out))
    content = json.loads(out.read_text())
    assert len(coco.imgs) == 9 and [row["id"] for row in content["failed"]] == ["manifest.jsonl:10"]
    names = {image["id"]: image["flawscribe"]["id"] for image in coco.imgs.values()}
    masks = {names[a["image_id"]]: a for a in coco.anns.values()}
    assert set(masks) == {"hit", "hit2", "alarm", "free"}
    assert np.array_equal(coco.annToMask(masks["hit"]).astype(bool), box(0, 0, 10, 20))
    assert masks["hit"]["area"] == 200 and masks["hit"]["bbox"] == [0, 0, 10, 20]
    assert all((i["width"], i["height"]) == SIZE for i in coco.imgs.values())
    assert coco.cats == {1: {"id": 1, "name": "defect"}, 2: {"id": 2, "name": "described defect"}}


def test_findings_and_their_boxes_are_exported(build: Builder, tmp_path: Path) -> None:
    boxed = Finding(text="Six fingers.", location="left", severity="severe", box=(4.0, 5.0, 14.0, 25.5))
    found = says(True).model_copy(update={"findings": (boxed, Finding(text="A melted ear."))})
    build.add("a", YES, found, prediction(box(0, 0, 5, 5)))
    build.add("b", YES, failure("describe"))
    run = build.run()
    for format in ("coco", "jsonl", "parquet", "csv"):
        export(run, format, tmp_path / f"out.{format}")
    coco = COCO(str(tmp_path / "out.coco"))
    (of_box,) = coco.loadAnns(coco.getAnnIds(catIds=[2]))
    assert of_box["bbox"] == [4, 5, 10, 20.5] and of_box["area"] == 205 and of_box["text"] == "Six fingers."
    assert np.array_equal(coco.annToMask(of_box).astype(bool)[:25], box(4, 5, 14, 30)[:25])
    first, second = (json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines())
    assert [Finding.model_validate(f) for f in first["findings"]] == list(found.findings)
    assert second["findings"] is None
    assert pq.read_table(tmp_path / "out.parquet")["findings"].to_pylist() == [first["findings"], None]
    cell = next(csv.DictReader((tmp_path / "out.csv").open(newline="", encoding="utf-8")))["findings"]
    assert json.loads(cell) == first["findings"]


def test_a_damaged_mask_is_no_annotation(build: Builder) -> None:
    damaged = prediction(box(0, 0, 5, 5)).model_copy(update={"rle": RLE(size=(30, 40), counts="zzzz")})
    build.add("a", YES, says(True), damaged, verdicts(1, 1))
    f = io.StringIO()
    export(build.run(), "coco", f)
    assert json.loads(f.getvalue())["annotations"] == []


def test_a_file_is_not_replaced_unasked(small: Builder, tmp_path: Path) -> None:
    run, out = small.run(), tmp_path / "out.csv"
    out.write_text("mine")
    with pytest.raises(UserError, match="--force"):
        export(run, "csv", out)
    assert out.read_text() == "mine"
    export(run, "csv", out, force=True)
    assert out.read_text().startswith("id,status")
    with pytest.raises(UserError, match="folder"):
        export(run, "csv", tmp_path)
    with pytest.raises(UserError, match="cannot write"):
        export(run, "csv", tmp_path / "no such folder" / "out.csv")
    with pytest.raises(UserError, match="Did you mean 'parquet'"):
        export(run, "parket", out)
    assert not list(tmp_path.glob("*.tmp"))


def test_the_verb(small: Builder, tmp_path: Path) -> None:
    run = small.run()
    result = CliRunner().invoke(command, [str(run.path)])
    assert result.exit_code == 0 and len(result.stdout.splitlines()) == 10
    result = CliRunner().invoke(command, [str(run.path), "--format", "parquet"])
    assert isinstance(result.exception, UserError)
    result = CliRunner().invoke(
        command, [str(run.path), "--format", "parquet", "-o", str(tmp_path / "x.parquet")]
    )
    assert result.exit_code == 0 and result.stdout == ""


def test_a_closed_pipe_is_no_error(small: Builder) -> None:
    run = small.run()
    code = "from report.export_command import export; export()"
    script = f"{sys.executable} -c '{code}' {run.path} --format jsonl | true; echo ${{PIPESTATUS[0]}}"
    result = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=60)
    assert result.stdout.strip() == "0" and "Broken" not in result.stderr


def test_devices_and_links_are_written_to_not_replaced(small_run: Run, tmp_path: Path) -> None:
    fifo = tmp_path / "pipe"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    export(small_run, "jsonl", fifo, force=True)
    os.close(reader)
    assert fifo.is_fifo()
    target, link, other = tmp_path / "target.jsonl", tmp_path / "link.jsonl", tmp_path / "link.jsonl.tmp"
    target.write_text("old")
    other.write_text("mine")
    link.symlink_to(target)
    export(small_run, "jsonl", link, force=True)
    assert link.is_symlink() and target.read_text().startswith("{")
    assert other.read_text() == "mine"
