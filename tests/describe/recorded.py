"""Runs over small pictures, and recorded answers for them."""

import json
from collections.abc import Iterable
from pathlib import Path

from PIL import Image

from flawscribe.records import Sample
from flawscribe.runs import Run

FALSE = '{"Defective": false, "Description": []}'
TRUE = '{"Defective": true, "Description": ["Six fingers."]}'


def make_run(folder: Path, names: Iterable[str] = "abcd", **prompts: str) -> Run:
    samples = []
    for i, name in enumerate(names):
        path = folder / f"{name}.png"
        if name != "x":
            Image.new("RGB", (8, 8), (40 * i % 256, 0, 0)).save(path)
        samples.append(Sample(id=name, image=str(path), prompt=prompts.get(name)))
    run = Run.create(folder / "run")
    run.set_samples("test", samples)
    return run


def recording(folder: Path, **texts: str) -> str:
    path = folder / "answers.jsonl"
    path.write_text("".join(json.dumps({"id": k, "text": v}) + "\n" for k, v in texts.items()))
    return str(path)
