"""What describing sends away, in words, before it is sent."""

import os
from collections.abc import Callable
from itertools import islice

from describe.protocol import prompted
from flawscribe.records import Sample
from flawscribe.runs import Run

LOOKED_AT = 10_000
"""Samples that are counted one by one; of longer runs these stand for the rest."""


def leaving(run: Run, done: Callable[[Sample], bool], url: str, media: str) -> str:
    """One line: how many images that are not `done`, of how many MB, with or without prompts, go to which server."""
    looked = todo = sized = size = prompts = 0
    for sample in islice(run.samples(), LOOKED_AT):
        looked += 1
        if not done(sample):
            todo += 1
            prompts += prompted(sample)
            try:
                size += os.path.getsize(sample.image)
                sized += 1
            except (OSError, ValueError):
                pass  # an address that is still to be fetched, or a row that will fail
    about = ""
    if looked == LOOKED_AT:
        expected = run.expected()  # not known of a manifest that is still being read
        about = "about " if expected else "more than "
        todo = round(todo * max(expected or 0, looked) / looked)
    megabytes = size / max(sized, 1) * todo / 1e6
    images = f"{about}{todo:,} image{'s' if todo != 1 else ''} (about {megabytes:,.1f} MB)"
    their, go = ("their prompts", "go") if todo != 1 else ("its prompt", "go" if prompts else "goes")
    texts = f"{images} and {their}" if prompts else f"{images}, without prompts,"
    if media == "file":
        return f"the paths of {texts} go to {url}, which reads the files from a disk that it shares with this machine"
    return f"{texts} {go} to {url}"


def sending(url: str, media: str) -> str:
    """The same in few words, where it needs no leave."""
    return f"images{' (by their paths)' if media == 'file' else ''} and prompts are sent to {url}"
