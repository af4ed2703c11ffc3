"""Manifests with every kind of bad row through the whole command: typed failures with their place."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from flawscribe.records import FailureKind
from flawscribe.runs import Run

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def line(**fields: object) -> bytes:
    row = {"id": "x", "image": "a.png", "prompt": "a dog", **fields}
    return json.dumps({k: v for k, v in row.items() if v is not ...}).encode()


BAD_ROWS: dict[str, bytes] = {
    "id missing": line(id=...),
    "id null": line(id=None),
    "id a number with a fraction": line(id=1.5),
    "id empty": line(id=""),
    "id a list": line(id=["x"]),
    "id with NUL": line(id="x\0y"),
    "id half a surrogate pair": line(id="x").replace(b'"x"', b'"\\ud800"'),
    "image missing": line(image=...),
    "image null": line(image=None),
    "image empty": line(image=""),
    "image a number": line(image=7),
    "image with NUL": line(image="a\0.png"),
    "image half a surrogate pair": line().replace(b"a.png", b"\\ud800.png"),
    "prompt a list": line(prompt=["a", "dog"]),
    "prompt an object": line(prompt={"text": "a dog"}),
    "prompt half a surrogate pair": line().replace(b"a dog", b"a \\udfff dog"),
    "defective a word": line(defective="perhaps"),
    "defective a number": line(defective=7),
    "descriptions a number": line(descriptions=5),
    "descriptions of numbers": line(descriptions=[1, 2]),
    "descriptions nested": line(descriptions=[["a"]]),
    "mask a number": line(mask=5),
    "quality a word": line(quality="good"),
    "quality out of range": line(quality=11),
    "quality NaN": line(quality=float("nan")),
    "quality infinite": line(quality=float("inf")),
    "not JSON": b'{"id": "x", "image": ',
    "no object": b'["x", "a.png"]',
    "a number": b"12",
    "null": b"null",
    "bytes that are no text": b'{"id": "\xff\xfe", "image": "a.png"}',
    "nested without end": b'{"id": "x", "image": "a.png", "meta": ' + b"[" * 100_000,
    "NUL bytes": b"\0\0\0\0",
    "repeated": line(id="good-0"),
}
MISSING = {
    "outside the folder": line(id="outside", image="../../../nothing/here.png"),
    "absolute": line(id="absolute", image="/nothing/here.png"),
    "an address": line(id="address", image="http://127.0.0.1:9/a.png"),
    "a file address": line(id="file", image="file:///etc/passwd"),
    "a name too long": line(id="long", image="a" * 5000 + ".png"),
}


def ended(*arguments: str) -> "subprocess.CompletedProcess[str]":
    done = subprocess.run(
        [sys.executable, "-m", "flawscribe.cli", *arguments], capture_output=True, text=True, errors="replace"
    )
    assert "Traceback" not in done.stderr + done.stdout, done.stderr
    return done


def test_bad_rows_are_failures_with_their_line_and_the_others_are_answered(tmp_path: Path) -> None:
    Image.new("RGB", (40, 30), "red").save(tmp_path / "a.png")
    good = [line(id=f"good-{i}") for i in range(3)]
    good += [
        line(id="huge prompt", prompt="a dog " * 200_000),
        line(id="=1+1", prompt="=cmd|' /C calc'!A0", generator="@SUM(1)"),
        line(id="🦊", prompt="\u202eגב\u200b"),
        line(id="-o", generator="--help"),
        line(id="../up", defective=True, descriptions=["x"]),
        line(id=7),
    ]
    lines = [good[0], *BAD_ROWS.values(), *good[1:], *MISSING.values()]
    manifest = tmp_path / "manifest.jsonl"
    manifest.write_bytes(b"\xef\xbb\xbf" + b"\r\n".join(lines) + b"\r\n")
    run = tmp_path / "run"
    done = ended("run", str(manifest), "-o", str(run), "--engine", "transformers")
    assert done.returncode == 1, done.stderr
    samples, described = (Run.open(run).latest(stage) for stage in ("samples", "describe"))
    for n, name in enumerate(BAD_ROWS, 2):
        row = samples[f"manifest.jsonl:{n}"]
        assert row.failure is not None and f"manifest.jsonl:{n}" in row.failure.message, (name, row)
        expected = FailureKind.REPEATED_ID if name == "repeated" else FailureKind.BAD_ROW
        assert row.failure.kind == expected, (name, row)
    for row in (described[json.loads(text)["id"]] for text in MISSING.values()):
        assert row.failure is not None and row.failure.kind in (
            FailureKind.MISSING_IMAGE,
            FailureKind.BROKEN_IMAGE,
        )
    for name in ("good-0", "good-1", "good-2", "=1+1", "🦊", "-o", "../up", "7"):
        assert described[name].ok, described[name]
    too_long = described["huge prompt"]
    assert too_long.failure is not None and too_long.failure.kind == FailureKind.CONTEXT_OVERFLOW
    for form in ("csv", "jsonl", "parquet"):
        done = ended("export", str(run), "--format", form, "-o", str(tmp_path / f"rows.{form}"))
        assert done.returncode == 0, done.stderr
    assert "\n=1+1" not in (tmp_path / "rows.csv").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("m.parquet", b"PAR1 cut off"),
        ("m.parquet", b""),
        ("m.csv", b""),
        ("m.csv", b"a,b\n1,2\n"),
        ("m.jsonl", b""),
        ("m.jsonl", '{"id": "x"}'.encode("utf-16")),
        ("m.json", b"[]"),
        ("m.xlsx", b"PK"),
        ("m.pkl", b"\x80\x04N."),
    ],
)
def test_files_that_are_no_manifest_are_one_line(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    done = ended("run", str(tmp_path / name), "-o", str(tmp_path / "run"))
    assert done.returncode == 2, done.stderr
    assert name in done.stderr and len(done.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "run" / "report.html").exists()
