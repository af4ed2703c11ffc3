"""Servers that speak the OpenAI chat-completions protocol: vLLM, SGLang, llama.cpp, OpenAI itself."""

import asyncio
import json
import os
import re
import sys
import time
from collections import deque
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import uvloop
from tqdm import tqdm

from engines.base import Answer, Fault, Request, with_picture
from engines.descriptors import make_room
from engines.http_client import LostError, SlowError, TooLargeError, UnreachableError
from engines.openai_answers import MALFORMED, answer_of
from engines.openai_body import Form
from engines.openai_faults import Refusal, Reply, pause, refusal_of
from engines.openai_http import Server
from engines.openai_prefix import ServedPrefixes
from engines.registry import Options
from engines.window import Window
from flawscribe import secrets
from flawscribe.errors import SetupError, UserError, one_line
from flawscribe.hosts import is_local
from flawscribe.images import ImageFailure, load_image
from flawscribe.models import ModelRef
from flawscribe.records import FailureKind

OPENAI = "https://api.openai.com/v1"
LOCAL_WINDOW, REMOTE_WINDOW = 64, 256
FIRST_ATTEMPTS = 4
"""Requests sent one at a time, until one succeeds, before the window opens."""
_PATH = "/chat/completions"
_NO_FILES = re.compile(
    r"local.{0,3}(media|file|path)|file://|image_?url|image.url|data.url|\burls?\b|scheme|base64",
    re.IGNORECASE,
)
_AT_ONCE = 16  # requests begun before those that are under way are looked after again

_PERHAPS_THE_PICTURE = (FailureKind.BAD_REQUEST, FailureKind.SERVER_ERROR)
_Outcome = tuple[Request, Answer | Fault]


class OpenAIEngine:
    """A client of one server and one served model, with up to a window of requests in flight.

    It runs its event loop in the thread that consumes the stream, whenever that waits for an answer.
    """

    name = "openai"

    def __init__(self, model: str, options: Options) -> None:
        self._model = model
        self._options = options
        self._key = _key(options)
        secrets.keep(self._key)
        url = options.base_url or os.environ.get("OPENAI_BASE_URL", "").strip() or OPENAI
        self._server = Server(url, self._key, options.timeout)
        self._url = _shown(url)
        local = is_local(urlsplit(url).hostname or "")
        self._window = Window(options.window or (LOCAL_WINDOW if local else REMOTE_WINDOW), adapts=not local)
        make_room(self._window.most)
        self._form = Form(model, options.params, options.media)
        self._prefixes = ServedPrefixes(model)
        self._reached = self._answered = False
        self._gone: float | None = None
        self._lost = 0
        self._loop = uvloop.new_event_loop()

    def stream(self, requests: Iterator[Request | None]) -> Iterator[_Outcome]:
        """Answers as they come. The first requests go one at a time, to learn what the server accepts."""
        for request, outcome in self._answers(requests):
            self._prefixes.note(request, outcome)
            yield request, outcome
        self._loop.run_until_complete(self._prefixes.measure(self._server))

    def _answers(self, requests: Iterator[Request | None]) -> Iterator[_Outcome]:
        attempts = 0
        while not self._answered and attempts < FIRST_ATTEMPTS:
            if (request := next(requests, None)) is None:
                return
            outcome = self._loop.run_until_complete(self._outcome(request, learn=True))
            attempts += self._reached
            yield request, outcome
        yield from self._parallel(requests)

    def _parallel(self, requests: Iterator[Request | None]) -> Iterator[_Outcome]:
        tasks: set[asyncio.Task[None]] = set()
        done: deque[_Outcome | BaseException] = deque()
        news = asyncio.Event()

        async def work(request: Request) -> None:
            try:
                done.append((request, await self._outcome(request)))
            except Exception as e:  # raised again by whoever consumes the stream
                done.append(e)
            news.set()

        async def wait() -> None:
            await news.wait()
            news.clear()

        more = True
        try:
            while True:
                # All that has come is handed out before more is asked for: the same work several times in a row
                # takes less of the processor than several kinds of it by turns.
                while done:
                    outcome = done.popleft()
                    if isinstance(outcome, BaseException):
                        raise outcome
                    yield outcome
                while more and len(tasks) < self._window.size:
                    try:
                        request = next(requests)
                    except StopIteration:
                        more = False
                        break
                    if request is None:
                        break
                    task = self._loop.create_task(work(request))
                    tasks.add(task)
                    task.add_done_callback(tasks.discard)
                    if len(tasks) % _AT_ONCE == 0:
                        self._loop.run_until_complete(asyncio.sleep(0))
                if not done:
                    if not tasks:
                        return
                    self._loop.run_until_complete(wait())
        finally:
            self._loop.run_until_complete(_cancel(tasks))

    async def _outcome(self, request: Request, learn: bool = False) -> Answer | Fault:
        """The answer, or why there is none: where the server would not have it, that may be the picture's fault."""
        outcome = await self._asked(request, learn)
        if isinstance(outcome, Fault) and outcome.kind in _PERHAPS_THE_PICTURE and request.image is not None:
            try:
                load_image(request.image)
            except ImageFailure as e:
                return Fault(e.kind, str(e), outcome.usage)
        return outcome

    async def _asked(self, request: Request, learn: bool) -> Answer | Fault:
        """Ask until there is an answer, a refusal that stays, or no attempt left."""
        try:
            body, note = self._form.body(request)
        except ImageFailure as e:
            failure = e.failure("engine")
            return Fault(failure.kind, failure.message)
        attempt = 0
        while True:
            headers = None
            try:
                reply = await self._server.post(_PATH, body)
                self._reached, self._gone, self._lost = True, None, 0
            except UnreachableError as e:
                if self._reached or attempt:
                    await self._wait_for_server(e)
                else:
                    attempt += 1  # a server that was never reached gets one more chance
                    await asyncio.sleep(pause(1))
                continue
            except SlowError as e:
                self._reached = True
                self._window.refused()
                outcome: Answer | Fault = Fault(FailureKind.TIMEOUT, str(e))
            except LostError as e:
                outcome = self._broken(e)
            except TooLargeError as e:
                self._reached = True
                return Fault(FailureKind.SERVER_ERROR, str(e))
            else:
                if reply.status == 200:
                    outcome = answer_of(reply.body)
                    if not (isinstance(outcome, Fault) and outcome.kind == FailureKind.SERVER_ERROR):
                        self._answered = self._answered or isinstance(outcome, Answer)
                        self._window.succeeded()
                        return with_picture(outcome, note)
                else:
                    refusal = refusal_of(reply)
                    await self._check_set_up(refusal)
                    if self._options.media == "file" and not (self._answered or note):
                        self._check_media(refusal)
                    if learn and self._mended(refusal):
                        body, note = self._form.body(request)
                        continue
                    outcome, headers = refusal.fault, refusal.headers
                    if not refusal.passing:
                        return outcome
                    self._window.refused()
            attempt += 1
            if attempt > self._options.retries:
                return outcome
            await asyncio.sleep(pause(attempt, headers))

    def _mended(self, refusal: Refusal) -> bool:
        """Whether the call's form was refused and is another one now."""
        return refusal.status in (400, 422) and not refusal.concerns_content and self._form.mend(refusal.said)

    def _broken(self, error: LostError) -> Fault:
        """The fault of a connection that broke; a server that does nothing else ends the stage."""
        self._reached = True
        self._lost += 1
        if self._lost >= 2 * self._window.most + 8:
            raise self._stopped()
        return Fault(FailureKind.CONNECTION, str(error))

    async def _wait_for_server(self, error: UnreachableError) -> None:
        """Sleep a little where the server was there before: it may come back within the time given for that."""
        if not self._reached:
            raise SetupError(
                f"cannot reach {self._url} ({error}): is the server running, and is --base-url right?"
            )
        now = time.monotonic()
        if self._gone is None:
            self._gone = now
            if self._options.wait:
                tqdm.write(
                    f"{self._url} is gone; waiting up to {self._options.wait:g} s for it", file=sys.stderr
                )
        if now - self._gone >= self._options.wait:
            raise self._stopped()
        await asyncio.sleep(min(pause(3), self._options.wait))

    def _stopped(self) -> SetupError:
        return SetupError(f"{self._url} stopped answering; the same command goes on where it stopped")

    async def _check_set_up(self, refusal: Refusal) -> None:
        """Raise where no request can succeed: the key, the model's name, the account."""
        status = refusal.status
        if status in range(300, 400) and not self._answered:
            target = secrets.blotted(
                one_line(_shown(refusal.headers.get("location", "another address")), 120)
            )
            raise SetupError(
                f"{self._url} redirects to {target} ({status}), which is not followed: "
                "give the right address as --base-url"
            )
        source = f"the key in ${self._options.api_key_env}"
        if self._key is None:
            source = f"a request without a key (${self._options.api_key_env} is not set)"
        if status == 401 or (status == 403 and not self._answered):
            raise SetupError(f"{self._url} refused {source} ({status})")
        if status == 404:
            raise SetupError(await self._not_found())
        if refusal.code == "insufficient_quota":
            raise SetupError(f"{self._url}: the account behind {source} has no quota left")

    def _check_media(self, refusal: Refusal) -> None:
        """Raise where the server does not open the files that it is given the addresses of."""
        if refusal.status in (400, 403, 415, 422, 500, 501) and _NO_FILES.search(refusal.said):
            raise SetupError(
                f"{self._url} does not open pictures by their file:// addresses ({one_line(refusal.said, 160)}): "
                "start it with a folder that holds them (vLLM: --allowed-local-media-path FOLDER; "
                "flawscribe serve: --media FOLDER), or leave out --media file"
            )

    async def _not_found(self) -> str:
        try:
            reply: Reply = await self._server.get("/models", 10)
            served = [str(model["id"]) for model in json.loads(reply.body)["data"]]
        except (UnreachableError, LostError, SlowError, TooLargeError, *MALFORMED):
            return f"{self._url} has no chat completions (404): --base-url usually ends in /v1"
        names = secrets.blotted(", ".join(served[:20])) or "nothing"
        return f"{self._url} does not serve {self._model!r}: it serves {one_line(names)}"

    def facts(self) -> dict[str, Any]:
        """The server, the window, and what of a request the server did not accept."""
        return {
            "name": self.name,
            "base_url": self._url,
            "model": self._model,
            "window": self._window.most,
            **({"media": self._options.media} if self._options.media != "data" else {}),
            "not_accepted": self._form.dropped,
            **self._prefixes.facts(),
        }

    def close(self) -> None:
        """Close the connections."""
        if not self._loop.is_closed():
            self._loop.run_until_complete(self._server.close())
            self._loop.close()


async def _cancel(tasks: set[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


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


def _key(options: Options) -> str | None:
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
        return None
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
