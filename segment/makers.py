"""What makes the masks of a run: a defect head, or a SAM checkpoint prompted with descriptions."""

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from flawscribe.errors import SetupError, UserError, did_you_mean, one_line
from flawscribe.models import directory_digest, nano_head_path
from flawscribe.records import Description, MaskPrediction
from segment.marking import Marking

if TYPE_CHECKING:
    pass

PROMPTS = ("describe", "automatic")
Answer = Callable[[list[Image.Image], list[Description | None]], list[MaskPrediction]]
"""RGB images and, where the masks follow descriptions, theirs; to an answer for each."""


@dataclass(frozen=True)
class Maker:
    """`load` gives the answering function and the device that it runs on; `revision` identifies the weights."""

    revision: str
    load: Callable[[], tuple[Answer, str]]
    needs_boxes: bool = False


def maker_for(model: str, prompt_with: str | None, marking: Marking) -> Maker:
    """What makes the masks; a head's weights are read only when it is loaded. Raises as `segment_run` does."""
    folder = _head_folder(model)
    if prompt_with is None:
        if folder is None:
            raise UserError(_unknown(model))
        return Maker(directory_digest(folder), lambda: _head(folder, marking, False))
    if prompt_with not in PROMPTS:
        raise UserError(f"there is no way {prompt_with!r} to prompt.{did_you_mean(prompt_with, PROMPTS)}")
    if marking.tiles > 1:
        raise UserError("descriptions are of whole pictures: leave out --tiles, or --prompt-with")
    if folder is not None:
        if prompt_with != "describe" or not _config(folder).get("text"):
            raise UserError(
                f"{model} is a head that takes no prompts: give --model a SAM checkpoint, or leave out --prompt-with"
            )
        return Maker(directory_digest(folder), lambda: _head(folder, marking, True))
    if marking.presence is not None or marking.components:
        raise UserError(
            "a prompted SAM has no P(defective), and an instance a finding: leave out --presence and --components"
        )
    return _prompted(model, prompt_with, marking)


def _head_folder(model: str) -> Path | None:
    """The folder of a head: nano's, or a directory with one; None where it is something else."""
    if model == "nano":
        return nano_head_path()
    try:
        folder = Path(model).expanduser()
    except RuntimeError as e:  # no such user after "~"
        raise UserError(f"no mask model {one_line(model, 80)!r}: {one_line(e, 120)}") from e
    return folder if str(_config(folder).get("format", "")).startswith("flawscribe") else None


def _config(folder: Path) -> dict[str, object]:
    """A folder's config.json; empty where it has none that can be read."""
    path = folder / "config.json"
    try:
        if not path.is_file():  # nor a pipe, which would be waited for
            return {}
        with path.open(encoding="utf-8") as f:
            found = json.loads(f.read(1_000_000))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _unknown(model: str) -> str:
    if not os.path.exists(os.path.expanduser(model)):
        return f"no mask model {one_line(model, 80)!r}.{did_you_mean(model, ['nano'])} Or give a directory with a head."
    return (
        f"{model} holds no defect head. If it is a SAM checkpoint: train a head over it, or let descriptions prompt "
        f"it (--prompt-with {' or '.join(PROMPTS)})"
    )


def _device() -> str:
    try:
        import torch
        import transformers  # noqa: F401
    except ImportError as e:
        raise SetupError(f"masks need torch and transformers ({e}); install flawscribe[torch]") from e
    return "cuda" if torch.cuda.is_available() else "cpu"


def _head(folder: Path, marking: Marking, words: bool) -> tuple[Answer, str]:
    device = _device()
    from segment.checkpoint import load_head
    from segment.places import places
    from segment.predict import predict
    from segment.texts import embedder_of
    from segment.words import Words

    head = load_head(folder, device)
    embed = embedder_of(head.config.text) if words and head.config.text is not None else None

    def answer(images: list[Image.Image], said: list[Description | None]) -> list[MaskPrediction]:
        if embed is None:
            return predict(head, images, marking)
        vectors = embed([one.text if one else "" for one in said])
        words = [
            Words(vector, tuple(p.region for p in places(one, (image.height, image.width))))
            if one and one.defective
            else None
            for one, vector, image in zip(said, vectors, images, strict=True)
        ]
        return predict(head, images, marking, words)

    return answer, device


def _prompted(model: str, prompt_with: str, marking: Marking) -> Maker:
    """A SAM checkpoint, loaded at once: its digest is that of its weights."""
    device = _device()
    from segment.encoders import load_encoder

    encoder = load_encoder(model, device)

    def load() -> tuple[Answer, str]:
        from segment.automatic import Automatic
        from segment.prompted import Prompted

        if prompt_with == "describe":
            one = Prompted(encoder, marking.threshold).described
        else:
            one = Automatic(encoder, marking.threshold).described

        def answer(images: list[Image.Image], said: list[Description | None]) -> list[MaskPrediction]:
            return [
                one(image, words) if words and words.defective else MaskPrediction()
                for image, words in zip(images, said, strict=True)
            ]

        return answer, device

    return Maker(encoder.digest, load, needs_boxes=prompt_with == "describe")
