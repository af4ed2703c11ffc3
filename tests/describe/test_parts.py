"""What many processes are handed, and what is refused before any is started."""

from pathlib import Path

import pytest
from recorded import FALSE, make_run, recording

from describe.parts import left
from describe.stage import describe_run, describing
from flawscribe.errors import UserError


def test_parts_cover_what_is_left_and_nothing_else(tmp_path: Path) -> None:
    names = [f"s{i:03d}" for i in range(300)]
    run = make_run(tmp_path, names)
    file = recording(tmp_path, **dict.fromkeys(names[40:64] + names[128:192], FALSE))
    describe_run(run, engine="replay", replay=file, quiet=True)
    found = left(run, describing(engine="replay", replay=file), redo=False)
    assert (found.total, found.kept, found.samples) == (300, 88, 212)
    todo = []
    for workers in (1, 3):
        parts = found.parts(workers)
        assert [part.number for part in parts] == list(range(len(parts)))
        todo = [
            sample.id
            for part in parts
            for sample, done in zip(run.samples_between(part.start, part.end), part.done, strict=True)
            if sample and not done
        ]
        assert todo == [name for name in names if name not in {*names[40:64], *names[128:192]}]
    assert left(run, describing(engine="replay", replay=file), redo=True).samples == 300


def test_many_workers_need_a_cluster(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    for wrong in (
        {"workers": 2},
        {"base_url": "http://a/v1,http://b/v1"},
        {"cluster": "no address"},
        {"cluster": "local", "from_batch": ["x"]},
    ):
        with pytest.raises(UserError):
            describe_run(run, model="m", **wrong)  # type: ignore[arg-type]
