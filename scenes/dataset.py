"""Folders of scenes with their manifest."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from flawscribe.errors import SetupError, UserError
from flawscribe.manifest import write_manifest
from flawscribe.records import Golden, Sample
from scenes import words
from scenes.draw import Scene, choose, draw_scene, in_sight
from scenes.kinds import Kind, Severity
from scenes.shifts import UNSHIFTED, shift_of

PAIR_ARMS = ("clean", "anomaly", "AA", "AB", "BA", "BB")
_SINGLE_ARMS, _SINGLE_SHARES = PAIR_ARMS, (0.35, 0.25, 0.1, 0.1, 0.1, 0.1)
_PARTS_PALETTE = np.random.default_rng(0).integers(40, 256, (256, 3), dtype=np.uint8)


def scenes(
    n: int, seed: int, sizes: tuple[int, int], pairs: bool = False, shift: str | None = None
) -> Iterator[Scene]:
    """`n` scenes, each of its own base scene; with `pairs`, all six arms of each of `n` base scenes.

    `sizes` are the smallest and the largest side in pixels; each base scene has its own. Deterministic:
    scene `i` of a seed is the same whatever `n` is.
    """
    for index in range(n):
        rng = np.random.default_rng((seed, index, 99))
        arms = PAIR_ARMS if pairs else (str(rng.choice(_SINGLE_ARMS, p=_SINGLE_SHARES)),)
        size = int(np.random.default_rng((seed, index, 96)).integers(sizes[0], sizes[1] + 1))
        moved = in_sight(choose(seed, index), shift_of(shift, seed, index)) if shift else UNSHIFTED
        yield from (draw_scene(seed, index, arm, size, moved) for arm in arms)


def golden(scene: Scene) -> Golden:
    """What is known of a scene, without its mask's path."""
    rng = np.random.default_rng((scene.base.seed, scene.base.index, 98))
    picture = scene.picture
    if not scene.defective:
        return Golden(defective=False, quality=words.quality(words.opinion([], picture.polish), rng))
    found = findings(scene)
    return Golden(
        defective=True,
        descriptions=words.descriptions(found),
        quality=words.quality(words.opinion([(k, s) for k, _, s in found], picture.polish), rng),
        category=found[0][0].category,
    )


def findings(scene: Scene) -> list[tuple[Kind, str, Severity]]:
    """Kind, place and severity of every anomaly of the picture."""
    picture = scene.picture
    return [
        (a.kind, words.location(m), words.severity(a.kind, float(m.mean())))
        for a, m in zip(picture.anomalies, picture.masks, strict=True)
    ]


def meta(scene: Scene, shift: str | None = None) -> dict[str, object]:
    """What a benchmark needs to know of a scene beside the golden data (the manifest's further columns)."""
    base, picture = scene.base, scene.picture
    anomalies = [
        {
            "kind": kind.name,
            "subject": base.cells[a.cell].subject.name,
            "part": kind.part,
            "location": place,
            "severity": severity,
            "area": round(float(mask.mean()), 5),
        }
        for a, mask, (kind, place, severity) in zip(
            picture.anomalies, picture.masks, findings(scene), strict=True
        )
    ]
    return {
        "subject": base.cells[0].subject.name,
        "subjects": [c.subject.name for c in base.cells],
        "pair": f"{base.seed}-{base.index}",
        "arm": scene.arm,
        "anomaly": anomalies,
        "justified": scene.justified,
        "defects": anomalies if scene.defective else [],
        "shift": shift,
        "seed": base.seed,
        "size": picture.image.width,
    }


def write_scenes(
    folder: str | Path,
    n: int,
    seed: int = 0,
    size: int | tuple[int, int] = 128,
    pairs: bool = False,
    shift: str | None = None,
    parts: bool = False,
) -> Path:
    """Draw scenes into `folder` (`images/`, `masks/`, `manifest.jsonl`) and return the manifest's path.

    `size` is the side in pixels, or its least and greatest. `masks/ID.png` is the union of a picture's defects,
    `masks/ID.K.png` the K-th defect alone where there are several. With `parts`, `parts/ID.png` is a palette
    image whose values number the part instances, and `meta["parts"]` their names. Raises UserError where the
    folder holds anything. It is drawn elsewhere and put in place as a whole: a folder that is there is complete.
    """
    folder = Path(folder)
    if folder.is_dir() and any(folder.iterdir()):
        raise UserError(f"{folder} is not empty: give a new folder with -o")
    if any("\ud800" <= letter <= "\udfff" for letter in str(folder.absolute())):
        raise UserError(f"{str(folder.absolute())!r} is no UTF-8 text, so a manifest cannot name it")
    try:
        parent = folder.absolute().parent
        parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=parent) as temporary:
            drawing = Path(temporary) / "scenes"
            _draw(drawing, n, seed, (size, size) if isinstance(size, int) else size, pairs, shift, parts)
            os.rename(drawing, folder)
    except OSError as e:
        raise SetupError(f"cannot write to {folder}: {e.strerror or e}") from e
    except KeyboardInterrupt:
        raise KeyboardInterrupt("interrupted; nothing is kept, the same command begins anew") from None
    return folder / "manifest.jsonl"


def _draw(
    folder: Path, n: int, seed: int, sizes: tuple[int, int], pairs: bool, shift: str | None, parts: bool
) -> None:
    for part in ("images", "masks", *(["parts"] if parts else [])):
        (folder / part).mkdir(parents=True)
    samples = []
    total = n * (len(PAIR_ARMS) if pairs else 1)
    for scene in tqdm(
        scenes(n, seed, sizes, pairs, shift), total=total, desc="scenes", unit="image", delay=1
    ):
        name = f"{scene.base.index:06d}" + (f"-{scene.arm}" if pairs else "")
        samples.append(_write(folder, name, scene, shift, parts))
    write_manifest(folder / "manifest.jsonl", samples)


def _write(folder: Path, name: str, scene: Scene, shift: str | None, parts: bool) -> Sample:
    picture, gold, more = scene.picture, golden(scene), meta(scene, shift)
    image = folder / "images" / f"{name}.png"
    picture.image.save(image, compress_level=1)
    if scene.defective:
        path = folder / "masks" / f"{name}.png"
        Image.fromarray(picture.mask).save(path)
        gold = gold.model_copy(update={"mask": str(path.absolute())})
        files = [f"masks/{name}.png"]
        if len(picture.masks) > 1:
            files = [f"masks/{name}.{k}.png" for k in range(len(picture.masks))]
            for file, mask in zip(files, picture.masks, strict=True):
                Image.fromarray(mask).save(folder / file)
        more["defects"] = [{**d, "mask": f} for d, f in zip(more["defects"], files, strict=True)]  # type: ignore[call-overload]
    if parts:
        labels = Image.fromarray(picture.instances, "P")
        labels.putpalette(_PARTS_PALETTE.tobytes())
        labels.save(folder / "parts" / f"{name}.png")
        more["parts"] = list(picture.parts)
    return Sample(
        id=name,
        image=str(image.absolute()),
        prompt=scene.prompt,
        generator="flawscribe scenes",
        golden=gold,
        meta=more,
    )
