"""Ray, quietly: a cluster of this machine for a while, or one that is there; and Ray Data over it."""

import logging
import os
import re
import signal
import socket
import threading
import warnings
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from flawscribe.errors import SetupError, UserError, one_line

LOCAL = "local"
"""In the place of an address: a cluster of this machine alone, for as long as the command takes."""
_ADDRESS = re.compile(r"auto|[\w.-]+:\d{1,5}|\[[0-9a-fA-F:]+\]:\d{1,5}")
_QUIET = {  # read when Ray is imported
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_DATA_DISABLE_PROGRESS_BARS": "1",
    "RAY_BACKEND_LOG_LEVEL": "fatal",
}
_LOOPBACK = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}  # Ray's own word for: nobody but this machine
_STORE = 100_000_000  # bytes of shared memory for a local cluster: little goes through it


def check_address(address: str) -> None:
    """UserError for what is no address of a cluster."""
    if address != LOCAL and not _ADDRESS.fullmatch(address):
        raise UserError(f"--cluster takes nothing, auto or HOST:PORT of a Ray cluster, not {address!r}")


class There:
    """The cluster we are connected to; with `gpus`, one where workers take a GPU each if it has any."""

    def __init__(self, gpus: bool) -> None:
        import ray

        self.gpus = gpus and ray.cluster_resources().get("GPU", 0) >= 1

    def room(self) -> int:
        """Workers that the machines alive now could hold: one a CPU, or one a CPU and GPU."""
        import ray

        of = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        rooms = (min(r.get("CPU", 0), r.get("GPU", 0)) if self.gpus else r.get("CPU", 0) for r in of)
        return sum(map(int, rooms))


@contextmanager
def cluster(address: str, processes: int, gpus: bool) -> Iterator[There]:
    """A connection while the block lasts. A local cluster has room for so many processes without a GPU.

    Raises SetupError where there is none to reach or to start.
    """
    for name, value in (_QUIET | (_LOOPBACK if address == LOCAL else {})).items():
        os.environ.setdefault(name, value)
    _check_reachable(address)
    import ray

    main = threading.current_thread() is threading.main_thread()
    on_terminate = signal.getsignal(signal.SIGTERM)
    common: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": False}
    cores = os.cpu_count() or 1
    try:
        if address == LOCAL:
            with _silence(), _environment(OMP_NUM_THREADS=str(max(1, cores // processes))):
                ray.init(
                    "local",
                    num_cpus=max(processes, cores),
                    include_dashboard=False,
                    object_store_memory=_STORE,
                    _node_ip_address="127.0.0.1",
                    **common,
                )
        else:
            with _silence():
                ray.init(address, **common)
    except Exception as e:  # it starts many programs, each of which may fail in its own way
        ray.shutdown()
        what = "no Ray cluster could be started here" if address == LOCAL else f"no Ray cluster at {address}"
        raise SetupError(f"{what}: {one_line(e)}") from e
    finally:
        if main:
            signal.signal(signal.SIGTERM, on_terminate)  # Ray puts its own there
    try:
        yield There(gpus)
    finally:
        ray.shutdown()


def _check_reachable(address: str) -> None:
    """SetupError where nobody listens at HOST:PORT: Ray itself would try for minutes, without a word."""
    host, colon, port = address.rpartition(":")
    if not colon:
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), 10).close()
    except OSError as e:
        raise SetupError(f"no Ray cluster at {address}: {e.strerror or e}") from e


@contextmanager
def _silence() -> Iterator[None]:
    """Keep Ray's own programs from writing to this one's stderr while they start; its exceptions tell enough."""
    stderr, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
        os.close(nowhere)


@contextmanager
def _environment(**variables: str) -> Iterator[None]:
    """Set what is not set already, for the processes that are started in the block."""
    new = {name: value for name, value in variables.items() if name not in os.environ}
    os.environ.update(new)
    try:
        yield
    finally:
        for name in new:
            del os.environ[name]


class Mapped:
    """`worker(*arguments)` in `count` processes, called with each of the items; runs in a thread of its own.

    Ray starts a process that died again, and gives it its item once more.
    """

    def __init__(
        self,
        items: Sequence[dict[str, Any]],
        worker: type,
        arguments: tuple[Any, ...],
        count: int,
        there: There,
    ) -> None:
        import ray.data

        _hush()
        data = ray.data.from_items(list(items), override_num_blocks=len(items)).map_batches(
            worker,
            fn_constructor_args=arguments,
            batch_size=1,
            compute=ray.data.ActorPoolStrategy(size=min(count, len(items)), max_tasks_in_flight_per_actor=1),
            num_cpus=1,
            num_gpus=int(there.gpus),
        )
        self._results: deque[dict[str, Any]] = deque()
        self.error: BaseException | None = None
        self._thread = threading.Thread(target=self._consume, args=(data,), daemon=True)
        self._thread.start()

    def _consume(self, data: Any) -> None:
        try:
            for row in data.iter_rows():
                self._results.append(row)
        except BaseException as e:  # told by whoever waits
            self.error = e

    def take(self) -> Iterator[dict[str, Any]]:
        """The results that have come and were not taken."""
        while self._results:
            yield self._results.popleft()

    def wait(self, seconds: float) -> bool:
        """Whether all is done, or nothing more can be, after so many seconds at most."""
        self._thread.join(seconds)
        return not self._thread.is_alive()


def _hush() -> None:
    """Keep Ray Data from telling of itself: progress is ours to show."""
    import ray.data

    warnings.filterwarnings("ignore", module=r"ray\.")
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = context.print_on_execution_start = False
    for handler in logging.getLogger("ray.data").handlers:
        if isinstance(handler, logging.StreamHandler):
            handler.setLevel(logging.CRITICAL)
