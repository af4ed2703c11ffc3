"""The run directory: nothing finished is lost, nothing is done twice, whatever instant it is killed at."""

import json
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from flawscribe.errors import SetupError, UserError
from flawscribe.inputs import open_run
from flawscribe.keys import key_of
from flawscribe.records import Failure, FailureKind, Row, Sample
from flawscribe.runs import Run
from flawscribe.stages import Counts, run_stage


def sample(name: str, prompt: str | None = None) -> Sample:
    return Sample(id=name, image=f"/pictures/{name}.png", prompt=prompt)


def new_run(folder: Path, *names: str) -> Run:
    run = Run.create(folder / "run")
    run.set_samples("m.jsonl", [sample(name) for name in names])
    return run


class Worker:
    """A stage that answers with the sample's id, fails those told to, and remembers what it was asked."""

    def __init__(self, *failing: str) -> None:
        self.failing = set(failing)
        self.asked: list[str] = []

    def __call__(self, pairs: Iterator[tuple[Sample, str]]) -> Iterator[Row]:
        for s, key in pairs:
            self.asked.append(s.id)
            if s.id in self.failing:
                failure = Failure(stage="describe", kind=FailureKind.TIMEOUT, message="no answer")
                yield Row(id=s.id, key=key, failure=failure)
            else:
                yield Row(id=s.id, key=key, record={"text": s.id})


def stage(run: Run, worker: Worker, settings: dict[str, Any] | None = None, **options: Any) -> Counts:
    settings = settings or {"model": "nano"}
    return run_stage(
        run, "describe", settings, lambda s: key_of(prompt=s.prompt, **settings), worker, **options
    )


def test_a_second_pass_does_only_what_is_missing_or_failed(tmp_path: Path) -> None:
    run = new_run(tmp_path, "a", "b", "c")
    assert stage(run, Worker("b")) == Counts(ok=2, failed=1)
    again = Worker()
    assert stage(run, again) == Counts(ok=1, kept=2)
    assert again.asked == ["b"]
    assert {i: r.ok for i, r in run.latest("describe").items()} == {"a": True, "b": True, "c": True}
    last = Worker()
    assert stage(run, last) == Counts(kept=3)
    assert last.asked == []


def test_a_sample_whose_content_changed_is_done_again(tmp_path: Path) -> None:
    run = new_run(tmp_path, "a", "b")
    stage(run, Worker())
    run.set_samples("m.jsonl", [sample("a"), sample("b", "a cat"), sample("c")])
    again = Worker()
    assert stage(run, again) == Counts(ok=2, kept=1)
    assert again.asked == ["c", "b"]  # what has no row at all comes first


def test_a_key_that_is_a_failure_is_a_row_and_reaches_no_worker(tmp_path: Path) -> None:
    run = new_run(tmp_path, "a", "b")
    gone = Failure(stage="describe", kind=FailureKind.MISSING_IMAGE, message="gone")
    worker = Worker()
    counts = run_stage(run, "describe", {}, lambda s: gone if s.id == "a" else "k", worker)
    assert counts == Counts(ok=1, failed=1)
    assert worker.asked == ["b"]
    assert run.latest("describe")["a"].failure == gone


def test_a_torn_last_line_is_as_if_never_written(tmp_path: Path) -> None:
    run = new_run(tmp_path, "a", "b", "c")
    stage(run, Worker())
    shard = next((run.path / "describe").glob("*.jsonl"))
    lines = shard.read_bytes().splitlines(keepends=True)
    for cut in (1, len(lines[2]) // 2, len(lines[2]) - 1):
        shard.write_bytes(b"".join(lines[:2]) + lines[2][:cut])
        assert list(run.latest("describe")) == ["a", "b"]
        find = run.lookup("describe")
        assert find("c") is None
        assert find("b") == run.latest("describe")["b"]
    again = Worker()
    assert stage(run, again) == Counts(ok=1, kept=2)
    assert again.asked == ["c"]
    assert list(run.latest("describe")) == ["a", "b", "c"]


def test_a_damaged_line_within_a_shard_is_told_with_its_place(tmp_path: Path) -> None:
    run = new_run(tmp_path, "a", "b")
    stage(run, Worker())
    shard = next((run.path / "describe").glob("*.jsonl"))
    shard.write_bytes(b"garbage\n" + shard.read_bytes())
    with pytest.raises(UserError, match=r"0001\.jsonl:1 is damaged"):
        stage(run, Worker())


def test_killing_it_loses_no_finished_row_and_leaves_no_duplicate(tmp_path: Path) -> None:
    names = [f"{i:03d}" for i in range(30)]
    run = new_run(tmp_path, *names)
    script = f"""
        import os, signal
        from flawscribe.records import Row
        from flawscribe.keys import key_of
        from flawscribe.runs import Run
        from flawscribe.stages import run_stage
        def process(pairs):
            for n, (s, key) in enumerate(pairs):
                if n == 7:
                    os.kill(os.getpid(), signal.SIGKILL)
                yield Row(id=s.id, key=key, record={{"text": s.id}})
        settings = {{"model": "nano"}}
        run_stage(Run.open({str(run.path)!r}), "describe", settings,
                  lambda s: key_of(prompt=s.prompt, **settings), process)
    """
    done: list[int] = []
    for _ in range(2):
        ended = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], stderr=subprocess.DEVNULL)
        assert ended.returncode == -signal.SIGKILL
        done.append(len(run.latest("describe")))
    assert done == [7, 14]
    again = Worker()
    assert stage(run, again) == Counts(ok=16, kept=14)
    assert again.asked == names[14:]
    assert [row.id for row in run.rows("describe")] == names


def test_other_settings_are_refused_and_named_until_redo(tmp_path: Path) -> None:
    run = new_run(tmp_path, "a", "b")
    stage(run, Worker())
    with pytest.raises(UserError, match=r"model was 'nano' and is now 'other'.*--redo"):
        stage(run, Worker(), {"model": "other"})
    assert run.settings("describe") == {"model": "nano"}
    assert stage(run, Worker(), {"model": "other"}, redo=True) == Counts(ok=2)
    assert run.settings("describe") == {"model": "other"}
    assert len(list(run.rows("describe"))) == 2


def test_a_stage_without_a_good_row_takes_new_settings(tmp_path: Path) -> None:
    run = new_run(tmp_path, "a")
    stage(run, Worker("a"))
    assert stage(run, Worker(), {"model": "other"}) == Counts(ok=1)


def test_a_second_process_is_refused_while_one_works(tmp_path: Path) -> None:
    run = new_run(tmp_path, "a")
    with run.lock(), pytest.raises(UserError, match="another process"):
        stage(Run.open(run.path), Worker())
    assert stage(run, Worker()) == Counts(ok=1)


def test_a_run_that_is_only_being_made_is_not_made_twice(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    with Run(tmp_path / "run").lock(), pytest.raises(UserError, match="another process"):
        Run.create(tmp_path / "run")
    assert Run.create(tmp_path / "run").info()["stages"] == {}


def test_many_at_once_make_one_run(tmp_path: Path) -> None:
    def make(folder: Path) -> Run | UserError:
        try:
            return Run.create(folder)
        except UserError as e:
            return e

    with ThreadPoolExecutor(8) as pool:
        for n in range(25):
            made = list(pool.map(make, [tmp_path / str(n)] * 8))
            assert any(isinstance(m, Run) for m in made)
            assert all("another process" in str(m) for m in made if not isinstance(m, Run))
            assert Run.open(tmp_path / str(n)).info()["stages"] == {}


def test_who_holds_a_run_may_take_it_again_and_keeps_it(tmp_path: Path) -> None:
    run = new_run(tmp_path, "a")
    with run.lock():
        assert stage(run, Worker()) == Counts(ok=1)
        with pytest.raises(UserError, match="another process"):
            stage(Run.open(run.path), Worker())


def test_the_parquet_file_holds_the_rows_that_count(tmp_path: Path) -> None:
    run = new_run(tmp_path, "a", "b")
    stage(run, Worker("a"))
    (run.path / "describe.parquet").unlink()
    stage(run, Worker("a"))
    rows = pq.read_table(run.path / "describe.parquet").to_pylist()
    assert [(r["id"], r["ok"]) for r in sorted(rows, key=lambda r: r["id"])] == [("a", False), ("b", True)]
    assert json.loads(next(r["failure"] for r in rows if not r["ok"]))["kind"] == "timeout"
    assert not list(run.path.glob("*.tmp"))


def test_bad_manifest_rows_are_kept_as_failures(tmp_path: Path) -> None:
    failure = Failure(stage="samples", kind=FailureKind.BAD_ROW, message="m.jsonl:2: id is missing")
    run = Run.create(tmp_path / "run")
    assert run.set_samples("m.jsonl", [sample("a"), ("m.jsonl:2", failure)]) == 2
    assert [s.id for s in run.samples()] == ["a"]
    assert run.latest("samples")["m.jsonl:2"].failure == failure


def test_what_is_no_run_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("precious")
    with pytest.raises(UserError, match="not empty and not a run"):
        Run.create(tmp_path / "mine")
    with pytest.raises(UserError, match="not a run"):
        Run.open(tmp_path / "mine")
    (tmp_path / "mine" / "run.json").write_text('{"schema": 99, "stages": {}}')
    with pytest.raises(UserError, match="schema 99"):
        Run.open(tmp_path / "mine")
    (tmp_path / "mine" / "run.json").write_text("[]")
    with pytest.raises(UserError, match="not a run description"):
        Run.open(tmp_path / "mine")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_no_permission_is_a_matter_of_set_up(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(SetupError, match="cannot write"):
        Run.create(tmp_path / "run")


def test_a_run_that_is_a_file_is_a_matter_of_set_up(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="file"):
        Run.create(tmp_path / "file" / "run")


def test_the_key_depends_on_what_is_given_and_not_on_its_order() -> None:
    assert key_of(a=1, b="ü") == key_of(b="ü", a=1)
    assert len({key_of(a=1), key_of(a=2), key_of(a="1"), key_of(b=1), key_of(a=None)}) == 5


# --- what a stage verb is given ---


def manifest(folder: Path, *names: str) -> str:
    path = folder / "m.jsonl"
    path.write_text("".join(json.dumps({"id": n, "image": f"{n}.png"}) + "\n" for n in names))
    return str(path)


def test_a_manifest_becomes_a_run_and_is_followed_when_it_grows(tmp_path: Path) -> None:
    run = open_run(manifest(tmp_path, "a"), str(tmp_path / "run"))
    assert [s.image for s in run.samples()] == [str(tmp_path / "a.png")]
    grown = open_run(manifest(tmp_path, "a", "b"), str(tmp_path / "run"))
    assert [s.id for s in grown.samples()] == ["a", "b"]
    assert [s.id for s in open_run(str(run.path), None).samples()] == ["a", "b"]


def test_input_and_out_that_do_not_fit_are_told_and_leave_nothing_behind(tmp_path: Path) -> None:
    path, out = manifest(tmp_path, "a"), str(tmp_path / "run")
    with pytest.raises(UserError, match="-o"):
        open_run(path, None)
    for wrong in (str(tmp_path / "none.jsonl"), manifest(tmp_path)):
        with pytest.raises(UserError):
            open_run(wrong, out)
        assert not (tmp_path / "run").exists()
    open_run(manifest(tmp_path, "a"), out)
    with pytest.raises(UserError, match="already"):
        open_run(out, str(tmp_path / "other"))
    (tmp_path / "empty").mkdir()
    Run.create(tmp_path / "empty")
    with pytest.raises(UserError, match="no images"):
        open_run(str(tmp_path / "empty"), None)


def test_passwords_in_addresses_are_not_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        sys, "argv", ["flawscribe", "run", "x", "--base-url", "http://me:hunter2@127.0.0.1:1/v1"]
    )
    run = Run.create(tmp_path / "run")
    text = (run.path / "run.json").read_text()
    assert "hunter2" not in text
    assert "http://***@127.0.0.1:1/v1" in text


def test_parquet_holds_the_row_that_counts_for_each_id(tmp_path: Path) -> None:
    run = new_run(tmp_path, "a", "b")
    stage(run, Worker("b"))
    stage(run, Worker())
    rows = {row["id"]: row for row in pq.read_table(run.path / "describe.parquet").to_pylist()}
    assert {name: row["ok"] for name, row in rows.items()} == {"a": True, "b": True}
    assert json.loads(rows["b"]["record"]) == {"text": "b"}
    assert len(list((run.path / "describe").glob("*.jsonl"))) == 2
    stage(run, Worker())
    assert len(list((run.path / "describe").glob("*.jsonl"))) == 2  # nothing to do leaves no empty shard


def test_an_emptied_manifest_does_not_empty_the_run(tmp_path: Path) -> None:
    run = new_run(tmp_path, "a", "b")
    with pytest.raises(UserError, match="holds no images"):
        run.set_samples("m.jsonl", [])
    assert [s.id for s in run.samples()] == ["a", "b"]


def test_secrets_in_addresses_are_not_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["flawscribe", "http://u:a@hunter2@h/v1", "http://h/v1?api_key=hunter3"])
    text = (Run.create(tmp_path / "run").path / "run.json").read_text()
    assert "hunter" not in text


@pytest.mark.parametrize("stages", ["[]", '{"describe": null}', '{"describe": {"settings": 3}}'])
def test_a_damaged_run_json_is_one_line(tmp_path: Path, stages: str) -> None:
    run = new_run(tmp_path, "a")
    (run.path / "run.json").write_text('{"schema": 1, "stages": ' + stages + "}")
    with pytest.raises(UserError, match="not a run description"):
        Run.open(run.path).begin("describe", {})
