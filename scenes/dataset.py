"""Folders of scenes with their manifest."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from flawscribe.errors import UserError
from flawscribe.manifest import write_manifest
from flawscribe.records import Golden, Sample
from scenes import words
from scenes.draw import Scene, draw_scene

PAIR_ARMS = ("clean", "anomaly", "AA", "AB", "BA", "BB")
_SINGLE_ARMS, _SINGLE_SHARES = PAIR_ARMS, (0.35, 0.25, 0.1, 0.1, 0.1, 0.1)


def scenes(n: int, seed: int, size: int, pairs: bool = False) -> Iterator[Scene]:
    """`n` scenes, each of its own base scene; with `pairs`, all six arms of each of `n` base scenes.

    Deterministic: scene `i` of a seed is the same whatever `n` is.
    """
    for index in range(n):
        if pairs:
            yield from (draw_scene(seed, index, arm, size) for arm in PAIR_ARMS)
        else:
            arm = np.random.default_rng((seed, index, 99)).choice(_SINGLE_ARMS, p=_SINGLE_SHARES)
            yield draw_scene(seed, index, str(arm), size)


def golden(scene: Scene) -> Golden:
    """What is known of a scene, without its mask's path."""
    kind, rng = scene.picture.kind, np.random.default_rng((scene.seed, scene.index, 98))
    if kind is None or not scene.defective:
        return Golden(defective=False, quality=words.quality(None, rng))
    texts = words.descriptions(kind, words.location(scene.picture.mask))
    return Golden(
        defective=True, descriptions=texts, quality=words.quality(kind, rng), category=kind.category
    )


def meta(scene: Scene) -> dict[str, object]:
    """What a benchmark needs to know of a scene beside the golden data (the manifest's further columns)."""
    kind = scene.picture.kind
    defects = []
    if kind is not None and scene.defective:
        place = words.location(scene.picture.mask)
        defects = [{"kind": kind.name, "part": kind.part, "location": place, "severity": kind.severity}]
    return {
        "subject": scene.picture.subject.name,
        "pair": f"{scene.seed}-{scene.index}",
        "arm": scene.arm,
        "anomaly": kind.name if kind else None,
        "justified": scene.justified,
        "defects": defects,
        "seed": scene.seed,
    }


def write_scenes(folder: str | Path, n: int, seed: int = 0, size: int = 128, pairs: bool = False) -> Path:
    """Draw scenes into `folder` (`images/`, `masks/`, `manifest.jsonl`) and return the manifest's path.

    Raises UserError where the folder already holds a manifest. The manifest is written last: a
    folder with one is complete.
    """
    folder = Path(folder)
    manifest = folder / "manifest.jsonl"
    if manifest.exists():
        raise UserError(f"{manifest} is already there: give another folder with -o")
    for part in ("images", "masks"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    samples = []
    total = n * (len(PAIR_ARMS) if pairs else 1)
    for scene in tqdm(scenes(n, seed, size, pairs), total=total, desc="scenes", unit="image", delay=1):
        name = f"{scene.index:06d}" + (f"-{scene.arm}" if pairs else "")
        scene.picture.image.save(folder / "images" / f"{name}.png")
        gold = golden(scene)
        if scene.defective:
            path = folder / "masks" / f"{name}.png"
            Image.fromarray(scene.picture.mask).save(path)
            gold = gold.model_copy(update={"mask": str(path.absolute())})
        image = str((folder / "images" / f"{name}.png").absolute())
        samples.append(
            Sample(
                id=name,
                image=image,
                prompt=scene.prompt,
                generator="flawscribe scenes",
                golden=gold,
                meta=meta(scene),
            )
        )
    write_manifest(manifest, samples)
    return manifest
