"""Fetching pictures from servers that wish us ill, and the private places that they would have us go to."""

import gzip
import io
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from flawscribe.fetch import REDIRECTS, Rules, fetch
from flawscribe.images import ImageFailure
from flawscribe.records import FailureKind

Answer = tuple[int, dict[str, str], "bytes | Iterator[bytes]"]


def png(color: str = "red") -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (9, 7), color).save(buffer, "PNG")
    return buffer.getvalue()


@contextmanager
def web(respond: Callable[[str], Answer], certificate: Path | None = None) -> Iterator[tuple[int, list[Any]]]:
    """A web server; its port, and the requests that came (path, headers)."""
    seen: list[Any] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append((self.path, self.headers))
            status, headers, body = respond(self.path)
            try:
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                for part in [body] if isinstance(body, bytes) else body:
                    self.wfile.write(part)
                    self.wfile.flush()
            except OSError:
                pass

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield server.server_address[1], seen
    finally:
        server.shutdown()
        server.server_close()


def here(host: str = "127.0.0.1", **more: Any) -> Rules:
    """Rules for a test's own server: `host` is public, and whatever is looked up is there."""
    return Rules(allowed=lambda a: a == host, **{"resolve": lambda h, p: [host], "seconds": 5.0, **more})


def failure(url: str, folder: Path, rules: Rules | None = None) -> ImageFailure:
    with pytest.raises(ImageFailure) as caught:
        fetch(url, folder / "a", rules)
    assert not list(folder.iterdir()), "nothing is left behind"
    assert "\n" not in str(caught.value)
    return caught.value


def test_a_picture_arrives_as_it_is(tmp_path: Path) -> None:
    with web(lambda path: (200, {"Content-Length": str(len(png()))}, png())) as (port, seen):
        fetch(f"http://pictures.example:{port}/ä b.png?q=1%20#x", tmp_path / "a", here())
    assert (tmp_path / "a").read_bytes() == png()
    ((path, headers),) = seen
    assert path == "/%C3%A4%20b.png?q=1%20"
    assert headers["Host"] == f"pictures.example:{port}"
    assert headers["Accept-Encoding"] == "identity"
    assert not {"Cookie", "Authorization", "Referer"} & set(headers)


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "localhost", "2130706433", "0", "0.0.0.0", "0177.0.0.1", "0x7f.0.0.1", "127.1", "[::1]", "[::]",
     "[::ffff:127.0.0.1]", "10.0.0.1", "169.254.169.254", "[fd00:ec2::254]", "[64:ff9b::7f00:1]", "[fe80::1%25lo]"],
)  # fmt: skip
def test_private_places_are_not_gone_to(tmp_path: Path, host: str) -> None:
    with web(lambda path: (200, {}, png())) as (port, seen):
        caught = failure(f"http://{host}:{port}/latest/meta-data", tmp_path)
    assert caught.kind is FailureKind.MISSING_IMAGE
    assert not seen


@pytest.mark.parametrize(
    "url",
    [
        "ftp://h.org/a.png", "file:///etc/passwd", "gopher://h.org/", "http:///a.png", "http://h.org:0/", "http://",
        "http://h.org:99999/", "http://h.org:x/", "http://[::1/", "http://h\x00.org/", "http://h .org/a", "http://h%0d%0a/",
        "http://" + "a" * 300 + ".org/", "http://me:secret@127.0.0.1/", "http://me@h.org/",
    ],
)  # fmt: skip
def test_what_is_no_address_to_fetch_from(tmp_path: Path, url: str) -> None:
    caught = failure(url, tmp_path, here(resolve=lambda h, p: pytest.fail("looked up")))
    assert caught.kind is FailureKind.MISSING_IMAGE
    assert "secret" not in str(caught)


def test_every_address_of_a_name_must_be_public(tmp_path: Path) -> None:
    rules = Rules(resolve=lambda h, p: ["93.184.216.34", "10.0.0.1"])
    assert "leads to 10.0.0.1, which is not on the public internet" in str(
        failure("http://h.org/", tmp_path, rules)
    )
    assert "there is no host" in str(failure("http://h.org/", tmp_path, Rules(resolve=lambda h, p: [])))


@pytest.mark.parametrize("url", ["http://10.0.0.1/a.png", "http://[::1]/a.png"])
def test_a_numeric_address_is_not_said_to_lead_to_itself(tmp_path: Path, url: str) -> None:
    told = str(failure(url, tmp_path, Rules()))
    assert "is not on the public internet" in told
    assert "leads to" not in told


def test_a_name_that_leads_elsewhere_the_next_time(tmp_path: Path) -> None:
    """The connection goes to the address that was checked: a second look-up would go to the other server."""
    given = iter([["127.0.0.1"], ["127.0.0.2"]])
    with web(lambda path: (200, {}, png("red"))) as (port, seen):
        rules = here(resolve=lambda h, p: next(given))
        fetch(f"http://rebinding.example:{port}/", tmp_path / "a", rules)
        assert seen and next(given) == ["127.0.0.2"], "looked up once"
        # The look-up is repeated for each redirect, and checked again.
        given = iter([["127.0.0.1"], ["127.0.0.2"]])
    (tmp_path / "a").unlink()
    with web(lambda path: (302, {"Location": "/b"}, b"")) as (port, seen):
        caught = failure(f"http://rebinding.example:{port}/", tmp_path, rules)
    assert "leads to 127.0.0.2" in str(caught) and len(seen) == 1


@pytest.mark.parametrize(
    "target",
    ["http://127.0.0.2:{port}/", "//127.0.0.2:{port}/x", "http://[::1]:{port}/", "file:///etc/passwd", "ftp://h/"],
)  # fmt: skip
def test_a_redirect_to_where_we_do_not_go(tmp_path: Path, target: str) -> None:
    resolve = lambda h, p: ["127.0.0.1" if h == "h.org" else h]  # noqa: E731
    with web(lambda path: (302, {"Location": target.format(port=port)}, b"")) as (port, seen):
        caught = failure(f"http://h.org:{port}/a?token=secret", tmp_path, here(resolve=resolve))
    assert caught.kind is FailureKind.MISSING_IMAGE
    assert len(seen) == 1 and "secret" not in str(caught)


def test_redirects_are_followed_so_often(tmp_path: Path) -> None:
    def respond(path: str) -> Answer:
        n = int(path.strip("/"))
        return (200, {}, png()) if n == 0 else (307, {"Location": f"/{n - 1}"}, b"")

    with web(respond) as (port, _):
        fetch(f"http://h.org:{port}/{REDIRECTS}", tmp_path / "a", here())
        (tmp_path / "a").unlink()
        assert "more than 5 redirects" in str(
            failure(f"http://h.org:{port}/{REDIRECTS + 1}", tmp_path, here())
        )


def endless() -> Iterator[bytes]:
    while True:
        yield b"x" * 100_000


def dripping() -> Iterator[bytes]:
    while True:
        yield b"x"
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        ((200, {}, endless), FailureKind.IMAGE_TOO_LARGE),
        ((200, {"Content-Length": "999999999"}, png), FailureKind.IMAGE_TOO_LARGE),
        ((200, {}, dripping), FailureKind.TIMEOUT),
        ((200, {"Content-Length": "5000"}, png), FailureKind.CONNECTION),
        ((200, {"Content-Length": "50"}, png), FailureKind.BROKEN_IMAGE),
        ((200, {"Content-Encoding": "gzip"}, lambda: gzip.compress(bytes(10**6))), FailureKind.BROKEN_IMAGE),
        ((200, {"Transfer-Encoding": "chunked"}, lambda: b"zz\r\n"), FailureKind.CONNECTION),
        ((200, {}, lambda: b"<html>not a picture</html>"), FailureKind.BROKEN_IMAGE),
        ((200, {}, lambda: b""), FailureKind.BROKEN_IMAGE),
        ((404, {}, png), FailureKind.MISSING_IMAGE),
        ((304, {}, png), FailureKind.MISSING_IMAGE),
        ((302, {}, png), FailureKind.MISSING_IMAGE),
        ((503, {}, png), FailureKind.CONNECTION),
    ],
)  # fmt: skip
def test_servers_that_misbehave(tmp_path: Path, answer: Any, kind: FailureKind) -> None:
    status, headers, body = answer
    started = time.monotonic()
    with web(lambda path: (status, headers, body())) as (port, _):
        caught = failure(
            f"http://h.org:{port}/a?sig=secret", tmp_path, here(seconds=1.5, most_bytes=10_000_000)
        )
    assert caught.kind is kind, caught
    assert time.monotonic() - started < 4
    assert str(caught).startswith(f"http://h.org:{port}/a: ")


@pytest.mark.parametrize("said", [b"", b"HTTP/1.1 200 OK\r\nX: ", b"no HTTP at all\r\n\r\n", b"x" * 70_000])
def test_what_is_no_http(tmp_path: Path, said: bytes) -> None:
    """Headers that never end come to an end as well."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(10_000)
            connection.sendall(said)
            try:
                while b"X:" in said:
                    connection.sendall(b"y")
                    time.sleep(0.05)
            except OSError:
                pass

    threading.Thread(target=serve, daemon=True).start()
    with listener:
        url = f"http://h.org:{listener.getsockname()[1]}/"
        caught = failure(url, tmp_path, here(seconds=1.5))
    assert caught.kind in (FailureKind.CONNECTION, FailureKind.TIMEOUT)


def test_nobody_there(tmp_path: Path) -> None:
    assert failure("http://h.org:9/", tmp_path, here()).kind is FailureKind.CONNECTION


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A key and a certificate for h.org that nobody has signed."""
    path = tmp_path_factory.mktemp("tls") / "h.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=h.org"]
    command += ["-addext", "subjectAltName=DNS:h.org", "-keyout", str(path), "-out", f"{path}.crt"]
    if shutil.which("openssl") is None:
        pytest.skip("there is no openssl to make a certificate with")
    subprocess.run(command, check=True, capture_output=True)
    path.write_bytes(path.read_bytes() + Path(f"{path}.crt").read_bytes())
    return path


def test_https_is_for_the_name_and_needs_trust(
    tmp_path: Path, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with web(lambda path: (200, {}, png()), certificate=certificate) as (port, seen):
        caught = failure(f"https://h.org:{port}/", tmp_path, here())
        assert caught.kind is FailureKind.CONNECTION and "certificate is not to be trusted" in str(caught)
        trust = ssl.create_default_context(cafile=str(certificate))
        monkeypatch.setattr("flawscribe.fetch._trust", lambda: trust)
        assert "certificate" in str(failure(f"https://other.org:{port}/", tmp_path, here()))
        assert not seen
        fetch(f"https://h.org:{port}/", tmp_path / "a", here())
    assert (tmp_path / "a").read_bytes() == png()


def test_a_server_without_tls(tmp_path: Path) -> None:
    with web(lambda path: (200, {}, png())) as (port, seen):
        assert failure(f"https://h.org:{port}/", tmp_path, here()).kind is FailureKind.CONNECTION
    assert not seen


def test_a_file_that_is_a_link_is_replaced_not_followed(tmp_path: Path) -> None:
    (tmp_path / "victim").write_text("mine")
    (tmp_path / "a").symlink_to(tmp_path / "victim")
    with web(lambda path: (200, {}, png())) as (port, _):
        fetch(f"http://h.org:{port}/", tmp_path / "a", here())
    assert (tmp_path / "victim").read_text() == "mine"
    assert (tmp_path / "a").read_bytes() == png() and not (tmp_path / "a").is_symlink()
