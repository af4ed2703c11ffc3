"""Runs a command in a process group of its own, and leaves nothing of the group behind.

Started as a script (`python guard.py COMMAND…`) with a pipe as standard input. When the pipe closes, because whoever
holds its other end lets go, dies or is killed, the group is asked to end (SIGTERM) and after GRACE seconds made to.
When the command ends by itself, so does what it left. Only the standard library is used: it starts at once.
"""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time

GRACE = 20.0  # seconds for what is in flight, and for GPU memory to be handed back
_LEFTOVERS = 5.0  # seconds for the command's own children once it has ended


def _signal(group: int, number: int) -> bool:
    """Whether the group still has a member (signal 0 only asks)."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)
        return True
    return False


def _when_released(group: int) -> None:
    while os.read(0, 1024):
        pass
    _signal(group, signal.SIGTERM)
    time.sleep(GRACE)
    _signal(group, signal.SIGKILL)


def main() -> None:
    """Run the command of the arguments; exit with its code, 128 + n where signal n ended it."""
    child = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL, start_new_session=True)
    threading.Thread(target=_when_released, args=(child.pid,), daemon=True).start()
    code = child.wait()
    deadline = time.monotonic() + _LEFTOVERS
    _signal(child.pid, signal.SIGTERM)
    while _signal(child.pid, 0) and time.monotonic() < deadline:
        time.sleep(0.1)
    _signal(child.pid, signal.SIGKILL)
    os._exit(code if code >= 0 else 128 - code)  # the thread still reads


if __name__ == "__main__":
    main()
