"""One server over HTTP: bounded, unredirected requests.

aiohttp where there is encryption or a proxy, else our own plain client, and not the openai package's client, whose
processor time a request would be the limit with a fast server or a few thousand requests in flight.
"""

import os
from urllib.parse import unquote, urlsplit, urlunsplit
from urllib.request import getproxies

import aiohttp
from yarl import URL

from engines.http_faults import (
    CONNECT_TIMEOUT,
    MOST_BYTES,
    LostError,
    SlowError,
    TooLargeError,
    UnreachableError,
    expanded,
)
from engines.openai_faults import Reply
from engines.plain_http import PlainClient
from flawscribe.errors import one_line
from flawscribe.hosts import is_local


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
        self._plain: PlainClient | None = None
        if parts.scheme == "http" and (self._local or "http" not in getproxies()):
            url = URL(urlunsplit(self._parts))
            self._plain = PlainClient(url.raw_host or "", url.port or 80, self._headers)
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
        if self._plain is not None:
            return await self._plain.send(method, self._url(path, root).raw_path_qs, body, seconds)
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
            raise SlowError(seconds) from e
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
        if self._plain is not None:
            self._plain.close()
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
                raise TooLargeError
            parts.append(chunk)
        body = b"".join(parts)
    return expanded(body, response.headers.get("Content-Encoding", ""))
