"""One server over HTTP: bounded, unredirected requests.

aiohttp itself and not the openai package's client, whose processor time a request would be the limit with a fast
server or a few thousand requests in flight.
"""

import os
import zlib
from urllib.parse import unquote, urlsplit, urlunsplit

import aiohttp
from yarl import URL

from engines.openai_faults import Reply
from flawscribe.errors import one_line
from flawscribe.hosts import is_local

MOST_BYTES = 16_000_000  # of one answer
CONNECT_TIMEOUT = 10.0


class UnreachableError(Exception):
    """No connection could be made."""


class LostError(Exception):
    """The connection broke, or what came over it is no HTTP."""


class SlowError(Exception):
    """The answer was not there in time."""


class TooLargeError(Exception):
    """The answer is larger than any that could be meant."""


class Server:
    """Connections to the server at `base_url`, as many as are asked for; each answer within `seconds`."""

    def __init__(self, base_url: str, key: str | None, seconds: float) -> None:
        parts = urlsplit(base_url)
        self._local = is_local(parts.hostname or "")
        self._parts = parts._replace(netloc=parts.netloc.rpartition("@")[2])
        self._headers = {"Accept-Encoding": "identity", "Content-Type": "application/json"}
        if key:
            self._headers["Authorization"] = f"Bearer {key}"
        elif parts.username is not None:
            login = aiohttp.BasicAuth(unquote(parts.username), unquote(parts.password or ""))
            self._headers["Authorization"] = login.encode()
        self._seconds = seconds
        self._urls: dict[tuple[str, bool], URL] = {}
        self._timeouts: dict[float, aiohttp.ClientTimeout] = {}
        self._session: aiohttp.ClientSession | None = None

    async def post(self, path: str, body: bytes, root: bool = False) -> Reply:
        """The answer to `body` sent to the path below the base (or its root, without /v1); raises the errors above."""
        return await self._send("POST", path, body, self._seconds, root)

    async def get(self, path: str, seconds: float, root: bool = False) -> Reply:
        """The answer to a GET."""
        return await self._send("GET", path, None, seconds, root)

    async def _send(self, method: str, path: str, body: bytes | None, seconds: float, root: bool) -> Reply:
        if self._session is None:  # made here because it belongs to the running event loop
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0),
                auto_decompress=False,
                trust_env=not self._local,  # proxies
                headers=self._headers,
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        if seconds not in self._timeouts:
            connect = min(seconds, CONNECT_TIMEOUT)
            self._timeouts[seconds] = aiohttp.ClientTimeout(total=seconds, sock_connect=connect)
        try:
            async with self._session.request(
                # A redirect would send images and texts to a host that nobody named or was told of.
                method,
                self._url(path, root),
                data=body,
                timeout=self._timeouts[seconds],
                allow_redirects=False,
            ) as response:
                return Reply(response.status, response.headers, await _body(response))
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as e:
            raise UnreachableError(_why(e)) from e
        except TimeoutError as e:
            raise SlowError(f"no answer within {seconds:g} s") from e
        except (aiohttp.ClientError, OSError, ValueError, LookupError) as e:
            # A ClientResponseError's own words hold the address, and that may hold a key.
            why = e.message if isinstance(e, aiohttp.ClientResponseError) else e
            raise LostError(one_line(f"connection lost: {why or type(e).__name__}")) from e

    def _url(self, path: str, root: bool) -> URL:
        """The address of a path below the base, taken apart once and not for each request."""
        if (path, root) not in self._urls:
            base = self._parts.path.rstrip("/")
            whole = self._parts._replace(path=(base.removesuffix("/v1") if root else base) + path)
            self._urls[path, root] = URL(urlunsplit(whole))
        return self._urls[path, root]

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()


def _why(error: aiohttp.ClientError) -> str:
    """What the system says of a connection that could not be made, without aiohttp's words around it."""
    inner = getattr(error, "os_error", error)
    number = getattr(inner, "errno", None)
    return os.strerror(number) if number is not None and number > 0 else one_line(inner, 120)


async def _body(response: aiohttp.ClientResponse) -> bytes:
    """The whole body within MOST_BYTES, decompressed should the server have compressed it unasked."""
    if response.content_length is not None and response.content_length <= MOST_BYTES:
        body = await response.read()
    else:
        parts, size = [], 0
        async for chunk in response.content.iter_any():
            size += len(chunk)
            if size > MOST_BYTES:
                raise TooLargeError(f"the answer is larger than {MOST_BYTES:,} bytes")
            parts.append(chunk)
        body = b"".join(parts)
    if response.headers.get("Content-Encoding", "identity").lower() in ("identity", ""):
        return body
    try:
        expander = zlib.decompressobj(wbits=47)  # zlib or gzip
        body = expander.decompress(body, MOST_BYTES)
    except zlib.error as e:
        raise LostError("the answer is compressed in a way that was not asked for") from e
    if expander.unconsumed_tail:
        raise TooLargeError(f"the answer is larger than {MOST_BYTES:,} bytes")
    return body
