"""What every engine takes and gives."""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, Protocol, TypeVar

from flawscribe.records import FailureKind, Usage

T = TypeVar("T")
TOP = 20
"""How many alternatives an engine reports for each token, where it reports any."""


@dataclass(frozen=True)
class Request:
    """One question: instructions in `system`, then the picture at path `image` (if any), then `user`.

    `box` is the part of the upright picture to show, (x0, y0, x1, y1) in pixels; None shows the whole. What has more
    than `max_pixels` is scaled down before it is shown.

    `schema` is a JSON schema that an engine may use to constrain decoding; it is a hint, and answers
    must be validated all the same. `temperature` 0 is greedy; `seed` matters only above it. `attempt` 2 asks
    once more what was not answered validly; no engine needs to know.
    """

    id: str
    user: str
    system: str | None = None
    image: str | None = None
    box: tuple[int, int, int, int] | None = None
    max_pixels: int | None = None
    schema: dict[str, Any] | None = field(default=None, hash=False)
    max_tokens: int = 512
    temperature: float = 0.0
    seed: int = 0
    attempt: int = 1


class Token(NamedTuple):
    """A generated token's text, and its likeliest alternatives (itself too) as `(text, log-probability)`."""

    text: str
    top: Collection[tuple[str, float]]


@dataclass(frozen=True)
class Answer:
    """A model's answer.

    `finish_reason` is "stop", "length" (cut off at `max_tokens`) or the server's own word. `tokens` is
    None where the engine gives no token probabilities. `reasoning` is what a server told apart from the text. `picture`
    says how what was shown differs from the picture's file, "" where it does not.
    """

    text: str
    finish_reason: str = "stop"
    tokens: tuple[Token, ...] | None = None
    usage: Usage = field(default_factory=Usage)
    reasoning: str = ""
    picture: str = ""


@dataclass(frozen=True)
class Fault:
    """Why a request has no answer: a kind that can be counted, one line for a person, and the tokens it cost."""

    kind: FailureKind
    message: str
    usage: Usage = field(default_factory=Usage)


def with_picture(outcome: Answer | Fault, note: str) -> Answer | Fault:
    """The outcome with a note on the picture that it is about."""
    return replace(outcome, picture=note) if note and isinstance(outcome, Answer) else outcome


class Engine(Protocol):
    """A way to ask a model. A SetupError from `stream` means that no request could be answered at all."""

    name: str

    def stream(self, requests: Iterator[Request | None]) -> Iterator[tuple[Request, Answer | Fault]]:
        """Answer each request, in any order, pulling no more than a bounded window ahead.

        None stands where the next request depends on an answer that is still due: it is not pulled
        again until one was yielded.
        """
        ...

    def facts(self) -> dict[str, Any]:
        """What a run records about the engine, as JSON: device, precision, what was switched off."""
        ...

    def close(self) -> None:
        """Release the model, its processes and connections; the engine is not used afterwards."""
        ...


def chunks(items: Iterable[T | None], size: int) -> Iterator[list[T]]:
    """Lists of at most `size` items, pulled as needed; None ends a list before its time."""
    iterator = iter(items)
    more = True
    while more:
        chunk: list[T] = []
        while len(chunk) < size:
            try:
                item = next(iterator)
            except StopIteration:
                more = False
                break
            if item is None:
                break
            chunk.append(item)
        if chunk:
            yield chunk
