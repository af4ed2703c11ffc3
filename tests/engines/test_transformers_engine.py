"""The transformers engine on a tiny checkpoint of random weights."""

import json
import math
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from tiny import tiny_checkpoint

from describe.probability import p_defective
from describe.wire import SCHEMA
from engines import Answer, Fault, Request
from engines.transformers_engine import TransformersEngine
from flawscribe.errors import SetupError, UserError
from flawscribe.records import FailureKind

BATCH = 4


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> TransformersEngine:
    return TransformersEngine(str(tiny_checkpoint(tmp_path_factory.mktemp("tiny"))), None, BATCH)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("pictures")
    paths = []
    for i, (colour, size) in enumerate([("red", (64, 64)), ("blue", (90, 30)), ("green", (20, 200))]):
        paths.append(str(folder / f"{i}.png"))
        Image.new("RGB", size, colour).save(paths[-1])
    return paths


def answers(engine: TransformersEngine, requests: list[Request]) -> list[Answer | Fault]:
    found = dict(engine.stream(iter(requests)))
    return [found[request] for request in requests]


def test_answers_do_not_depend_on_the_batch(engine: TransformersEngine, pictures: list[str]) -> None:
    requests = [
        Request(id=str(i), system="Rules.", user="Look " + "x" * i * 9, image=image, max_tokens=12)
        for i, image in enumerate(pictures)
    ]
    together = answers(engine, requests)
    alone = [answers(engine, [request])[0] for request in requests]
    for a, b in zip(together, alone, strict=True):
        assert isinstance(a, Answer) and isinstance(b, Answer) and a.tokens and b.tokens
        assert a.text == b.text and a.finish_reason == "length"
        assert a.usage == b.usage and a.usage.completion_tokens == 12
        for s, t in zip(a.tokens, b.tokens, strict=True):
            assert math.isclose(s.top[0][1], t.top[0][1], abs_tol=1e-4)
            assert sum(math.exp(p) for _, p in s.top) <= 1.0001
            assert s.text == s.top[0][0] and len(s.top) == 20


def test_parameters_are_those_of_generation(
    tmp_path_factory: pytest.TempPathFactory, pictures: list[str]
) -> None:
    folder = str(tiny_checkpoint(tmp_path_factory.mktemp("tiny")))
    request = Request(id="a", user="Look", image=pictures[0], max_tokens=9)
    ((_, said),) = TransformersEngine(folder, None).stream(iter([request]))
    assert isinstance(said, Answer)
    ((_, other),) = TransformersEngine(folder, None, params={"repetition_penalty": 50.0}).stream(
        iter([request])
    )
    assert isinstance(other, Answer) and other.tokens != said.tokens
    with pytest.raises(UserError, match="--param top_q"):
        TransformersEngine(folder, None, params={"top_q": 1})


def test_the_picture_and_the_instructions_reach_the_model(
    engine: TransformersEngine, pictures: list[str]
) -> None:
    def first(system: str, image: str) -> float:
        (answer,) = answers(engine, [Request(id="a", system=system, user="Look", image=image, max_tokens=1)])
        assert isinstance(answer, Answer) and answer.tokens
        return answer.tokens[0].top[0][1]

    assert first("Rules.", pictures[0]) != first("Rules.", pictures[1])
    assert first("Rules.", pictures[0]) != first("Other.", pictures[0])


def test_bad_rows_cost_only_themselves(
    engine: TransformersEngine, pictures: list[str], tmp_path: Path
) -> None:
    (tmp_path / "broken.png").write_bytes(b"no picture")
    requests = [
        Request(id="broken", user="Look", image=str(tmp_path / "broken.png"), max_tokens=4),
        Request(id="long", user="x" * 500, image=pictures[0], max_tokens=4),
        Request(id="token", user="a forged <image> token", image=pictures[0], max_tokens=4),
        Request(id="text only", user="Look", max_tokens=4),
        Request(id="good", user="Look", image=pictures[0], max_tokens=4),
    ]
    kinds = [a.kind if isinstance(a, Fault) else None for a in answers(engine, requests)]
    assert kinds == [
        FailureKind.BROKEN_IMAGE,
        FailureKind.CONTEXT_OVERFLOW,
        FailureKind.BAD_REQUEST,
        None,
        None,
    ]


def test_a_schema_keeps_even_random_weights_to_json(engine: TransformersEngine, pictures: list[str]) -> None:
    requests = [
        Request(id=str(i), user="Look", image=image, max_tokens=90, schema=SCHEMA)
        for i, image in enumerate([*pictures, pictures[0]])
    ]
    for answer in answers(engine, requests):
        assert isinstance(answer, Answer) and answer.tokens
        assert re.match(r'\{\s?"Defective"\s?:\s?(true|false)\s?,\s?"Description"\s?:\s?\[', answer.text)
        if answer.finish_reason == "stop":
            assert json.loads(answer.text).keys() == {"Defective", "Description"}
        p = p_defective(answer.tokens)
        assert p is not None and (p >= 0.5) == bool(re.search(r":\s?true", answer.text))


def test_sampling_follows_its_seed(engine: TransformersEngine, pictures: list[str]) -> None:
    def texts(seed: int) -> list[str]:
        requests = [
            Request(id=str(i), user="Look", image=pictures[0], max_tokens=8, temperature=1.5, seed=seed)
            for i in range(2)
        ]
        return [a.text for a in answers(engine, requests) if isinstance(a, Answer)]

    assert texts(1) == texts(1) != texts(2)


def test_requests_are_pulled_a_batch_at_a_time(engine: TransformersEngine, pictures: list[str]) -> None:
    source = (Request(id=str(i), user="Look", image=pictures[0], max_tokens=1) for i in range(100))
    stream = engine.stream(source)
    next(stream)
    assert next(source).id == str(BATCH)


def _truncated(folder: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])


def _empty(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(b"")


def _wrong_types(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    config["text_config"]["hidden_size"] = "many"
    (folder / "config.json").write_text(json.dumps(config))


def _dividing(folder: Path) -> None:
    (folder / "chat_template.jinja").write_text("{{ 1 / 0 }}")


def _escaping(folder: Path) -> None:
    (folder / "chat_template.jinja").write_text("{{ ''.__class__.__mro__ }}")


@pytest.mark.parametrize("damage", [_truncated, _empty, _wrong_types, _dividing, _escaping])
def test_a_damaged_checkpoint_is_one_line(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    damage(tiny_checkpoint(tmp_path))
    with pytest.raises(SetupError, match=r"cannot load the model|chat template") as error:
        TransformersEngine(str(tmp_path), None)
    assert "\n" not in str(error.value)


def test_a_folder_without_a_model_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="cannot load the model") as error:
        TransformersEngine(str(tmp_path), None)
    assert "\n" not in str(error.value)
