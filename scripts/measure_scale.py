"""What a row costs apart from its model: bytes on disk, processor time, resuming, compacting, a cluster's driver.

    python scripts/measure_scale.py [--rows 100000] [--pictures 1000] [--workers 2]

Answers are recorded, so that nothing is measured but flawscribe; docs/scale.md says what follows. Prints a table.
"""

import argparse
import hashlib
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from flawscribe.runs import Run
from scenes.dataset import write_scenes

WORDS = (
    Path(__file__).read_text().split()
)  # no two answers are the same, as in life: Parquet would gain from that


def answer(chance: random.Random) -> str:
    """Two defects of some seventy characters each."""
    return json.dumps(
        {"Defective": True, "Description": [" ".join(chance.choices(WORDS, k=12)) for _ in "ab"]}
    )


def flawscribe(*arguments: str) -> tuple[float, float, float]:
    """Seconds, processor seconds of the command itself, and its peak memory in MB."""
    began = time.monotonic()
    process = command = [sys.executable, "-m", "flawscribe.cli", *arguments]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in (0, 1):
        sys.exit(f"{arguments} ended with {process.returncode}")
    return time.monotonic() - began, used.ru_utime + used.ru_stime, used.ru_maxrss / 1000


def size(run: Path, pattern: str, rows: int) -> float:
    """Bytes a row of the run's files that fit the pattern."""
    return sum(path.stat().st_size for path in run.glob(pattern)) / rows


def main() -> None:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--rows", type=int, default=100_000)
    options.add_argument("--pictures", type=int, default=1000)
    options.add_argument("--workers", type=int, default=2)
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        measure(Path(folder), given.rows, given.pictures, given.workers)


def measure(folder: Path, rows: int, pictures: int, workers: int) -> None:
    write_scenes(folder / "scenes", max(1, pictures), seed=1)
    images = sorted((folder / "scenes").rglob("images/*.png"))[:pictures]
    chance = random.Random(1)
    with (folder / "manifest.jsonl").open("w") as manifest, (folder / "answers.jsonl").open("w") as answers:
        for i in range(rows):
            sample = {"id": f"{i:09d}", "image": str(images[i % len(images)])}
            prompt = f"Picture {i}: a woman at a window, playing the violin in evening light"
            manifest.write(json.dumps({**sample, "prompt": prompt}) + "\n")
            answers.write(json.dumps({"id": sample["id"], "text": answer(chance)}) + "\n")
    asked = ("--engine", "replay", "--replay", str(folder / "answers.jsonl"))
    run, many = folder / "run", folder / "many"
    source = str(folder / "manifest.jsonl")

    wall, cpu, memory = flawscribe("describe", source, "-o", str(run), *asked)
    tell("one process: processor time", cpu / rows * 1e3, "ms a row")
    tell("one process: rows", rows / wall, "a second")
    tell("one process: peak memory (recorded answers included)", memory, "MB")
    tell("samples on disk", size(run, "samples/*.jsonl", rows), "bytes a row")
    tell("describe rows on disk", size(run, "describe/*.jsonl", rows), "bytes a row")
    tell("describe.parquet", size(run, "describe.parquet", rows), "bytes a row")
    tell("digests.jsonl", size(run, "digests.jsonl", len(images)), "bytes a picture")
    _, cpu, _ = flawscribe("describe", source, "-o", str(run), *asked)
    tell("a finished run again: processor time", cpu / rows * 1e3, "ms a row")
    began = time.process_time()
    Run.open(run).compact("describe")
    tell("compacting to Parquet", rows / (time.process_time() - began), "rows a second of processor time")

    cluster = ("--cluster", "--workers", str(workers))
    start, _, _ = flawscribe("describe", *few(folder, source), "-o", str(folder / "few"), *asked, *cluster)
    tell("a local cluster: start and end", start, "s")
    wall, cpu, memory = flawscribe("describe", source, "-o", str(many), *asked, *cluster)
    tell(f"{workers} workers: rows", rows / max(wall - start, 0.1), "a second, without start and end")
    tell("driver: processor time", cpu / rows * 1e3, "ms a row, Ray's included")
    tell("driver: peak memory", memory, "MB")

    data = os.urandom(64_000_000)
    began = time.process_time()
    hashlib.sha256(data).hexdigest()
    tell("SHA-256 of pictures", 64 / (time.process_time() - began), "MB a second a core")


def few(folder: Path, source: str) -> list[str]:
    """A manifest of its first two rows."""
    file = folder / "few.jsonl"
    file.write_text("".join(Path(source).read_text().splitlines(keepends=True)[:2]))
    return [str(file)]


def tell(what: str, value: float, unit: str) -> None:
    print(f"{what:<56}{value:>12,.4g} {unit}", flush=True)


if __name__ == "__main__":
    main()
