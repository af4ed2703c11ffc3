"""How vLLM is started for a machine; what is told where its server does not come up."""

import json
import socket
import sys
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from unittest.mock import Mock

import pytest
from click.testing import CliRunner

from engines import serve as module
from engines.serve import Server, _reason, command, free_port
from engines.serve_command import serve
from engines.vllm_arguments import Machine, arguments, window
from flawscribe.errors import SetupError
from flawscribe.models import ModelRef, resolve_model

H100 = 85.0


def spread(model: str, *gpus: float) -> tuple[int, int]:
    found = arguments(resolve_model(model), Machine(gpus))
    return found.get("tensor_parallel_size", 1), found.get("data_parallel_size", 1)


def test_as_few_gpus_a_copy_as_hold_it_and_as_many_copies_as_there_is_room_for() -> None:
    assert spread("qwen3-vl-4b", H100) == (1, 1)
    assert spread("qwen3-vl-4b", *[H100] * 8) == (1, 8)
    assert spread("qwen3-vl-30b-a3b", *[25.8] * 4) == (4, 1)
    assert spread("qwen3-vl-235b-a22b", *[H100] * 8) == (8, 1)
    assert spread("glm-4.6v", *[H100] * 8) == (4, 2)


def test_a_directorys_need_is_the_size_of_its_weights(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"text_config": {"max_position_embeddings": 2048}}')
    with (tmp_path / "model.safetensors").open("wb") as weights:
        weights.truncate(100_000_000_000)  # a hole, not bytes
    ref = ModelRef("big", str(tmp_path), "abc", "directory")
    found = arguments(ref, Machine((H100, H100)))
    assert (found["tensor_parallel_size"], found["max_model_len"]) == (2, 2048)
    with pytest.raises(SetupError, match="big needs 102 GB"):
        arguments(ref, Machine((H100,)))


def test_what_does_not_fit_is_told_with_figures() -> None:
    with pytest.raises(SetupError, match=r"needs 476 GB of GPU memory or more; here are 4 GPUs of 85 GB"):
        spread("Qwen/Qwen3-VL-235B-A22B-Instruct", *[H100] * 4)


def test_on_the_cpu_it_is_float32_within_the_models_own_context() -> None:
    found = arguments(resolve_model("nano"), Machine())
    assert (found["dtype"], found["enforce_eager"], found["max_model_len"]) == ("float32", True, 1024)
    assert found["load_format"] == "safetensors" and "revision" not in found
    assert window(Machine(), found) == 64


def test_a_presets_context_is_bounded_and_its_architecture_named_where_its_config_does_not() -> None:
    found = arguments(resolve_model("qwen3-vl-8b"), Machine((H100,)))
    assert (found["max_model_len"], found["revision"]) == (16384, "main") and "hf_overrides" not in found
    found = arguments(resolve_model("deepseek-vl2-small"), Machine((H100, H100)))
    assert found["max_model_len"] == 4096
    assert found["hf_overrides"] == {"architectures": ["DeepseekVLV2ForCausalLM"]}
    assert window(Machine((H100, H100)), found) == 2 * 288


def test_the_command_listens_on_this_machine_alone_and_takes_more_flags_last() -> None:
    ref = resolve_model("nano")
    words = command(
        ref, arguments(ref, Machine()), 8123, ["nano"], Path("/pictures"), ["--max-num-seqs", "4"]
    )
    after = dict(pairwise(words))
    assert (after["--host"], after["--port"], after["--served-model-name"]) == ("127.0.0.1", "8123", "nano")
    assert after["--allowed-local-media-path"] == "/pictures" and "--enable-prefix-caching" in words
    assert json.loads(after["--limit-mm-per-prompt"])["image"] == 1
    assert "--trust-remote-code" not in words and words[-2:] == ["--max-num-seqs", "4"]


def test_a_port_in_use_is_told_before_anything_starts() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(SetupError, match=rf"port {port} cannot be had .*--port"):
            free_port(port)
    assert free_port(port) == port
    assert free_port(0) > 0


def test_a_server_has_one_model() -> None:
    result = CliRunner().invoke(serve, ["nano", "qwen3-vl-4b"])
    assert result.exit_code == 2 and "'qwen3-vl-4b' is one more" in result.output


def test_without_vllm_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    result = CliRunner().invoke(serve, ["nano"])
    assert isinstance(result.exception, SetupError) and "flawscribe[vllm]" in str(result.exception)


def test_a_server_that_ends_is_told_with_its_reason_and_log(tmp_path: Path) -> None:
    code = "import sys; print('INFO loading'); sys.exit('ValueError: no weights for layer 3')"
    server = Server([sys.executable, "-c", code], {}, free_port(0))
    try:
        with pytest.raises(SetupError, match=r"ended \(1\): ValueError: no weights for layer 3; its log is "):
            server.wait_until_up(lambda seconds: None)
    finally:
        server.stop()
        server.log.unlink()


@pytest.mark.parametrize(
    ("log", "reason"),
    [
        (
            "ValueError: bad\nRuntimeError: Engine core initialization failed. See root cause above.",
            "ValueError: bad",
        ),
        (
            "(EngineCore pid=7) ERROR 12:00 [core.py:1] torch.OutOfMemoryError: no memory",
            "OutOfMemoryError: no memory",
        ),
        (
            "api_server.py: error: unrecognized arguments: --x",
            "api_server.py: error: unrecognized arguments: --x",
        ),
        (
            "ValidationError: 1 validation error for ModelConfig\n  Value error, no such model [type=value_error]",
            "Value error, no such model [type=value_error]",
        ),
        ("", "it said nothing"),
    ],
)
def test_the_reason_is_the_error_that_came_before_its_consequences(log: str, reason: str) -> None:
    assert _reason(log) == reason


@pytest.mark.parametrize("media", [False, True])
def test_how_to_ask_it_names_pictures_as_it_takes_them(
    media: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(module, "check_installed", lambda: None)
    monkeypatch.setattr(
        module, "engine_arguments", lambda model: arguments(resolve_model(model), Machine(()))
    )
    monkeypatch.setattr(module, "Server", Mock())
    result = CliRunner().invoke(
        serve, ["nano", "--port", "0", *(["--media", str(tmp_path)] if media else [])]
    )
    assert "--model nano --base-url http://127.0.0.1:" in result.output
    assert ("--media file" in result.output) == media


@pytest.mark.slow
@pytest.mark.skipif(find_spec("vllm") is None, reason="vLLM is not installed")
def test_print_starts_nothing() -> None:
    result = CliRunner().invoke(serve, ["nano", "--print", "--port", "0"])
    assert result.exit_code == 0, result.output
    assert "--served-model-name nano" in result.output and "--host 127.0.0.1" in result.output
