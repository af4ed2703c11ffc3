"""Fetching one picture from the public internet, as safely as a stranger's address deserves.

Every address that a host's name leads to is checked to be public, and the connection goes to the one that was
checked: a name that leads elsewhere the next time changes nothing. Redirects are followed by hand, each checked
anew. No cookies, no proxies, no credentials, no compression; bounded in size and in total time.
"""

import functools
import http.client
import io
import os
import re
import socket
import ssl
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO
from urllib.parse import quote, urljoin, urlsplit, urlunsplit

import flawscribe
from flawscribe.errors import one_line
from flawscribe.hosts import is_public, shown_url
from flawscribe.images import check_picture
from flawscribe.picture_files import MAX_BYTES, ImageFailure
from flawscribe.records import FailureKind

SECONDS = 60.0
"""For one picture, redirects included (looking up a name is left to the system's own patience)."""
CONNECT_SECONDS = 10.0
REDIRECTS = 5
_CHUNK = 65_536
_REDIRECTING = (301, 302, 303, 307, 308)
_AS_IT_IS = "%/:=&?~#+!$,;'@()*[]|"  # of an address that may be escaped already
_CHECKS = threading.BoundedSemaphore(2)  # pictures decoded at a time: each may take hundreds of megabytes

Resolve = Callable[[str, int], list[str]]


@dataclass(frozen=True)
class Rules:
    """What a fetch keeps to: which numeric addresses it may connect to, how names are looked up, and its bounds."""

    allowed: Callable[[str], bool] = is_public
    resolve: Resolve | None = None
    seconds: float = SECONDS
    most_bytes: int = MAX_BYTES


def fetch(url: str, target: Path, rules: Rules | None = None) -> None:
    """Write the picture at an http(s) address to the file `target`, whole or not at all.

    Raises ImageFailure: missing_image for what the server does not give or we do not go to, timeout, connection,
    image_too_large, broken_image for what is no picture that can be opened.
    """
    rules = rules or Rules()
    name, until = shown_url(url), time.monotonic() + rules.seconds
    # A new file whose name cannot be foretold: a forged run may hold links where they would be followed.
    number, temporary = tempfile.mkstemp(dir=target.parent, prefix=".fetching-")
    try:
        with os.fdopen(number, "wb") as out:
            _download(url, out, name, rules, until)
        with _CHECKS:
            check_picture(Path(temporary).read_bytes(), name)
        os.chmod(temporary, 0o644)  # a server on this disk may be another user's
        os.replace(temporary, target)
    except BaseException:
        os.unlink(temporary)
        raise


@contextmanager
def _network(name: str, seconds: float) -> Iterator[None]:
    """What a connection raises, as ImageFailure; not for what our own disk raises."""
    try:
        yield
    except TimeoutError as e:
        raise ImageFailure(FailureKind.TIMEOUT, f"{name}: not there within {seconds:g} s") from e
    except ssl.SSLCertVerificationError as e:
        told = f"{name}: its certificate is not to be trusted ({e.verify_message})"
        raise ImageFailure(FailureKind.CONNECTION, told) from e
    except (OSError, http.client.HTTPException, ValueError) as e:
        why = getattr(e, "strerror", None) or f"{type(e).__name__} {e}"
        raise ImageFailure(FailureKind.CONNECTION, f"{name}: {one_line(why, 120)}") from e


def _download(url: str, out: IO[bytes], name: str, rules: Rules, until: float) -> None:
    for _ in range(REDIRECTS + 1):
        with _network(name, rules.seconds):
            response, stream = _get(url, name, rules, until)
        with stream:
            if response.status in _REDIRECTING:
                location = response.headers.get("Location")
                if not location:
                    raise _missing(name, f"{response.status} without an address to go on to")
                try:
                    url = urljoin(url, location)
                except ValueError:
                    raise _missing(name, "redirected to what is no address") from None
                continue
            if response.status != 200:
                told = f"{response.status} {one_line(response.reason, 60)}".strip()
                kind = FailureKind.MISSING_IMAGE if response.status < 500 else FailureKind.CONNECTION
                raise ImageFailure(kind, f"{name}: the server says {told}")
            return _copy(response, out, name, rules)
    raise _missing(name, f"more than {REDIRECTS} redirects")


def _copy(response: http.client.HTTPResponse, out: IO[bytes], name: str, rules: Rules) -> None:
    coding = response.headers.get("Content-Encoding", "identity").strip().lower()
    if coding not in ("identity", ""):
        raise ImageFailure(FailureKind.BROKEN_IMAGE, f"{name}: sent compressed, which was not asked for")
    too_large = ImageFailure(FailureKind.IMAGE_TOO_LARGE, f"{name}: over {rules.most_bytes / 1e6:g} MB")
    if response.length is not None and response.length > rules.most_bytes:
        raise too_large
    size = 0
    while True:
        with _network(name, rules.seconds):
            chunk = response.read(_CHUNK)
        if not chunk:
            break
        size += len(chunk)
        if size > rules.most_bytes:
            raise too_large
        out.write(chunk)
    if response.length:  # more was announced than came
        raise ImageFailure(FailureKind.CONNECTION, f"{name}: the connection broke off after {size} bytes")


def _get(url: str, name: str, rules: Rules, until: float) -> tuple[http.client.HTTPResponse, "_Stream"]:
    """The answer to one GET, its body unread, over a connection to a checked address."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
        if parts.scheme not in ("http", "https") or not host or port == 0:
            raise ValueError
        # What a resolver and a header take: letters, digits, dots and hyphens, or a bracketed IPv6 address.
        host = host if ":" in host else host.encode("idna").decode("ascii")
        if not re.fullmatch(r"[0-9a-zA-Z._:-]{1,253}", host):
            raise ValueError
    except ValueError:
        raise _missing(name, f"{shown_url(url)!r} is no http(s) address to fetch from") from None
    if parts.username is not None or parts.password is not None:
        raise _missing(name, "an address with a user or a password is not fetched")
    secure = parts.scheme == "https"
    addresses = _looked_up(host, port or (443 if secure else 80), name, rules)
    stream = _Stream(_connected(addresses, port or (443 if secure else 80), until), until)
    try:
        if secure:
            stream.secure(host)
        bracketed = f"[{host}]" if ":" in host else host
        path = urlunsplit(("", "", quote(parts.path or "/", _AS_IT_IS), quote(parts.query, _AS_IT_IS), ""))
        lines = [
            f"GET {path} HTTP/1.1",
            f"Host: {bracketed}" + (f":{port}" if port else ""),
            f"User-Agent: flawscribe/{flawscribe.__version__}",
            "Accept: image/*",
            "Accept-Encoding: identity",
            "Connection: close",
        ]
        stream.send("\r\n".join([*lines, "", ""]).encode("ascii"))
        response = http.client.HTTPResponse(stream, method="GET")  # type: ignore[arg-type]
        response.begin()
    except BaseException:
        stream.close()
        raise
    return response, stream


def _looked_up(host: str, port: int, name: str, rules: Rules) -> list[str]:
    """The numeric addresses of a host; ImageFailure where there is none, or one that is not to be gone to."""
    try:
        addresses = (rules.resolve or _resolve)(host, port)
    except (OSError, UnicodeError) as e:
        raise _missing(name, f"there is no host {one_line(host, 80)}") from e
    for address in addresses:
        if not rules.allowed(address):
            leads = "" if host == address else f" leads to {address}, which"
            raise _missing(name, f"{one_line(host, 80)}{leads} is not on the public internet")
    if not addresses:
        raise _missing(name, f"there is no host {one_line(host, 80)}")
    return addresses


def _resolve(host: str, port: int) -> list[str]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def _connected(addresses: list[str], port: int, until: float) -> socket.socket:
    """A connection to the first of the addresses that takes one."""
    for i, address in enumerate(addresses):
        try:
            return socket.create_connection((address, port), timeout=min(CONNECT_SECONDS, _left(until)))
        except OSError:
            if i == len(addresses) - 1:
                raise
            _left(until)
    raise ConnectionError("no address")


class _Stream(io.RawIOBase):
    """A connection, each of whose waits ends when the whole fetch's time is over: drops must not add up."""

    def __init__(self, connection: socket.socket, until: float) -> None:
        self._socket, self._until = connection, until

    def secure(self, host: str) -> None:
        """Speak TLS from now on, with a certificate for `host` that the system trusts."""
        self._socket.settimeout(_left(self._until))
        self._socket = _trust().wrap_socket(self._socket, server_hostname=host)

    def send(self, data: bytes) -> None:
        """Send all of it."""
        self._socket.settimeout(_left(self._until))
        self._socket.sendall(data)

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """What has come, up to the buffer's size."""
        self._socket.settimeout(_left(self._until))
        return self._socket.recv_into(buffer)

    def makefile(self, mode: str) -> IO[bytes]:
        """As a socket's: what http.client reads from."""
        return io.BufferedReader(self, _CHUNK)

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()
        super().close()


@functools.cache
def _trust() -> ssl.SSLContext:
    return ssl.create_default_context()


def _left(until: float) -> float:
    left = until - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _missing(name: str, why: str) -> ImageFailure:
    return ImageFailure(FailureKind.MISSING_IMAGE, f"{name}: {why}")
