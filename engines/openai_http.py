"""One server over HTTP: bounded, unredirected requests."""

from base64 import b64encode
from urllib.parse import unquote, urlsplit, urlunsplit
from urllib.request import getproxies

from yarl import URL

from engines.http_client import Client
from engines.openai_faults import Reply
from engines.plain_http import PlainClient
from flawscribe.hosts import is_local


class Server:
    """The server at `base_url`, with as many connections as are asked for; each answer within `seconds`."""

    def __init__(self, base_url: str, key: str | None, seconds: float) -> None:
        parts = urlsplit(base_url)
        self._parts = parts._replace(netloc=parts.netloc.rpartition("@")[2])
        self._seconds = seconds
        self._urls: dict[tuple[str, bool], URL] = {}
        headers = {"Accept-Encoding": "identity", "Content-Type": "application/json"}
        if key:
            headers["Authorization"] = f"Bearer {key}"
        elif parts.username is not None:
            login = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            headers["Authorization"] = f"Basic {b64encode(login.encode()).decode()}"
        self.client = _client(URL(urlunsplit(self._parts)), headers)

    async def post(self, path: str, body: bytes, root: bool = False) -> Reply:
        """The answer to `body` sent to the path below the base (or its root, without /v1).

        Raises the errors of `engines.http_client`, as `get` does.
        """
        return await self.client.send("POST", self._url(path, root), body, self._seconds)

    async def get(self, path: str, seconds: float, root: bool = False) -> Reply:
        """The answer to a GET."""
        return await self.client.send("GET", self._url(path, root), None, seconds)

    def _url(self, path: str, root: bool) -> URL:
        """The address of a path below the base, taken apart once and not for each request."""
        if (path, root) not in self._urls:
            base = self._parts.path.rstrip("/")
            whole = self._parts._replace(path=(base.removesuffix("/v1") if root else base) + path)
            self._urls[path, root] = URL(urlunsplit(whole))
        return self._urls[path, root]

    async def close(self) -> None:
        """Close the connections."""
        await self.client.close()


def _client(url: URL, headers: dict[str, str]) -> Client:
    local = is_local(url.host or "")
    if url.scheme == "http" and (local or "http" not in getproxies()):
        return PlainClient(url, headers)
    from engines.aiohttp_client import AiohttpClient  # takes a fifth of a second to import

    return AiohttpClient(headers, proxies=not local)
