"""The guard leaves nothing of what it started behind, however its holder ends."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from engines import guard

PARENT = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", {child!r}, sys.argv[1]])
{then}
"""
CHILD = "import sys, os, time; open(sys.argv[1], 'w').write(str(os.getpid())); time.sleep(100)"


def guarded(pid_file: Path, then: str) -> "subprocess.Popen[bytes]":
    """A guard over a process with a child of its own, whose id the file gets."""
    code = PARENT.format(child=CHILD, then=then)
    command = [sys.executable, guard.__file__, sys.executable, "-c", code, str(pid_file)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)


def grandchild(pid_file: Path) -> int:
    deadline = time.monotonic() + 20
    while not (pid_file.is_file() and pid_file.read_text()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return int(pid_file.read_text())


def gone(pid: int, seconds: float = 20) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return True
        if state == "Z":
            return True
        time.sleep(0.05)
    return False


pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")


def test_letting_go_ends_the_whole_group(tmp_path: Path) -> None:
    held = guarded(tmp_path / "pid", "time.sleep(100)")
    pid = grandchild(tmp_path / "pid")
    assert held.stdin
    held.stdin.close()
    assert held.wait(20) == 128 + signal.SIGTERM
    assert gone(pid)


def test_so_does_the_holders_sudden_death(tmp_path: Path) -> None:
    code = PARENT.format(child=CHILD, then="time.sleep(100)")
    holder = f"""
import subprocess, sys, time
held = subprocess.Popen([sys.executable, {guard.__file__!r}, sys.executable, "-c", {code!r}, {str(tmp_path / "pid")!r}],
                        stdin=subprocess.PIPE, start_new_session=True)
time.sleep(100)
"""
    process = subprocess.Popen([sys.executable, "-c", holder])
    pid = grandchild(tmp_path / "pid")
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert gone(pid)


def test_what_a_command_leaves_ends_with_it_and_its_code_is_told(tmp_path: Path) -> None:
    held = guarded(tmp_path / "pid", "time.sleep(1); sys.exit(7)")
    pid = grandchild(tmp_path / "pid")
    assert held.wait(20) == 7
    assert gone(pid)
    assert held.stdin
    held.stdin.close()
