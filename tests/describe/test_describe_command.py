"""The verb `describe` as a user types it."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from fake_server import completion, serving
from PIL import Image
from recorded import FALSE, TRUE, recording

from describe.command import describe
from flawscribe.errors import UserError


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for i, name in enumerate("abc"):
        Image.new("RGB", (8, 8), (i, 0, 0)).save(folder / f"{name}.png")
    return folder


def call(*arguments: object) -> Result:
    return CliRunner().invoke(describe, [str(a) for a in arguments])


def test_figures_and_exit_codes(pictures: Path, tmp_path: Path) -> None:
    file = recording(tmp_path, **{"a.png": TRUE, "b.png": FALSE})
    result = call(pictures, "-o", tmp_path / "run", "--engine", "replay", "--replay", file, "--json")
    assert result.exit_code == 1, result.output
    figures = json.loads(result.stdout)
    assert (figures["images"], figures["ok"], figures["defective"], figures["failed"]) == (3, 2, 1, 1)
    assert figures["failures"] == {"missing_answer": 1}
    recording(tmp_path, **{"a.png": TRUE, "b.png": FALSE, "c.png": FALSE})
    again = call(pictures, "-o", tmp_path / "other", "--engine", "replay", "--replay", file)
    assert again.exit_code == 0, again.output
    assert "3 images, 3 described (0 before)" in again.stdout
    assert "replay: asked for" in again.stderr


def test_descriptions_made_elsewhere(pictures: Path, tmp_path: Path) -> None:
    (tmp_path / "d.csv").write_text("id,description\na.png,Six fingers.\nb.png,\nc.png,\n")
    result = call(pictures, "-o", tmp_path / "run", "--descriptions", tmp_path / "d.csv", "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["defective"] == 1


def test_parameters_reach_the_server_and_the_rows_key(pictures: Path, tmp_path: Path) -> None:
    with serving(lambda body, n: (200, completion(FALSE))) as server:
        command = [pictures, "-o", tmp_path / "run", "--model", "m", "--base-url", server.url]
        given = ["--param", "top_p=0.5", "--param", 'stop=["X"]', "--param", "user=me"]
        assert call(*command, *given).exit_code == 0
        assert {"top_p": 0.5, "stop": ["X"], "user": "me"}.items() <= server.bodies[0].items()
        other = call(*command, "--param", "top_p=0.6")
        assert "params was" in str(other.exception)
    assert "is not NAME=VALUE" in call(pictures, "-o", tmp_path / "run", "--param", "top_p").output


def test_an_unknown_engine_is_named_with_its_like(pictures: Path, tmp_path: Path) -> None:
    result = call(pictures, "-o", tmp_path / "run", "--engine", "opnai")
    assert isinstance(result.exception, UserError)
    assert "Did you mean 'openai'" in str(result.exception)


@pytest.mark.parametrize(
    ("option", "value"), [("--temperature", "nan"), ("--timeout", "nan"), ("--timeout", "inf")]
)
def test_numbers_that_cannot_be_are_one_line(pictures: Path, tmp_path: Path, option: str, value: str) -> None:
    result = call(pictures, "-o", tmp_path / "run", "--base-url", "http://127.0.0.1:9/v1", option, value)
    assert result.exit_code == 2 and not (tmp_path / "run").exists()
    assert f"Invalid value for '{option}'" in result.output.splitlines()[-1]


def test_a_home_that_is_nobodys_is_one_line(pictures: Path, tmp_path: Path) -> None:
    result = call(pictures, "-o", tmp_path / "run", "--model", "~nosuch/x")
    assert type(result.exception) is UserError
    assert "\n" not in str(result.exception)


def test_help_shows_examples() -> None:
    result = call("--help")
    assert result.exit_code == 0
    assert "flawscribe describe pictures/ -o run/" in result.stdout
