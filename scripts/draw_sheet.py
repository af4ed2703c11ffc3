"""A sheet of base scenes for a look: each clean and with its anomalies, the masks outlined in magenta.

python scripts/draw_sheet.py docs/scenes.png --seed 11 --rows 6
"""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

from scenes.draw import draw_scene

COLUMNS = 4  # base scenes a row, two pictures each


def outlined(image: Image.Image, mask: np.ndarray) -> np.ndarray:
    """The picture as uint8 (h, w, 3) with the outline of a bool (h, w) mask."""
    inner = mask.copy()
    for axis, step in ((0, 1), (0, -1), (1, 1), (1, -1)):
        inner &= np.roll(mask, step, axis)
    pixels = np.asarray(image).copy()
    pixels[mask & ~inner] = (255, 0, 255)
    return pixels


def main() -> None:
    """Write the sheet."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("file", type=Path, help="PNG to write")
    parser.add_argument("--seed", type=int, default=11, help="of the scenes (default 11)")
    parser.add_argument("--rows", type=int, default=6, help="of base scenes (default 6)")
    parser.add_argument("--size", type=int, default=128, help="of a picture, in pixels (default 128)")
    args = parser.parse_args()
    rows = []
    for row in range(args.rows):
        pictures = []
        for column in range(COLUMNS):
            for arm in ("clean", "anomaly"):
                picture = draw_scene(args.seed, row * COLUMNS + column, arm, args.size).picture
                pictures.append(outlined(picture.image, picture.mask))
        rows.append(np.concatenate(pictures, axis=1))
    Image.fromarray(np.concatenate(rows)).save(args.file, optimize=True)


if __name__ == "__main__":
    main()
