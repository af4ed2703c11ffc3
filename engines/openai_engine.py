"""Servers that speak the OpenAI chat-completions protocol: vLLM, SGLang, llama.cpp, OpenAI itself."""

import base64
import os
import re
import threading
from collections.abc import Iterator
from queue import Empty, SimpleQueue
from typing import Any
from urllib.parse import urlsplit

import openai

from engines.base import TOP, Answer, Fault, Request
from engines.openai_answers import MALFORMED, answer_of
from engines.openai_bounds import TooLargeError, bounded
from engines.openai_faults import fault_of, is_content_fault, told_by
from engines.registry import Options
from flawscribe.errors import SetupError, UserError, one_line
from flawscribe.images import ImageFailure, image_bytes
from flawscribe.models import ModelRef
from flawscribe.records import FailureKind

WINDOW = 16
FIRST_ATTEMPTS = 4
"""Requests sent one at a time, until one succeeds, before the window opens."""
CONNECT_TIMEOUT = 10.0

# What a server may refuse in a request (as its message puts it), and how to ask without it.
_MENDS: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("max_tokens", r"max_completion_tokens", {"limit": "max_completion_tokens"}),
    ("response_format", r"response_format|json_schema|structured|guided|grammar", {"schema": False}),
    ("top_logprobs", r"top_logprobs|logprob", {"top": 5}),
    ("logprobs", r"top_logprobs|logprob", {"top": 0}),
    ("system", r"system.{0,20}role|role.{0,20}system", {"system": False}),
    ("seed", r"\bseed\b", {"seed": False}),
    ("temperature", r"\btemperature\b", {"temperature": False}),
)


class OpenAIEngine:
    """A client of one server and one served model, with up to `window` requests in flight."""

    name = "openai"

    def __init__(self, model: str, options: Options) -> None:
        self._model = model
        self._options = options
        self._window = options.window or WINDOW
        self._key = _key(options)
        try:
            self._client = openai.OpenAI(
                api_key=self._key,
                base_url=options.base_url,
                timeout=openai.Timeout(options.timeout, connect=min(options.timeout, CONNECT_TIMEOUT)),
                max_retries=options.retries,
                # A redirect would send images and texts to a host that nobody named or was told of.
                http_client=openai.DefaultHttpxClient(
                    follow_redirects=False, event_hooks={"response": [bounded(options.timeout, self._key)]}
                ),
                default_headers={"Accept-Encoding": "identity"},
            )
        except Exception as e:  # the SDK's HTTP library, whichever it is, has errors of its own
            raise SetupError(f"cannot set up a client for the server: {one_line(e)}") from e
        self._url = _shown(str(self._client.base_url))
        self._ask_for: dict[str, Any] = {
            "limit": "max_tokens",
            "schema": True,
            "system": True,
            "top": TOP,
            "seed": True,
            "temperature": True,
        }
        self._dropped: list[str] = []
        self._reached = self._answered = False
        self._lost = 0

    def stream(self, requests: Iterator[Request]) -> Iterator[tuple[Request, Answer | Fault]]:
        """Answers as they come. The first requests go one at a time, to learn what the server accepts."""
        attempts = 0
        while not self._answered and attempts < FIRST_ATTEMPTS:
            if (request := next(requests, None)) is None:
                return
            outcome = self._first(request)
            attempts += self._reached
            yield request, outcome
        yield from self._parallel(requests)

    def _parallel(self, requests: Iterator[Request]) -> Iterator[tuple[Request, Answer | Fault]]:
        """Threads are daemons: an interrupt ends the program without waiting for slow servers."""
        todo: SimpleQueue[Request | None] = SimpleQueue()
        done: SimpleQueue[tuple[Request, Answer | Fault] | BaseException] = SimpleQueue()
        threads: list[threading.Thread] = []
        in_flight = 0
        try:
            for request in requests:
                todo.put(request)
                in_flight += 1
                if len(threads) < min(in_flight, self._window):
                    threads.append(threading.Thread(target=self._work, args=(todo, done), daemon=True))
                    threads[-1].start()
                while in_flight and (outcome := _take(done, wait=in_flight >= self._window)):
                    in_flight -= 1
                    yield self._checked(outcome)
            while in_flight and (outcome := _take(done, wait=True)):
                in_flight -= 1
                yield self._checked(outcome)
        finally:
            for _ in threads:
                todo.put(None)

    def _work(
        self,
        todo: "SimpleQueue[Request | None]",
        done: "SimpleQueue[tuple[Request, Answer | Fault] | BaseException]",
    ) -> None:
        while (request := todo.get()) is not None:
            try:
                done.put((request, self._ask(request)))
            except BaseException as e:  # raised again by the thread that consumes the stream
                done.put(e)

    def _checked(
        self, outcome: tuple[Request, Answer | Fault] | BaseException
    ) -> tuple[Request, Answer | Fault]:
        """The outcome; a server that has gone ends the stage instead of failing every row that is left."""
        if isinstance(outcome, BaseException):
            raise outcome
        gone = isinstance(outcome[1], Fault) and outcome[1].kind == FailureKind.CONNECTION
        self._lost = self._lost + 1 if gone else 0
        if self._lost >= 2 * self._window + 8:
            raise SetupError(f"{self._url} stopped answering; the same command goes on where it stopped")
        return outcome

    def _first(self, request: Request) -> Answer | Fault:
        """Ask while nothing is known of the server: what it does not accept is left out from then on."""
        remaining = list(_MENDS)
        while True:
            try:
                return self._ask(request, learn=True)
            except openai.APIStatusError as e:
                mend = next((m for m in remaining if re.search(m[1], told_by(e), re.IGNORECASE)), None)
                if mend is None or is_content_fault(e):
                    return fault_of(e, told_by(e))
                remaining.remove(mend)
                self._ask_for.update(mend[2])
                self._dropped.append(mend[0])

    def _ask(self, request: Request, learn: bool = False) -> Answer | Fault:
        try:
            arguments = self._arguments(request)
        except ImageFailure as e:
            failure = e.failure("engine")
            return Fault(failure.kind, failure.message)
        client = self._client if self._reached else self._client.with_options(max_retries=1)
        try:
            completion = client.chat.completions.create(**arguments)
        except openai.APIConnectionError as e:
            if isinstance(e, openai.APITimeoutError) and "Connect" not in type(e.__cause__).__name__:
                self._reached = True
                return Fault(FailureKind.TIMEOUT, f"no answer within {self._options.timeout:g} s")
            if not self._reached:
                raise SetupError(
                    f"cannot reach {self._url} ({one_line(e.__cause__ or e, 120)}): is the server running, "
                    "and is --base-url right?"
                ) from e
            return Fault(FailureKind.CONNECTION, one_line(f"connection lost: {e.__cause__ or e}"))
        except openai.APIStatusError as e:
            self._reached = True
            self._check_set_up(e)
            if learn and e.status_code in (400, 422):
                raise
            return fault_of(e, told_by(e))
        except TooLargeError as e:
            self._reached = True
            return Fault(FailureKind.SERVER_ERROR, str(e))
        except (openai.OpenAIError, *MALFORMED) as e:  # the SDK does not check what a server sends
            self._reached = True
            return Fault(FailureKind.SERVER_ERROR, f"not a chat completion: {one_line(e)}")
        self._reached = True
        answer = answer_of(completion)
        self._answered = self._answered or isinstance(answer, Answer)
        return answer

    def _arguments(self, request: Request) -> dict[str, Any]:
        """The call: the system text first, for prefix caches; then image, then text."""
        content: list[dict[str, Any]] = [{"type": "text", "text": request.user}]
        if request.image is not None:
            data, mime = image_bytes(request.image)
            url = f"data:{mime};base64,{base64.b64encode(data).decode('ascii')}"
            content.insert(0, {"type": "image_url", "image_url": {"url": url}})
        want = self._ask_for
        system = [{"type": "text", "text": request.system}] if request.system else []
        if not want["system"]:
            content = [*system, *content]
        # Text alone goes as a plain string, which every server takes.
        plain = request.user if len(content) == 1 else content
        messages: list[dict[str, Any]] = [{"role": "user", "content": plain}]
        if system and want["system"]:
            messages.insert(0, {"role": "system", "content": request.system})
        arguments: dict[str, Any] = {
            "model": self._model,
            "messages": messages,
            want["limit"]: request.max_tokens,
        }
        if want["temperature"]:
            arguments["temperature"] = request.temperature
        if want["seed"] and request.temperature > 0:
            arguments["seed"] = request.seed
        if want["top"]:
            arguments |= {"logprobs": True, "top_logprobs": want["top"]}
        if request.schema is not None and want["schema"]:
            schema = {"name": "answer", "schema": request.schema, "strict": True}
            arguments["response_format"] = {"type": "json_schema", "json_schema": schema}
        return arguments

    def _check_set_up(self, error: openai.APIStatusError) -> None:
        """Raise where no request can succeed: the key, the model's name, the account."""
        if error.status_code in range(300, 400) and not self._answered:
            target = one_line(_shown(error.response.headers.get("location", "another address")), 120)
            raise SetupError(
                f"{self._url} redirects to {target} ({error.status_code}), which is not followed: "
                "give the right address as --base-url"
            ) from None
        source = f"the key in ${self._options.api_key_env}"
        if self._key == _NO_KEY:
            source = f"a request without a key (${self._options.api_key_env} is not set)"
        if error.status_code == 401 or (error.status_code == 403 and not self._answered):
            raise SetupError(f"{self._url} refused {source} ({error.status_code})") from None
        if error.status_code == 404:
            raise SetupError(self._not_found()) from None
        if error.code == "insufficient_quota":
            raise SetupError(f"{self._url}: the account behind {source} has no quota left") from None

    def _not_found(self) -> str:
        try:
            served = [
                str(model.id) for model in self._client.with_options(max_retries=0, timeout=10).models.list()
            ]
        except (openai.OpenAIError, TooLargeError, *MALFORMED):
            return f"{self._url} has no chat completions (404): --base-url usually ends in /v1"
        names = ", ".join(served[:20]) or "nothing"
        return f"{self._url} does not serve {self._model!r}: it serves {one_line(names)}"

    def facts(self) -> dict[str, Any]:
        """The server, the window, and what of a request the server did not accept."""
        return {
            "name": self.name,
            "base_url": self._url,
            "model": self._model,
            "window": self._window,
            "not_accepted": self._dropped,
        }

    def close(self) -> None:
        """Close the connections."""
        self._client.close()


_NO_KEY = "none"
_NAME = re.compile(r"[A-Z_]{1,40}|[A-Z_][A-Z0-9_]{0,15}")  # of a variable that is not there


def build(model: ModelRef, options: Options) -> OpenAIEngine:
    """The engine for the served model of that name."""
    if options.base_url is not None:
        _check_url(options.base_url, "--base-url")
    elif set_for_all := os.environ.get("OPENAI_BASE_URL", "").strip():
        _check_url(set_for_all, "$OPENAI_BASE_URL")
    return OpenAIEngine(model.served_name, options)


def _check_url(url: str, given: str) -> None:
    """Raise UserError for what is no address of a server; `given` says where it was given."""
    try:
        parts = urlsplit(url)
        good = url.isprintable() and " " not in url and parts.scheme in ("http", "https")
        good = good and bool((parts.hostname or "").encode("idna")) and parts.port != 0
    except ValueError:  # half a bracket, a port that is no number, a host that no name server takes
        good = False
    if not good:
        raise UserError(f"{given} must look like http://host:port/v1, not {_shown(url)!r}")


def _key(options: Options) -> str:
    """The key from the environment; a server of one's own may need none."""
    name = options.api_key_env
    # Perhaps it is the key itself, which must not be repeated.
    if name not in os.environ and not _NAME.fullmatch(name):
        raise UserError(
            "no environment variable has the name given for the key's (not shown: it may be the key): "
            "give the name of one that is set, such as OPENAI_API_KEY, not the key"
        )
    key = os.environ.get(name, "").strip()
    if not key:
        if options.base_url is None and not os.environ.get("OPENAI_BASE_URL"):
            raise SetupError(f"${name} is not set: set it, or name a server of your own with --base-url")
        return _NO_KEY
    if not (key.isascii() and key.isprintable()):
        raise SetupError(f"the key in ${name} holds characters that no header can carry")
    return key


def _shown(url: str) -> str:
    """The URL without user names, passwords and query, for messages and records."""
    try:
        parts = urlsplit(url)
        _ = parts.port  # where it is no number, it may be a password with a slash
    except ValueError:
        parts = urlsplit("")
    if host := parts.netloc.rpartition("@")[2]:
        return f"{parts.scheme}://{host}{parts.path}".rstrip("/")
    return "(not shown: it may hold a password)" if "@" in url else one_line(url.partition("?")[0], 80)


def _take(done: "SimpleQueue[Any]", wait: bool) -> Any:
    try:
        return done.get(block=wait)
    except Empty:
        return None
