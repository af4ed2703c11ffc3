"""What decides an answer is part of its row's key, and nothing else is: each input changed alone, over a real run."""

import inspect
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from injections import reply
from PIL import Image
from test_calibrate import made

import prompts
from describe.calibration import about_p, write
from describe.command import describe
from describe.stage import describe_run, describing
from engines import Answer, Request
from engines.replay import ReplayEngine
from flawscribe.errors import UserError
from flawscribe.records import Golden, Sample
from flawscribe.runs import Run

SERVER = "http://127.0.0.1:9/v1"
WARM = {"temperature": 0.5}
Setting = dict[str, Any]

OTHER: dict[str, tuple[Setting, Setting]] = {
    "model": ({"model": "org/a"}, {"model": "org/b"}),
    "model: revision": ({"model": "org/a@v1"}, {"model": "org/a@v2"}),
    "model: named as on the hub, but a server's": (
        {"model": "org/a"},
        {"model": "org/a", "base_url": SERVER},
    ),
    "model: packaged, but a server's": ({"model": "nano"}, {"model": "nano", "engine": "openai"}),
    "protocol": ({}, {"protocol": "conservative"}),
    "protocol: several calls": ({}, {"protocol": "staged"}),
    "prompts": ({}, {"prompts": "own prompts"}),
    "max_tokens": ({}, {"max_tokens": 511}),
    "temperature": ({}, {"temperature": 0.1}),
    "seed": (WARM, {**WARM, "seed": 1}),
    "samples": (WARM, {**WARM, "samples": 2}),
    "params": ({}, {"params": {"top_p": 0.9}}),
    "params: value": ({"params": {"top_p": 0.9}}, {"params": {"top_p": 0.8}}),
    "max_pixels": ({}, {"max_pixels": 50}),
    "boxes": ({"protocol": "grounded"}, {"protocol": "grounded", "boxes": "0-1"}),
    "boxes: by family": (
        {"protocol": "grounded", "model": "org/qwen3-vl"},
        {"protocol": "grounded", "model": "org/qwen2.5-vl"},
    ),
    "calibration": ({}, {"calibration": "fitted.json"}),
    "calibration: threshold": ({"calibration": "fitted.json"}, {"calibration": "stricter.json"}),
    "replay": (
        {"engine": "replay", "replay": "answers.jsonl"},
        {"engine": "replay", "replay": "other.jsonl"},
    ),
}
"""By the parameter that is changed: a command's settings, and others under which every answer may be another."""

SAME: dict[str, tuple[Setting, Setting]] = {
    "engine": ({"model": "org/a", "engine": "transformers"}, {"model": "org/a", "engine": "vllm"}),
    "base_url": ({"base_url": SERVER}, {"base_url": "http://127.0.0.1:99/v1"}),
    "window": ({}, {"window": 3}),
    "timeout": ({}, {"timeout": 7.0}),
    "wait": ({}, {"wait": 0.0}),
    "media": ({"base_url": SERVER}, {"base_url": SERVER, "media": "file"}),
    "allow_urls": ({}, {"allow_urls": True}),
    "prices": ({}, {"prices": "prices.json"}),
    "cluster": ({}, {"cluster": "local"}),
    "workers": ({}, {"cluster": "local", "workers": 2}),
    "tell": ({}, {"tell": print}),
    "allow": ({}, {"allow": print}),
    "quiet": ({}, {"quiet": True}),
    "from_batch": ({"base_url": SERVER}, {"from_batch": ["no such file"]}),
    "seed: of greedy answers": ({}, {"seed": 5}),
    "calibration: its file's name": ({"calibration": "fitted.json"}, {"calibration": "copied.json"}),
    "params: none": ({}, {"params": {}}),
    "params: order": ({"params": {"a": 1, "b": 2}}, {"params": {"b": 2, "a": 1}}),
}
"""Likewise, under which the answers are those that are there."""

NOT_ABOUT_ANSWERS = {
    "run",
    "input",
    "out",
    "redo",
    "yes",
    "as_json",
    "debug",
    "descriptions",
    "emit_batch",
    "dry_run",
    "looked_at",
    "measured",
    "asked",
}
"""What a call of the verb is given and what it prints; the ways to ask nothing."""


def test_every_setting_is_tested_here() -> None:
    """A new one must say which of both it is."""
    given = {*inspect.signature(describe_run).parameters, *inspect.signature(describing).parameters}
    given |= {str(parameter.name) for parameter in describe.params}
    known = {name.partition(":")[0] for name in (*OTHER, *SAME)}
    assert given - NOT_ABOUT_ANSWERS == known


class Recording:
    """A run of two samples, described by an engine that only counts what it is asked."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self.asked = folder, list[Request]()
        for i, name in enumerate("ab"):
            Image.new("RGB", (8, 8), (40 * i, 0, 0)).save(folder / f"{name}.png")
        price = {"currency": "EUR", "models": {"nano": {"input": 1, "output": 1}}}
        (folder / "prices.json").write_text(json.dumps(price))
        (folder / "answers.jsonl").write_text("")
        (folder / "other.jsonl").write_text("\n")
        fitted_for = about_p(describing().settings)
        for name, threshold in (("fitted", 0.4), ("copied", 0.4), ("stricter", 0.5)):
            write(made(fitted_for=fitted_for, threshold=threshold), folder / f"{name}.json")
        (folder / "own prompts").mkdir()
        self.own_prompts()
        self.run = Run.create(folder / "run")
        self.samples = [Sample(id=name, image=str(folder / f"{name}.png"), prompt="a cat") for name in "ab"]
        monkeypatch.chdir(folder)
        monkeypatch.setattr("describe.stage.build", lambda *_, **__: (ReplayEngine(self.answer), "recorded"))

    def own_prompts(self, version: int | None = None, more: str = "") -> None:
        """Ours, as a user's own file, with another version or a changed text."""
        text = (prompts.loader.HERE / "describe.yaml").read_text(encoding="utf-8")
        text = text.replace("version: 1", f"version: {version or 1}").replace(
            "Assess this image.", f"Assess this image.{more}"
        )
        (self.folder / "own prompts" / "describe.yaml").write_text(text, encoding="utf-8")

    def answer(self, request: Request) -> Answer:
        self.asked.append(request)
        assert request.schema
        return Answer(reply(request.schema))

    def asks(self, setting: Setting) -> list[str]:
        """The ids that are asked about when the run is described (again) in this way."""
        self.asked.clear()
        self.run.set_samples("test", self.samples)
        describe_run(self.run, **{"quiet": True, **setting})
        return sorted({request.id for request in self.asked})


@pytest.fixture
def recording(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Recording:
    return Recording(tmp_path, monkeypatch)


@pytest.mark.parametrize("name", OTHER)
def test_another_setting_finds_no_row(
    recording: Recording, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    setting, other = OTHER[name]
    if name == "prompts":
        recording.own_prompts(more=" Now.")
    assert recording.asks(setting) == ["a", "b"] and recording.asks(setting) == []
    with pytest.raises(UserError, match="begun with other settings"):
        recording.asks(other)
    assert recording.asked == []
    # Were it not for that line, the keys would tell.
    monkeypatch.setattr(Run, "begin", lambda *_, **__: None)
    assert recording.asks(other) == ["a", "b"]


@pytest.mark.parametrize("name", SAME)
def test_the_rest_finds_every_row(recording: Recording, name: str) -> None:
    setting, other = SAME[name]
    assert recording.asks(setting) == ["a", "b"]
    assert recording.asks(other) == []


def one_byte(recording: Recording) -> None:
    path = recording.folder / "a.png"
    data = bytearray(path.read_bytes())
    data[-5] ^= 1  # of the last chunk's checksum: the pixels stay
    path.write_bytes(data)


def sample(**fields: Any) -> Callable[[Recording], None]:
    """Change fields of the sample `a` in the manifest."""

    def change(recording: Recording) -> None:
        recording.samples[0] = recording.samples[0].model_copy(update=fields)

    return change


@pytest.mark.parametrize(
    "change",
    [one_byte, sample(prompt="a dog"), sample(prompt="a cat "), sample(prompt=None), sample(id="c")],
    ids=["a byte of the image", "prompt", "a space in the prompt", "no prompt", "id"],
)
def test_a_changed_sample_is_asked_again_and_no_other(
    recording: Recording, change: Callable[[Recording], None]
) -> None:
    recording.asks({})
    change(recording)
    assert recording.asks({}) == [recording.samples[0].id]


def moved(recording: Recording) -> None:
    (recording.folder / "elsewhere").mkdir()
    for i, s in enumerate(recording.samples):
        path = recording.folder / "elsewhere" / f"renamed {i}.bin"
        shutil.move(s.image, path)
        recording.samples[i] = s.model_copy(update={"image": str(path)})


def run_moved(recording: Recording) -> None:
    recording.run.path.rename(recording.folder / "run elsewhere")
    recording.run = Run.open(recording.folder / "run elsewhere")


def touched(recording: Recording) -> None:
    os.utime(recording.samples[0].image, (0, 0))


def forgotten(recording: Recording) -> None:
    (recording.run.path / "digests.jsonl").unlink()


@pytest.mark.parametrize(
    "change",
    [
        moved,
        run_moved,
        touched,
        forgotten,
        sample(golden=Golden(defective=True), generator="g", meta={"x": 1}),
        lambda recording: recording.samples.reverse(),
    ],
    ids=[
        "image moved and renamed",
        "run moved",
        "touched",
        "digests gone",
        "golden, generator, meta",
        "order",
    ],
)
def test_what_does_not_decide_an_answer_keeps_it(
    recording: Recording, change: Callable[[Recording], None]
) -> None:
    recording.asks({})
    change(recording)
    assert recording.asks({}) == []


@pytest.mark.parametrize("change", [{"version": 2}, {"more": " Now."}], ids=["version", "a word of the text"])
def test_a_changed_prompt_file_is_another_setting(recording: Recording, change: dict[str, Any]) -> None:
    recording.asks({"prompts": "own prompts"})
    recording.own_prompts(**change)
    with pytest.raises(UserError, match="prompt was"):
        recording.asks({"prompts": "own prompts"})


def test_a_checkpoint_is_known_by_its_content(recording: Recording, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder that was moved is the same model, and one whose weights changed by a byte another."""

    folder = recording.folder / "model"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(b"weights")
    assert recording.asks({"model": "model"}) == ["a", "b"]
    (recording.folder / "deeper").mkdir()
    shutil.move(folder, recording.folder / "deeper" / "model")
    assert recording.asks({"model": "deeper/model"}) == []
    (recording.folder / "deeper" / "model" / "model.safetensors").write_bytes(b"weightz")
    with pytest.raises(UserError, match="revision was"):
        recording.asks({"model": "deeper/model"})
    monkeypatch.setattr(Run, "begin", lambda *_, **__: None)
    assert recording.asks({"model": "deeper/model"}) == ["a", "b"]


def test_another_wire_format_is_asked_for_again(
    recording: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    recording.asks({})
    monkeypatch.setattr("describe.stage.FORMAT", -1)
    assert recording.asks({}) == ["a", "b"]
