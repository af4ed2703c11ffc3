"""flawscribe tells what is wrong with AI-generated images.

import flawscribe
found = flawscribe.inspect("picture.png", prompt="a dog in a park")
found.description.text, found.mask.rle
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from report.pipeline import Inspection

__version__ = "0.1.0"


def inspect(
    image: Any,
    prompt: str | None = None,
    *,
    model: str = "nano",
    engine: str = "auto",
    base_url: str | None = None,
) -> "Inspection":
    """Describe and mark one image (a path or a PIL picture); see `report.pipeline.inspect_one`."""
    from report.pipeline import inspect_one  # imported late: importing flawscribe stays light

    return inspect_one(image, prompt, model=model, engine=engine, base_url=base_url)
