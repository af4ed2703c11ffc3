"""A window of thousands of requests needs as many sockets, of which a process may have 1,024 by custom."""

import resource
import shlex
import subprocess
import sys
from collections.abc import Iterator

import pytest
from asking import ask
from fake_server import completion, serving

from engines import Answer
from flawscribe.errors import UserError

pytestmark = pytest.mark.usefixtures("key")


@pytest.fixture
def few_files() -> Iterator[int]:
    """A soft limit of 400 open files; gives the hard one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (400, hard))
    yield hard
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_the_limit_is_raised_as_the_window_needs(few_files: int) -> None:
    with serving(lambda body, n: (200, completion())) as server:
        assert isinstance(ask(server.url, window=600)[0], Answer)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert soft > 600
    assert hard == few_files


def test_it_is_left_alone_where_it_is_high_enough(few_files: int) -> None:
    with serving(lambda body, n: (200, completion())) as server:
        ask(server.url, window=64)
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == 400


def test_a_window_that_the_system_does_not_allow_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1024, 2048))
    with pytest.raises(UserError, match="--window 1920 or less"):
        ask("http://127.0.0.1:9/v1", window=4096)


@pytest.mark.parametrize("closed", ["", " >&-"])
def test_what_a_model_process_prints_is_not_among_the_results(closed: str) -> None:
    code = (
        "import subprocess\nfrom engines.descriptors import children_on_stderr\n"
        "with children_on_stderr(): child = subprocess.Popen('sleep 0.2; echo child', shell=True)\n"
        "child.wait(); print('ours')\n"
    )
    command = f"{shlex.quote(sys.executable)} -c {shlex.quote(code)}{closed}"
    done = subprocess.run(command, shell=True, capture_output=True, text=True)
    if not closed:
        assert (done.returncode, done.stdout, done.stderr) == (0, "ours\n", "child\n")
    assert "Traceback" not in done.stderr.split("child")[0] and "child" not in done.stdout
