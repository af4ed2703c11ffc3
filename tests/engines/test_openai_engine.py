"""The client of OpenAI-compatible servers against a fake server that fails in every way servers do."""

import base64
from pathlib import Path
from typing import Any

import pytest
from asking import KEY, ask
from fake_server import GOOD, completion, error, serving
from PIL import Image

from engines import Answer, Fault, Request, build, served_model
from flawscribe.errors import SetupError, UserError
from flawscribe.records import FailureKind

pytestmark = pytest.mark.usefixtures("key")


def test_what_is_sent_and_what_comes_back(tmp_path: Path) -> None:
    picture = tmp_path / "a.png"
    Image.new("RGB", (8, 6), "red").save(picture)
    schema = {"type": "object"}
    request = Request(id="a", system="Rules.", user="Look.", image=str(picture), schema=schema, max_tokens=9)
    with serving(lambda body, n: (200, completion())) as server:
        engine, reason = build("auto", served_model("nano-7"), base_url=server.url)
        ((_, answer),) = engine.stream(iter([request]))
        engine.close()
    assert isinstance(answer, Answer)
    assert answer.text == GOOD
    assert answer.tokens and dict(answer.tokens[1].top) == {"true": -0.105, "false": -2.303}
    assert answer.usage.prompt_tokens == 11
    assert "base URL" in reason
    body = server.bodies[0]
    assert [m["role"] for m in body["messages"]] == ["system", "user"]
    image, text = body["messages"][1]["content"]
    assert base64.b64decode(image["image_url"]["url"].split("base64,")[1]) == picture.read_bytes()
    assert text["text"] == "Look."
    assert body["response_format"]["json_schema"]["schema"] == schema
    assert (body["max_tokens"], body["top_logprobs"], body["temperature"]) == (9, 20, 0.0)


def with_message(content: Any) -> dict[str, Any]:
    """A chat completion with any JSON value as its message's content."""
    found = completion()
    found["choices"][0]["message"]["content"] = content
    return found


FAULTS: list[tuple[tuple[Any, ...], FailureKind]] = [
    ((429, error("slow down"), {"retry-after-ms": "1"}), FailureKind.RATE_LIMIT),
    ((500, error("boom"), {"retry-after-ms": "1"}), FailureKind.SERVER_ERROR),
    ((400, error("This model's maximum context length is 1024 tokens")), FailureKind.CONTEXT_OVERFLOW),
    ((400, error("too long", "context_length_exceeded")), FailureKind.CONTEXT_OVERFLOW),
    ((400, error("rejected by our safety system", "content_policy_violation")), FailureKind.REFUSED),
    ((400, error("no such thing")), FailureKind.BAD_REQUEST),
    ((413, error("body too large")), FailureKind.BAD_REQUEST),
    ((200, completion(None, "content_filter")), FailureKind.REFUSED),
    ((200, completion(None, refusal="I cannot help with that.")), FailureKind.REFUSED),
    ((200, {**completion(), "choices": []}), FailureKind.EMPTY_ANSWER),
    ((200, {"choices": [{"message": 5}]}), FailureKind.SERVER_ERROR),
    ((200, [1]), FailureKind.SERVER_ERROR),
    ((200, with_message(5)), FailureKind.SERVER_ERROR),
    ((200, with_message({"text": "a"})), FailureKind.SERVER_ERROR),
    ((200, with_message([{"type": "text", "text": 5}])), FailureKind.SERVER_ERROR),
    ((200, {**completion(), "choices": {"a": 1}}), FailureKind.SERVER_ERROR),
    ((200, {**completion(), "choices": [5]}), FailureKind.SERVER_ERROR),
    ((200, b'{"choices":' * 5000 + b"1" + b"}" * 5000), FailureKind.SERVER_ERROR),
    ((302, {}, {"Location": "http://127.0.0.1:1/"}), FailureKind.SERVER_ERROR),
    ((200, b"<html>hello</html>"), FailureKind.SERVER_ERROR),
]


@pytest.mark.parametrize(("response", "kind"), FAULTS, ids=[f"{r[0]}-{k}" for r, k in FAULTS])
def test_a_failing_request_is_one_typed_fault_and_the_rest_goes_on(
    response: tuple[Any, ...], kind: FailureKind
) -> None:
    def respond(body: dict[str, Any], n: int) -> tuple[Any, ...]:
        return response if body["messages"][-1]["content"] == "Look 1" else (200, completion())

    with serving(respond) as server:
        first, second, third = ask(server.url, 3, retries=1)
    assert isinstance(first, Answer) and isinstance(third, Answer)
    assert isinstance(second, Fault)
    assert second.kind == kind
    assert "\n" not in second.message and KEY not in second.message


def test_the_texts_of_parts_are_joined() -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "thinking", "text": "x"}, {"type": "text", "text": "b"}]
    with serving(lambda body, n: (200, with_message(parts))) as server:
        (answer,) = ask(server.url)
    assert isinstance(answer, Answer) and answer.text == "ab"


@pytest.mark.parametrize(
    ("field", "value"),
    [("token", None), ("token", 5), ("logprob", None), ("logprob", "much"), ("logprob", -(10**400))],
)
def test_malformed_probabilities_are_dropped_and_the_answer_is_kept(field: str, value: Any) -> None:
    found = completion()
    found["choices"][0]["logprobs"]["content"][1]["top_logprobs"][0][field] = value
    with serving(lambda body, n: (200, found)) as server:
        (answer,) = ask(server.url)
    assert isinstance(answer, Answer) and answer.text == GOOD
    assert answer.tokens and list(answer.tokens[1].top) == []


def test_a_redirect_is_not_followed() -> None:
    with serving(lambda body, n: (200, completion())) as other:
        away = {"Location": f"{other.url}/chat/completions"}
        with (
            serving(lambda body, n: (307, {}, away)) as server,
            pytest.raises(SetupError, match=f"redirects to {other.url}") as raised,
        ):
            ask(server.url)
        assert not other.bodies
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "http://[/v1",
        "http://h:abc/v1",
        "http://h\n/v1",
        "http://h/v1\x1b[0m",
        "http://a b/",
        "http://u:p@[",
        "http://a..b/v1",
    ],
)
def test_an_address_that_is_none_is_one_line(url: str) -> None:
    with pytest.raises(UserError, match="must look like http://host") as raised:
        build("openai", served_model("m"), base_url=url)
    assert type(raised.value) is UserError
    assert str(raised.value).isprintable() and "u:p" not in str(raised.value)


def test_so_is_one_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "http://h:abc/v1")
    with pytest.raises(UserError, match="OPENAI_BASE_URL must look like"):
        build("openai", served_model("m"))


@pytest.mark.parametrize("timeout", [0, -1, float("inf"), float("nan")])
def test_a_timeout_is_a_number_of_seconds(timeout: float) -> None:
    with pytest.raises(UserError, match="--timeout"):
        build("openai", served_model("m"), base_url="http://localhost/v1", timeout=timeout)


@pytest.mark.parametrize("name", ["sk-secret-456", "sk_secret_456", "SECRET456SECRET456", "", "A B"])
def test_a_key_in_place_of_its_variables_name_is_not_repeated(name: str) -> None:
    with pytest.raises(UserError, match="not the key") as raised:
        build("openai", served_model("m"), base_url="http://localhost/v1", api_key_env=name)
    assert "456" not in str(raised.value)


def test_a_fault_on_the_very_first_request_is_a_fault_too() -> None:
    with serving(lambda body, n: FAULTS[2][0] if n == 0 else (200, completion())) as server:
        first, second = ask(server.url, 2)
    assert isinstance(first, Fault) and first.kind == FailureKind.CONTEXT_OVERFLOW
    assert isinstance(second, Answer)


def test_truncation_and_emptiness_are_told_to_the_caller() -> None:
    with serving(lambda body, n: (200, completion("{", "length") if n else completion(None))) as server:
        empty, cut = ask(server.url, 2)
    assert isinstance(empty, Answer) and empty.text == ""
    assert isinstance(cut, Answer) and cut.finish_reason == "length"


@pytest.mark.parametrize("status", [401, 403])
def test_a_wrong_key_is_one_line_that_does_not_show_it(status: int) -> None:
    said = error(f"Incorrect API key provided: {KEY}")
    with serving(lambda body, n: (status, said)) as server, pytest.raises(SetupError) as raised:
        ask(server.url, 5)
    assert "OPENAI_API_KEY" in str(raised.value) and KEY not in str(raised.value)
    assert len(server.bodies) == 1


def test_a_key_that_the_server_repeats_is_blotted_out() -> None:
    with serving(lambda body, n: (200, completion(f"your key is {KEY}"))) as server:
        (echo,) = ask(server.url)
    assert isinstance(echo, Answer) and echo.text == "your key is ***"


def test_a_key_in_the_address_is_not_told() -> None:
    def no_http(body: dict[str, Any], n: int) -> tuple[Any, ...]:
        return (200, completion()) if n == 0 else (200, iter([b"{"]), {"Content-Length": "-5"})

    with serving(no_http) as server:
        _, lost = ask(f"{server.url}?api-key=hidden7", 2, retries=0)
    assert isinstance(lost, Fault) and lost.kind == FailureKind.CONNECTION and "hidden7" not in lost.message


def test_a_wrong_model_name_lists_what_is_served() -> None:
    with (
        serving(lambda body, n: (404, error("no such model"))) as server,
        pytest.raises(SetupError, match=r"does not serve 'nano'.*nano-7"),
    ):
        ask(server.url, model="nano")


def test_what_a_server_does_not_accept_is_left_out_and_noted() -> None:
    def respond(body: dict[str, Any], n: int) -> tuple[Any, ...]:
        if body["messages"][0]["role"] == "system":
            return 400, error("System role not supported")
        if "response_format" in body:
            return 400, error("response_format json_schema is not supported")
        if body.get("top_logprobs", 0) > 5:
            return 400, error("top_logprobs must be at most 5")
        if "max_tokens" in body:
            return 400, error("Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead.")
        return 200, completion()

    with serving(respond) as server:
        engine, _ = build("openai", served_model("nano-7"), base_url=server.url)
        found = list(
            engine.stream(Request(id=str(i), system="Rules.", user="Look", schema={}) for i in range(3))
        )
        facts = engine.facts()
        engine.close()
    assert all(isinstance(answer, Answer) for _, answer in found)
    assert len(server.bodies) == 7
    texts = [part["text"] for part in server.bodies[-1]["messages"][0]["content"]]
    assert texts == ["Rules.", "Look"]
    assert server.bodies[-1]["top_logprobs"] == 5
    assert sorted(facts["not_accepted"]) == ["max_tokens", "response_format", "system", "top_logprobs"]
    assert KEY not in repr(facts)


def test_parameters_are_passed_on() -> None:
    params = {"top_p": 0.9, "chat_template_kwargs": {"enable_thinking": False}}
    with serving(lambda body, n: (200, completion())) as server:
        ask(server.url, params=params)
    assert params.items() <= server.bodies[0].items()


@pytest.mark.parametrize("name", ["temperature", "max_tokens", "messages", "response_format", "top_logprobs"])
def test_what_has_an_option_of_its_own_is_no_parameter(name: str) -> None:
    with pytest.raises(UserError, match=f"--param {name} is not to be given"):
        build("openai", served_model("m"), base_url="http://localhost/v1", params={name: 1})


@pytest.mark.parametrize(
    ("model", "reasons"),
    [
        ("o3-mini", True),
        ("gpt-5.1", True),
        ("openai/o4", True),
        ("gpt-4o", False),
        ("gpt-50", False),
        ("olmo", False),
    ],
)
def test_reasoning_models_are_known_by_name(model: str, reasons: bool) -> None:
    with serving(lambda body, n: (200, completion())) as server:
        ask(server.url, model=model)
    (body,) = server.bodies
    assert ("max_completion_tokens" in body) == reasons
    assert ("temperature" in body) == ("logprobs" in body) == ("max_tokens" in body) == (not reasons)


def test_a_bad_picture_is_a_fault_and_nothing_is_sent(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"no picture")
    with serving(lambda body, n: (200, completion())) as server:
        engine, _ = build("openai", served_model("m"), base_url=server.url)
        ((_, fault),) = engine.stream(iter([Request(id="a", user="Look", image=str(tmp_path / "a.png"))]))
        engine.close()
    assert isinstance(fault, Fault) and fault.kind == FailureKind.BROKEN_IMAGE
    assert not server.bodies


def test_set_up_that_cannot_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    with pytest.raises(SetupError, match="OPENAI_API_KEY is not set"):
        build("openai", served_model("gpt"))
    with pytest.raises(UserError, match="http://host"):
        build("openai", served_model("gpt"), base_url="localhost:8000")
    with pytest.raises(UserError, match="--base-url needs"):
        build("vllm", served_model("gpt"), base_url="http://localhost:1/v1")
    with pytest.raises(UserError, match="Did you mean 'transformers'"):
        build("transfomers", served_model("gpt"))
    with serving(lambda body, n: (200, completion())) as server:
        ask(server.url.replace("http://", "http://user:password@"))
        assert server.keys
