"""Names of models."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from flawscribe.errors import SetupError, UserError
from flawscribe.models import ModelRef, nano_head_path, resolve_model
from flawscribe.models_command import models_command


def checkpoint(folder: Path, weights: bytes = b"weights") -> Path:
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(weights)
    return folder


def test_a_directory_is_known_by_its_content(tmp_path: Path) -> None:
    one, same = checkpoint(tmp_path / "one"), checkpoint(tmp_path / "same")
    ref = resolve_model(str(one))
    assert (ref.kind, ref.path) == ("directory", str(one))
    assert ref.revision == resolve_model(str(same)).revision
    assert ref.revision != resolve_model(str(checkpoint(tmp_path / "other", b"others"))).revision
    (same / "README.md").write_text("a card changes nothing")
    (same / "chat_template.jinja").write_text("a template does")
    assert resolve_model(str(same)).revision != ref.revision


@pytest.mark.parametrize(
    ("name", "path", "revision"),
    [
        ("Qwen/Qwen3-VL-4B-Instruct", "Qwen/Qwen3-VL-4B-Instruct", "main"),
        ("org/name@v1.0", "org/name", "v1.0"),
    ],
)
def test_hub_names_are_not_looked_up(name: str, path: str, revision: str) -> None:
    ref = resolve_model(name)
    assert ref == ModelRef(name, path, revision, "hub")
    assert ref.served_name == name


@pytest.mark.parametrize(
    "name", ["nanno", "", "../x/y", "a/b/c", "/nowhere/model", "org/na me", "https://a.b/c"]
)
def test_any_other_name_is_told_what_would_do(name: str) -> None:
    with pytest.raises(UserError, match="hub id org/name") as caught:
        resolve_model(name)
    assert "nano" in str(caught.value)
    assert "--base-url or --engine openai" in str(caught.value)


def test_a_directory_without_a_model(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"config\.json"):
        resolve_model(str(tmp_path))


def test_nano_ships_with_us() -> None:
    ref = resolve_model("nano")
    assert (ref.kind, ref.served_name) == ("packaged", "nano")
    assert (Path(ref.path) / "model.safetensors").is_file()
    assert (nano_head_path() / "config.json").is_file()


def test_missing_weights_are_a_matter_of_set_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flawscribe.models.PACKAGED", {"nano": (tmp_path, "about")})
    with pytest.raises(SetupError, match="install flawscribe again"):
        resolve_model("nano")


def test_the_verb_lists_them() -> None:
    listed = {m["name"]: m for m in json.loads(CliRunner().invoke(models_command, ["--json"]).output)}
    assert Path(listed["nano"]["path"], "model.safetensors").is_file()
    assert listed["qwen3-vl-4b"]["revision"] == "main" and listed["qwen3-vl-4b"]["licence"] == "Apache-2.0"
    table = CliRunner().invoke(models_command).output
    assert all(name in table for name in listed)
