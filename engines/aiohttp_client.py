"""HTTP through aiohttp: where there is encryption, or a proxy.

Not through the openai package's client, whose processor time a request would be the limit with a fast server or a few
thousand requests in flight.
"""

import os
from collections.abc import Mapping

import aiohttp
from yarl import URL

from engines.http_client import (
    CONNECT_TIMEOUT,
    MOST_BYTES,
    LostError,
    SlowError,
    TooLargeError,
    UnreachableError,
    expanded,
)
from engines.openai_faults import Reply
from flawscribe.errors import one_line


class AiohttpClient:
    """As `engines.http_client.Client`; every request has `headers`. `proxies` are those that the environment names."""

    def __init__(self, headers: Mapping[str, str], proxies: bool) -> None:
        self._headers, self._proxies = headers, proxies
        self._timeouts: dict[float, aiohttp.ClientTimeout] = {}
        self._session: aiohttp.ClientSession | None = None

    async def send(self, method: str, url: URL, body: bytes | None, seconds: float) -> Reply:
        """The reply within `seconds`."""
        if self._session is None:  # made here because it belongs to the running event loop
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0),
                auto_decompress=False,
                trust_env=self._proxies,
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
                url,
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
                raise TooLargeError
            parts.append(chunk)
        body = b"".join(parts)
    return expanded(body, response.headers.get("Content-Encoding", ""))
