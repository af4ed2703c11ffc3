"""The chain with answers made elsewhere: every stage runs for real, but no model is loaded."""

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from handmade import SIZE, box
from PIL import Image

from flawscribe.errors import SetupError, UserError
from flawscribe.records import Sample
from flawscribe.runs import Run
from report.command import report
from report.join import join
from report.pipeline import run_pipeline
from report.run_command import run as run_verb


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Four pictures with golden data, and somebody's descriptions and masks of them."""
    (tmp_path / "masks").mkdir()
    manifest, answers = [], []
    for i, defective in enumerate((True, True, False, False)):
        Image.new("RGB", SIZE, (60 * i, 90, 90)).save(tmp_path / f"{i}.png")
        mask = box(0, 0, 10, 10) if defective else np.zeros(SIZE[::-1], bool)
        Image.fromarray(mask).save(tmp_path / "masks" / f"{i}.png")
        row = {"id": str(i), "image": f"{i}.png", "prompt": "a clock", "defective": defective}
        if defective:
            row |= {"descriptions": ["The clock has no hands."], "mask": f"masks/{i}.png"}
        manifest.append(row)
        answers.append({"id": str(i), "description": "The clock has no hands." if i in (0, 3) else None})
    for name, rows in (("manifest", manifest), ("answers", answers)):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


def verb(folder: Path, *options: str) -> Result:
    arguments = [str(folder / "manifest.jsonl"), "-o", str(folder / "run")]
    answers = ["--descriptions", str(folder / "answers.jsonl"), "--masks", str(folder / "masks")]
    return CliRunner().invoke(run_verb, [*arguments, *answers, *options])


def test_run_judges_answers_made_elsewhere(folder: Path) -> None:
    result = verb(folder, "--json")
    assert result.exit_code == 0, result.output
    metrics = json.loads(result.stdout)
    assert metrics["counts"]["outcomes"]["true positive"] == metrics["counts"]["outcomes"]["miss"] == 1
    assert metrics["masks"]["raw"]["giou"]["value"] == 1.0
    assert metrics["masks"]["gated"]["giou"]["value"] == 0.5
    assert metrics["texts"]["completeness"]["value"] == 1.0
    page = Path(metrics["report"]).read_text()
    assert page.startswith("<!DOCTYPE html>") and "matched: “The clock has no hands" in page
    assert "describe: 4 answered, 0 failed, 0 already there" in result.stderr


@pytest.mark.slow
def test_run_again_does_only_what_is_missing(folder: Path) -> None:
    first = verb(folder)
    shards = {path: path.read_bytes() for path in (folder / "run").glob("*/*.jsonl")}
    second = verb(folder)
    assert "describe: 0 answered, 0 failed, 4 already there" in second.stderr
    assert "judge: 0 answered, 0 failed, 2 already there" in second.stderr
    assert second.stdout == first.stdout
    assert all(path.read_bytes() == content for path, content in shards.items())
    third = verb(folder, "--redo", "judge")
    assert "judge: 2 answered" in third.stderr and "describe: 0 answered" in third.stderr


def test_run_tells_failures_by_its_exit_code(folder: Path) -> None:
    (folder / "0.png").write_bytes(b"no picture")
    lines = (folder / "answers.jsonl").read_text().splitlines()
    (folder / "answers.jsonl").write_text("\n".join(lines[:-1]) + "\n")
    result = verb(folder)
    assert result.exit_code == 1
    assert "4 samples: 2 ok, 2 failed" in result.stdout
    assert {j.id for j in join(Run.open(folder / "run")) if not j.ok} == {"0", "3"}


def test_a_wrong_stage_to_redo(folder: Path) -> None:
    result = verb(folder, "--redo", "descrbe")
    assert isinstance(result.exception, UserError) and "Did you mean 'describe'" in str(result.exception)
    assert not (folder / "run").exists()


def test_report_imports_and_judges(folder: Path) -> None:
    arguments = [str(folder / "manifest.jsonl"), "-o", str(folder / "run")]
    answers = ["--descriptions", str(folder / "answers.jsonl"), "--masks", str(folder / "masks")]
    result = CliRunner().invoke(report, [*arguments, *answers])
    assert result.exit_code == 0, result.output
    assert "Completeness" in result.stdout and "Note: The judge is claims" in result.stdout
    again = CliRunner().invoke(report, [str(folder / "run"), "--json"])
    assert json.loads(again.stdout)["texts"]["completeness"]["value"] == 1.0


def test_report_of_a_run_without_stages(folder: Path) -> None:
    result = CliRunner().invoke(report, [str(folder / "manifest.jsonl"), "-o", str(folder / "run")])
    assert result.exit_code == 0
    assert "absent: the run holds no masks" in result.stdout
    assert "absent: the descriptions were not judged" in result.stdout


def test_a_missing_judge_key_is_told_before_anything_is_described(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    picture = tmp_path / "a.png"
    Image.new("RGB", (8, 8)).save(picture)
    run = Run.create(tmp_path / "new")
    run.set_samples("m", [Sample(id="a", image=str(picture))])
    with pytest.raises(SetupError, match="OPENAI_API_KEY"):
        run_pipeline(run, judge="gpt-4o")
    assert not run.has("describe")
