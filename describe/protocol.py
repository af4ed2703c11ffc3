"""The three-step protocol in one call: from samples to requests, from answers to rows."""

from collections.abc import Iterator

from describe.probability import p_defective
from describe.wire import SCHEMA, parse
from engines.base import Answer, Engine, Fault, Request
from flawscribe.images import is_animated
from flawscribe.records import Description, Failure, FailureKind, Row, Sample
from prompts import Prompt

STAGE = "describe"
PROTOCOLS = {"single": "describe", "conservative": "describe_conservative"}
"""A protocol's name → the prompt that it uses."""
MAX_TOKENS = 512


def request_for(
    sample: Sample,
    prompt: Prompt,
    *,
    max_tokens: int = MAX_TOKENS,
    temperature: float = 0.0,
    seed: int = 0,
) -> Request:
    """The question about one sample: all instructions in the system text, the sample's own prompt last."""
    if sample.prompt is None or not sample.prompt.strip():
        user = prompt.render("user_without_prompt")
    else:
        user = prompt.render("user", prompt=sample.prompt)
    return Request(
        id=sample.id,
        system=prompt.render("system"),
        user=user,
        image=sample.image,
        schema=SCHEMA,
        max_tokens=max_tokens,
        temperature=temperature,
        seed=seed,
    )


def interpret(answer: Answer | Fault) -> Description | Fault:
    """What an answer says. One that was cut off is truncated, whatever it says so far."""
    if isinstance(answer, Fault):
        return answer
    if answer.finish_reason == "length":
        return Fault(FailureKind.TRUNCATED, f"cut off after {answer.usage.completion_tokens} tokens")
    if not isinstance(answer.text, str):  # an engine passed on what its server sent
        return Fault(FailureKind.SERVER_ERROR, "a malformed answer: its text is no text")
    parsed = parse(answer.text)
    if isinstance(parsed, Fault):
        return parsed
    return Description(
        defective=parsed.defective,
        p_defective=p_defective(answer.tokens),
        text=parsed.text,
        steps=parsed.notes,
        usage=answer.usage,
    )


def describe_samples(
    pairs: Iterator[tuple[Sample, str]],
    engine: Engine,
    prompt: Prompt,
    *,
    max_tokens: int = MAX_TOKENS,
    temperature: float = 0.0,
    seed: int = 0,
) -> Iterator[Row]:
    """A row for each `(sample, key)`, in the order of the answers; pairs are pulled as the engine asks."""
    keys: dict[str, str] = {}

    def requests() -> Iterator[Request]:
        for sample, key in pairs:
            keys[sample.id] = key
            yield request_for(sample, prompt, max_tokens=max_tokens, temperature=temperature, seed=seed)

    for request, answer in engine.stream(requests()):
        outcome = interpret(answer)
        if isinstance(outcome, Description) and request.image is not None and is_animated(request.image):
            outcome.steps["picture"] = "animated: its first frame was looked at"
        yield row_of(request.id, keys.pop(request.id), outcome)


def row_of(sample_id: str, key: str, outcome: Description | Fault) -> Row:
    """The stage's row for an outcome."""
    if isinstance(outcome, Fault):
        failure = Failure(stage=STAGE, kind=outcome.kind, message=outcome.message)
        return Row(id=sample_id, key=key, failure=failure)
    return Row(id=sample_id, key=key, record=outcome.model_dump(mode="json"))
