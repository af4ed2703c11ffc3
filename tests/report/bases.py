"""Base scenes with describers and a head whose figures are known by construction."""

from collections.abc import Callable
from typing import Any

from handmade import SIZE, Builder, box, prediction
from PIL import Image

from flawscribe.records import Description, Failure, Golden, MaskPrediction
from scenes.subjects import KINDS

A, B = "no_hands", "half_dial"
PICTURES = {"clean": "", "anomaly": A, "AA": A, "AB": A, "BA": B, "BB": B}
PROMPTS = {"clean": "", "anomaly": "", "AA": A, "AB": B, "BA": A, "BB": B}
COLOURS = {"": (90, 90, 90), A: (200, 40, 40), B: (40, 40, 200)}
AREAS = {A: 0.015, B: 0.06}
MASKS = {A: box(0, 0, 10, 10), B: box(20, 0, 40, 10)}
WORDS = {"": "a clock on a wall", A: "a clock that lost its hands", B: "half a clock"}
TEXTS = {kind: KINDS[kind].texts[0].format(where="in the centre") for kind in (A, B)}

Describer = Callable[[str, str, int], Description | Failure | None]
Marker = Callable[[str, int], MaskPrediction | Failure | None]


def perfect(picture: str, prompt: str, base: int) -> Description:
    wrong = picture not in ("", prompt)
    return Description(
        defective=wrong, p_defective=0.9 if wrong else 0.1, text=TEXTS[picture] if wrong else ""
    )


def blind(picture: str, prompt: str, base: int) -> Description:
    """Knows that prompts that ask for something odd come with odd pictures, and no more."""
    p = {"": 0.2, A: 0.7, B: 0.8}[prompt]
    return Description(defective=p > 0.5, p_defective=p, text=TEXTS[A] if p > 0.5 else "")


def deaf(picture: str, prompt: str, base: int) -> Description:
    """Sees every anomaly and never reads the prompt."""
    return Description(
        defective=bool(picture), p_defective=0.9 if picture else 0.1, text=TEXTS.get(picture, "")
    )


def head(picture: str, base: int) -> MaskPrediction:
    return prediction(MASKS[picture], 0.95) if picture else prediction(None, 0.05)


def add_scenes(
    build: Builder, bases: int, describe: Describer, mark: Marker = head, start: int = 0, **meta: Any
) -> None:
    """Six rows a base scene, of one clock or (every third) of a clock and a mug."""
    for base in range(start, start + bases):
        for arm, picture in PICTURES.items():
            prompt = PROMPTS[arm]
            wrong = picture not in ("", prompt)
            image = build.folder / f"{picture or 'clean'}.png"
            if not image.exists():
                Image.new("RGB", SIZE, COLOURS[picture]).save(image)
            anomaly = {"kind": picture, "subject": "clock", "severity": "severe", "area": AREAS.get(picture)}
            anomalies = [anomaly] if picture else []
            build.add(
                f"{meta.get('shift')}-{base}-{arm}",
                Golden(defective=wrong),
                describe(picture, prompt, base),
                mark(picture, base),
                gold_mask=MASKS[picture] if wrong else None,
                image=str(image),
                prompt=WORDS[prompt],
                meta={
                    "subjects": ["clock", "mug"] if base % 3 == 2 else ["clock"],
                    "pair": f"5-{base}",
                    "arm": arm,
                    "anomaly": anomalies,
                    "defects": anomalies if wrong else [],
                    "shift": None,
                    "size": 40,
                    **meta,
                },
            )


def figure(entry: dict[str, Any]) -> tuple[float | None, int, int]:
    return entry["value"], entry["n"], entry["failed"]
