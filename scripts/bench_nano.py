"""What nano costs: seconds an image on one core, one by one and in batches, and how often its answers are valid JSON.

    python scripts/bench_nano.py --images 200

Draws scenes, asks nano through the transformers engine with and without constrained decoding, marks them with the
mask head, and prints a table. The vision encoder alone is the floor: no describer on this tower can be faster.
"""

import argparse
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import torch

import prompts
from describe.protocol import Ask, interpret, request_for
from engines.base import Fault, Request
from engines.transformers_engine import TransformersEngine
from flawscribe.images import load_image
from flawscribe.manifest import read_manifest
from flawscribe.models import nano_head_path, resolve_model
from flawscribe.records import Sample
from scenes.dataset import write_scenes
from segment.checkpoint import load_head
from segment.predict import predict


def ask(requests: list[Request], batch: int) -> tuple[float, Counter[str]]:
    """Seconds an image, loading left out, and how many answers were valid or failed in which way."""
    engine = TransformersEngine(resolve_model("nano").path, None, batch)
    list(engine.stream(iter(requests[:batch])))  # warm
    outcomes = Counter[str]()
    began = time.perf_counter()
    for _, answer in engine.stream(iter(requests)):
        found = interpret(answer)
        outcomes[found.kind.value if isinstance(found, Fault) else "valid"] += 1
    return (time.perf_counter() - began) / len(requests), outcomes


def mark(images: list[str], batch: int) -> float:
    """The mask head's seconds an image, reading included."""
    head = load_head(nano_head_path())
    began = time.perf_counter()
    for i in range(0, len(images), batch):
        predict(head, [load_image(path) for path in images[i : i + batch]])
    return (time.perf_counter() - began) / len(images)


def encode(n: int, batch: int) -> float:
    """The vision encoder's seconds an image."""
    head = load_head(nano_head_path())
    pixels = torch.zeros(batch, 3, head.side, head.side)
    with torch.inference_mode():
        head.encoder(pixels)
        began = time.perf_counter()
        for _ in range(max(1, n // batch)):
            head.encoder(pixels)
    return (time.perf_counter() - began) / (max(1, n // batch) * batch)


def rows(requests: list[Request], images: list[str]) -> Iterator[tuple[str, float, str]]:
    """What is measured, seconds an image, and the answers."""
    free = [replace(r, schema=None) for r in requests]
    for name, asked in (("constrained", requests), ("unconstrained", free)):
        for batch in (1, 32):
            seconds, outcomes = ask(asked, batch)
            told = ", ".join(f"{kind} {n}" for kind, n in outcomes.most_common())
            yield f"describe, {name}, batch {batch}", seconds, told
    for batch in (1, 16):
        yield f"mask head, batch {batch}", mark(images, batch), ""
    yield "vision encoder alone, batch 32", encode(len(images), 32), ""


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=200, help="scenes to draw (default 200)")
    parser.add_argument("--seed", type=int, default=31337, help="their seed (default 31337)")
    parser.add_argument("--threads", type=int, default=1, help="processor cores to use (default 1)")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    with tempfile.TemporaryDirectory() as folder:
        manifest = write_scenes(Path(folder) / "scenes", args.images, args.seed)
        samples = [s for s in read_manifest(manifest) if isinstance(s, Sample)]
        prompt = prompts.load("describe")
        requests = [request_for(s, Ask(prompt)) for s in samples]
        print(f"{args.images} scenes of 128 px, {args.threads} thread(s)\n")
        print(f"{'':<36}{'s/image':>8}  answers")
        for name, seconds, told in rows(requests, [s.image for s in samples]):
            print(f"{name:<36}{seconds:>8.4f}  {told}", flush=True)


if __name__ == "__main__":
    main()
