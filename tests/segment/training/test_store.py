"""The arrays that are computed once: found again, and whole after a kill."""

from pathlib import Path

import numpy as np
import pytest

from segment.training.store import Store, key


def test_what_was_put_is_there_again(tmp_path: Path) -> None:
    store = Store(tmp_path / "deep" / "s", (2, 3), "float16")
    values = np.arange(30, dtype=np.float16).reshape(5, 2, 3)
    keys = [key("a", str(i)) for i in range(5)]
    store.put(keys[:2], values[:2])
    store.put(keys[2:], values[2:])
    again = Store(tmp_path / "deep" / "s", (2, 3), "float16")
    assert np.array_equal(again.get([keys[4], keys[0]]), values[[4, 0]])
    assert keys[3] in again and key("b") not in again
    with pytest.raises(KeyError):
        again.get([key("b")])


@pytest.mark.parametrize(("file", "cut"), [("s.bin", 5), ("s.keys", 40), ("s.keys", 1)])
def test_what_a_kill_left_half_written_is_cut_off(tmp_path: Path, file: str, cut: int) -> None:
    store = Store(tmp_path / "s", (4,), "uint8")
    keys = [key(str(i)) for i in range(3)]
    store.put(keys, np.arange(12, dtype=np.uint8).reshape(3, 4))
    path = tmp_path / file
    path.write_bytes(path.read_bytes()[:-cut])
    again = Store(tmp_path / "s", (4,), "uint8")
    left = [k for k in keys if k in again]
    assert left == keys[: len(left)] and 1 <= len(left) < 3
    again.put(keys[len(left) :], np.arange(12, dtype=np.uint8).reshape(3, 4)[len(left) :])
    whole = Store(tmp_path / "s", (4,), "uint8")
    assert np.array_equal(whole.get(keys), np.arange(12).reshape(3, 4))


def test_what_another_process_is_writing_does_not_disturb_a_reader(tmp_path: Path) -> None:
    store = Store(tmp_path / "s", (4,), "uint8")
    store.put([key("a")], np.arange(4, dtype=np.uint8)[None])
    with (tmp_path / "s.bin").open("ab") as f:
        f.write(b"\1\2\3")  # the most of another record
    assert np.array_equal(store.get([key("a")]), [[0, 1, 2, 3]])
