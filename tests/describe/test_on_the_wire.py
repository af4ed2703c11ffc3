"""What a server gets, as bytes: which call is given the prompt, and in what order instructions, picture, prompt go."""

import base64
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_server import FakeServer, completion, serving
from injections import reply
from PIL import Image

from describe.protocols import PROTOCOLS
from describe.stage import describe_run
from describe.tiles import tiles
from flawscribe.images import load_image
from flawscribe.records import Sample
from flawscribe.runs import Run
from prompts import load

RARE = ("zyqqx-{}", "Ωжß猫-{}", "zyqqx-{}\n\t\"'\\", "<|zyqqx-{}|>")
"""Prompts that occur nowhere else, in letters that JSON may write in several ways."""


def a_run(folder: Path, n: int, side: int = 8) -> Run:
    samples = []
    for i in range(n):
        path = folder / f"{i}.png"
        noise = np.random.default_rng(i).integers(0, 255, (side, side, 3), dtype=np.uint8)
        Image.fromarray(noise).save(path)
        prompt = " ".join(text.format(i) for text in RARE)
        samples.append(Sample(id=f"id-{i}", image=str(path), prompt=prompt, meta={"about": prompt}))
    run = Run.create(folder / "run")
    run.set_samples("test", samples)
    return run


def kind(body: dict[str, Any]) -> str:
    """Which step of the three a request is of, by the answer that it asks for."""
    properties = body["response_format"]["json_schema"]["schema"]["properties"]
    if "Findings" in properties:
        return "inspect"
    return "verify" if "Intended" in properties else "describe"


def served(run: Run, stumbling: bool = False, **how: Any) -> FakeServer:
    """The server after the run; `stumbling`, it answers each first attempt at a step with what is not valid."""

    def respond(body: dict[str, Any], n: int) -> tuple[Any, ...]:
        if stumbling and body["temperature"] == 0:
            return 200, completion("I would rather not say")
        return 200, completion(reply(body["response_format"]["json_schema"]["schema"]))

    with serving(respond) as server:
        counts = describe_run(run, base_url=server.url, model="m", quiet=True, **how)
    assert counts.failed == 0
    return server


@pytest.mark.parametrize(
    "how",
    [{}, {"stumbling": True}, {"samples": 3, "temperature": 0.7}, {"window": 1}],
    ids=["plain", "asked again after an invalid answer", "sampled", "one at a time"],
)
def test_no_byte_of_a_prompt_is_sent_while_the_picture_is_inspected(
    tmp_path: Path, how: dict[str, Any]
) -> None:
    """Neither in headers nor in the body, in any of the ways that JSON has to write a text, nor any sample's id."""
    n = 12
    server = served(a_run(tmp_path, n), protocol="staged", **how)
    seen: dict[str, int] = {"inspect": 0, "verify": 0, "describe": 0}
    for body, raw in zip(server.bodies, server.raw, strict=True):
        seen[kind(body)] += 1
        forms = [raw, json.dumps(body, ensure_ascii=False).encode(), json.dumps(body).encode().lower()]
        whole = b"\n".join(forms)
        leaks = [word for word in (b"zyqqx", "Ωжß猫".encode(), b"\\u03a9", b"id-", b"about") if word in whole]
        if kind(body) == "verify":
            assert {b"zyqqx", b"\\u03a9"} <= set(leaks)
        else:
            assert not leaks, kind(body)
    times = how.get("samples", 1) * (2 if how.get("stumbling") else 1)
    assert seen == {"inspect": n * times, "verify": n * times, "describe": n * times}


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_instructions_come_first_then_the_picture_and_the_prompt_last(tmp_path: Path, protocol: str) -> None:
    """What all samples share stands before what each has of its own, so that servers compute it once."""
    server = served(a_run(tmp_path, 2, side=128), protocol=protocol)
    prompt = load(PROTOCOLS[protocol][0])
    for body, raw in zip(server.bodies, server.raw, strict=True):
        system, user = body["messages"]
        assert system["role"] == "system" and "zyqqx" not in system["content"]
        assert [part["type"] for part in user["content"]] == ["image_url", "text"]
        text = user["content"][1]["text"]
        if "zyqqx" in text:
            assert raw.index(b"image_url") < raw.index(b"zyqqx")
            if protocol != "staged":
                assert json.loads(text[text.index('"') :]).startswith("zyqqx")
    systems = {body["messages"][0]["content"] for body in server.bodies}
    assert len(systems) == {"staged": 3, "zoom": 1 + len(tiles(128, 128))}.get(protocol, 1)
    if protocol == "grounded":
        assert prompt.render("boxes_0-1000") in systems.pop()


def test_zoom_sends_each_part_at_its_own_resolution(tmp_path: Path) -> None:
    run = a_run(tmp_path, 1, side=96)
    server = served(run, protocol="zoom")
    path = str(tmp_path / "0.png")
    expected = [load_image(path, box) for box in (None, *tiles(96, 96))]

    def sent(body: dict[str, Any]) -> bytes:
        data = body["messages"][1]["content"][0]["image_url"]["url"].partition(",")[2]
        return Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB").tobytes()

    assert sorted(map(sent, server.bodies)) == sorted(picture.tobytes() for picture in expected)
