"""What of its picture a row's model was shown, how it got there, and that the row says so."""

import io
import json
from base64 import b64decode
from pathlib import Path
from typing import Any

import pytest
from fake_server import completion, error, serving
from PIL import Image
from recorded import FALSE, make_run

import flawscribe.fetched
from describe.stage import describe_run, emit_batch
from flawscribe.errors import SetupError, UserError
from flawscribe.fetch import Rules
from flawscribe.records import Sample
from flawscribe.runs import Run
from segment.stage import segment_run


def url_of(body: dict[str, Any]) -> str:
    return str(body["messages"][-1]["content"][0]["image_url"]["url"])


def picture_of(body: dict[str, Any]) -> Image.Image:
    return Image.open(io.BytesIO(b64decode(url_of(body).partition(",")[2])))


def one(folder: Path, name: str, image: Image.Image, **options: Any) -> Run:
    image.save(folder / name, **options)
    run = Run.create(folder / "run")
    run.set_samples("test", [Sample(id="a", image=str(folder / name))])
    return run


def told(run: Run) -> str | None:
    row = run.latest("describe")["a"]
    assert row.record is not None, row.failure
    return row.record["steps"].get("picture")


def test_a_limit_of_pixels_is_kept_and_recorded(tmp_path: Path) -> None:
    run = one(tmp_path, "a.png", Image.new("RGB", (40, 20)))
    with serving(lambda body, n: (200, completion(FALSE))) as server:
        describe_run(run, model="m", base_url=server.url, max_pixels=200)
        assert picture_of(server.bodies[0]).size == (20, 10)
        assert told(run) == "scaled from 40 x 20 to 20 x 10; sent as PNG"
        assert run.settings("describe")["max_pixels"] == 200
        with pytest.raises(UserError, match="max_pixels was 200 and is now None"):
            describe_run(run, model="m", base_url=server.url)
        describe_run(run, model="m", base_url=server.url, redo=True)
    assert url_of(server.bodies[1]).startswith("data:image/png")
    assert told(run) is None


@pytest.mark.parametrize("protocol", ["staged", "zoom"])
def test_it_holds_for_every_call_of_a_protocol(tmp_path: Path, protocol: str) -> None:
    run = one(tmp_path, "a.png", Image.new("RGB", (200, 100)))
    answer = '{"Findings": [], "Defective": false}' if protocol == "staged" else FALSE
    with serving(lambda body, n: (200, completion(answer))) as server:
        describe_run(run, model="m", base_url=server.url, protocol=protocol, max_pixels=5000)
    assert server.bodies
    for body in server.bodies:
        size = picture_of(body).size
        assert size[0] * size[1] <= 5000


@pytest.mark.parametrize(("boxes", "box"), [("pixels", [5, 0, 10, 5]), ("0-1000", [250, 0, 500, 500])])
def test_boxes_are_those_of_the_picture_itself(tmp_path: Path, boxes: str, box: list[int]) -> None:
    run = one(tmp_path, "a.png", Image.new("RGB", (80, 40)))
    finding = {"What": "Six fingers", "Where": "left", "Severity": "severe", "Box": box}
    answer = json.dumps({"Defective": True, "Findings": [finding]})
    with serving(lambda body, n: (200, completion(answer))) as server:
        describe_run(
            run, model="m", base_url=server.url, protocol="grounded", boxes=boxes, max_pixels=200, quiet=True
        )
    assert picture_of(server.bodies[0]).size == (20, 10)
    row = run.latest("describe")["a"]
    assert row.record is not None, row.failure
    assert row.record["findings"][0]["box"] == [20, 0, 40, 20]


def test_animated_pictures_and_those_drawn_anew_are_told(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (8, 8), color) for color in ("red", "blue")]
    run = one(tmp_path, "a.png", frames[0], save_all=True, append_images=frames[1:])
    with serving(lambda body, n: (200, completion(FALSE))) as server:
        describe_run(run, model="m", base_url=server.url)
    assert told(run) == "animated: its first frame was looked at; sent as PNG"


def test_media_file_names_the_file_where_it_goes_as_it_is(tmp_path: Path) -> None:
    folder = tmp_path / "a b%20#?ä"
    folder.mkdir()
    plain, drawn = folder / "ü.png", folder / "b.png"
    Image.new("RGB", (8, 8)).save(plain)
    Image.new("RGBA", (8, 8), (0, 0, 0, 9)).save(drawn)
    run = Run.create(tmp_path / "run")
    run.set_samples("test", [Sample(id="a", image=str(plain)), Sample(id="b", image=str(drawn))])
    heard = list[str]()
    with serving(lambda body, n: (200, completion(FALSE))) as server:
        describe_run(run, model="m", base_url=server.url, media="file", tell=heard.append)
        first, second = map(url_of, server.bodies)
        assert first == plain.as_uri() and "%20b%2520%23%3F%C3%A4/%C3%BC.png" in first
        assert second.startswith("data:image/png;base64,")
        describe_run(run, model="m", base_url=server.url, media="file", protocol="zoom", redo=True)
    assert [told(run), run.latest("describe")["b"].record["steps"]["picture"]] == [  # type: ignore[index]
        None,
        "transparency on white; sent as PNG",
    ]
    assert "images (by their paths) and prompts are sent to" in heard[0]
    files, _ = emit_batch(run, tmp_path / "batch.jsonl", media="file", model="other")
    assert url_of(json.loads(files[0].read_text().splitlines()[0])["body"]) == plain.as_uri()


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (400, "Cannot load local files without `--allowed-local-media-path`."),
        (500, "The file path /a.png must be a subpath of `--allowed-local-media-path /data`."),
        (400, "Invalid image URL: expected a base64-encoded data URL, got file:///..."),
        (422, "The URL must be either a HTTP or data URL."),
    ],
)
def test_a_server_that_opens_no_files_ends_the_stage(tmp_path: Path, status: int, said: str) -> None:
    run = make_run(tmp_path, "ab")
    with serving(lambda body, n: (status, error(said))) as server:
        with pytest.raises(SetupError, match="--allowed-local-media-path FOLDER") as caught:
            describe_run(run, model="m", base_url=server.url, media="file")
        assert len(server.bodies) == 1
    assert "\n" not in str(caught.value) and str(tmp_path) not in str(caught.value)


def test_media_file_is_for_servers(tmp_path: Path) -> None:
    run = make_run(tmp_path, "a")
    with pytest.raises(UserError, match="--media file is for servers"):
        describe_run(run, engine="transformers", media="file")
    with pytest.raises(UserError, match="--media must be data or file"):
        describe_run(run, base_url="http://127.0.0.1:9/v1", model="m", media="ftp")


@pytest.fixture
def web_pictures(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Addresses under http://pictures.example lead to drawn pictures; the list of those asked for."""
    asked: list[str] = []

    def fetch(url: str, target: Path, rules: Rules | None) -> None:
        from flawscribe.images import ImageFailure
        from flawscribe.records import FailureKind

        asked.append(url)
        if "gone" in url:
            raise ImageFailure(FailureKind.MISSING_IMAGE, "http://pictures.example/gone: the server says 404")
        Image.new("RGB", (16, 16), (len(url), 0, 0)).save(target, "PNG")

    monkeypatch.setattr(flawscribe.fetched, "fetch", fetch)
    return asked


def test_pictures_at_addresses(tmp_path: Path, web_pictures: list[str]) -> None:
    names = ["x1", "gone", "x1", "x22", "gone", *["x1"] * 200, "local"]
    Image.new("RGB", (9, 9)).save(tmp_path / "local.png")
    places = {"local": str(tmp_path / "local.png")}
    run = Run.create(tmp_path / "run")
    run.set_samples(
        "test",
        [
            Sample(id=f"{i} {name}", image=places.get(name, f"http://pictures.example/{name}?sig=secret"))
            for i, name in enumerate(names)
        ],
    )
    with serving(lambda body, n: (200, completion(FALSE))) as server:
        refused = describe_run(run, model="m", base_url=server.url)
        assert (refused.ok, refused.failed) == (1, len(names) - 1) and not web_pictures
        row = run.latest("describe")["0 x1"]
        assert row.failure and "--allow-urls" in row.failure.message
        counts = describe_run(run, model="m", base_url=server.url, allow_urls=True)
        assert (counts.ok, counts.failed, counts.kept) == (len(names) - 3, 2, 1)
        assert sorted(set(web_pictures)) == [
            f"http://pictures.example/{n}?sig=secret" for n in ("gone", "x1", "x22")
        ]
        assert web_pictures.count("http://pictures.example/x1?sig=secret") == 1
        rows = run.latest("describe")
        assert rows["1 gone"].failure and rows["1 gone"].failure.kind == "missing_image"
        assert rows["0 x1"].key == rows["2 x1"].key != rows["3 x22"].key
        assert "secret" not in (tmp_path / "run/describe/0002.jsonl").read_text()
        # Neither is fetched again, nor are the pictures lost to the other stages, with the flag or without.
        web_pictures.clear()
        again = describe_run(run, model="m", base_url=server.url)
        assert (again.ok, again.kept) == (0, len(names) - 2) and not web_pictures
    assert len(list((tmp_path / "run/pictures").iterdir())) == 2
    paths = {Path(sample.image).parent.name for sample in run.samples() if sample.image.startswith("/")}
    assert paths == {"pictures", tmp_path.name}


def test_other_stages_see_the_fetched_file(tmp_path: Path, web_pictures: list[str]) -> None:
    run = Run.create(tmp_path / "run")
    run.set_samples("test", [Sample(id="a", image="https://pictures.example/a")])
    assert segment_run(run, allow_urls=True, quiet=True).ok == 1
    with serving(lambda body, n: (200, completion(FALSE))) as server:
        assert describe_run(run, model="m", base_url=server.url).ok == 1
    assert len(web_pictures) == 1
    assert emit_batch(run, tmp_path / "b.jsonl", allow_urls=True, model="other")[1] == 1


def test_our_own_disk_that_is_full_is_no_fault_of_a_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(url: str, target: Path, rules: Rules | None) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(flawscribe.fetched, "fetch", full)
    run = Run.create(tmp_path / "run")
    run.set_samples("test", [Sample(id="a", image="https://pictures.example/a")])
    with (
        serving(lambda body, n: (200, completion(FALSE))) as server,
        pytest.raises(OSError, match="No space"),
    ):
        describe_run(run, model="m", base_url=server.url, allow_urls=True)
