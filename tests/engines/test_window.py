"""How the window of requests in flight follows what a server bears."""

import pytest

from engines import window as module
from engines.window import FIRST, PAUSE, Window


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    return now


def test_a_local_engine_has_its_whole_window_at_once() -> None:
    window = Window(64, adapts=False)
    window.refused()
    assert window.size == 64


def test_it_doubles_a_round_until_refused_then_halves_and_creeps(clock: list[float]) -> None:
    window = Window(100, adapts=True)
    assert window.size == FIRST
    for _ in range(FIRST):
        window.succeeded()
    assert window.size == 2 * FIRST
    for _ in range(5):  # what was sent together is refused together, and counts once
        window.refused()
    assert window.size == FIRST
    for _ in range(FIRST + 1):
        window.succeeded()
    assert window.size == FIRST + 1
    clock[0] += 2 * PAUSE
    window.refused()
    assert window.size == (FIRST + 1) // 2


def test_it_stays_within_its_bounds(clock: list[float]) -> None:
    window = Window(10, adapts=True)
    for _ in range(100):
        window.succeeded()
    assert window.size == 10
    for _ in range(20):
        clock[0] += 2 * PAUSE
        window.refused()
    assert window.size == 1
    assert Window(2, adapts=True).size == 2
