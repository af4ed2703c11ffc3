"""SAM-family image encoders behind one interface.

In reading order: `base` (the interface, the frame), `checks` (what a checkpoint may claim), `transformers_sam` and
`original` (where weights come from), `attention` (SAM's, in less memory), `nano`, `decoder` (SAM's own mask decoder,
with boxes and points as prompts).
"""

from pathlib import Path

from flawscribe.errors import UserError, one_line
from segment.encoders.base import Encoder, Features, frame, frame_points, frame_size, unframe

__all__ = ["Encoder", "Features", "frame", "frame_points", "frame_size", "load_encoder", "unframe"]

_ORIGINAL = (".pth", ".pt")


def load_encoder(name: str, device: str = "cpu") -> Encoder:
    """The encoder called `name`, frozen, in float32, on `device`.

    `nano` is the packaged one (trained on drawn scenes alone). Else a directory with a SAM, SAM 2.1 or SAM-HQ
    checkpoint in transformers' layout, a `.pth` file of Meta's SAM, or a hub id `org/name[@revision]`, which is
    fetched if it is not here. Only safetensors and tensors are read, no code is ever run.

    Raises UserError where there is nothing of that name, SetupError where what is there is no encoder.
    """
    if name == "nano":
        from segment.encoders.nano import load_nano

        encoder = load_nano()
    elif _is_original(name):
        from segment.encoders.original import load_original

        encoder = load_original(Path(name).expanduser())
    else:
        from segment.encoders.transformers_sam import load_transformers

        encoder = load_transformers(name)
    encoder.requires_grad_(False)
    return encoder.eval().to(device)


def _is_original(name: str) -> bool:
    """Whether the name is a file's, or would be."""
    try:
        path = Path(name).expanduser()
        return path.is_file() or (name.lower().endswith(_ORIGINAL) and not path.is_dir())
    except (OSError, RuntimeError, ValueError) as e:  # no such user after "~", a name too long for a path
        raise UserError(f"no encoder {one_line(name, 80)!r}: {one_line(e, 120)}") from e
