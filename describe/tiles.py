"""Views of a picture: overlapping tiles at its own resolution, and what they are called."""

from flawscribe.images import Box

LEAST, MOST = 64, 768  # pixels of a tile's side
OVERLAP = 1 / 3  # of a tile's side, at least: a defect on one tile's edge lies inside another


def tiles(width: int, height: int) -> list[Box]:
    """Boxes (x0, y0, x1, y1) in pixels that cover the picture: half its longer side, from 64 to 768 pixels.

    Empty where one tile would be the whole picture.
    """
    side = min(max(LEAST, -(-max(width, height) // 2)), MOST)
    if side >= width and side >= height:
        return []
    return [
        (x, y, min(x + side, width), min(y + side, height))
        for y in _starts(height, side)
        for x in _starts(width, side)
    ]


def _starts(length: int, side: int) -> list[int]:
    """Where tiles begin along one axis, evenly spaced from edge to edge."""
    if length <= side:
        return [0]
    steps = -(-(length - side) // int(side * (1 - OVERLAP)))
    return [round(i * (length - side) / steps) for i in range(steps + 1)]


def overlap(a: Box, b: Box) -> bool:
    """Whether two boxes have pixels in common."""
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def whereabouts(box: Box, width: int, height: int) -> str:
    """The part of the picture in words, by thirds of the box's middle: "upper left", "centre", "lower right"."""
    x, y = (box[0] + box[2]) / 2 / width, (box[1] + box[3]) / 2 / height
    row = "upper" if y < 0.4 else "lower" if y > 0.6 else ""
    column = "left" if x < 0.4 else "right" if x > 0.6 else ""
    if not row and not column:
        return "centre"
    return f"{row} {column}".strip() if row and column else f"{row} middle" if row else f"{column} middle"
