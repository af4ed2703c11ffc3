import base64
import hashlib
import io
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from handmade import HOSTILE, NO, YES, Builder, box, failure, prediction, says, verdicts
from PIL import Image

from flawscribe.records import Description, Finding, Golden
from flawscribe.runs import Run
from report.cards import choose
from report.claims import claim_lines
from report.html import flat, write_report
from report.join import join
from report.pictures import SIDE, overlay

VOID = {"meta", "img", "input", "br"}


class Page(HTMLParser):
    """Every element with its attributes, and the text outside scripts and styles."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.inline: dict[str, list[str]] = {"script": [], "style": []}
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"</{tag}> closes nothing of its own"

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in self.inline:
            self.inline[self.open[-1]].append(data)
        else:
            self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def page(builder: Builder, **options: int) -> tuple[str, Page]:
    text = write_report(builder.run(), **options).read_text(encoding="utf-8")
    parsed = Page(text)
    assert parsed.open == []
    return text, parsed


@pytest.fixture(scope="module")
def small_page(small_run: Run, small_metrics: dict) -> tuple[str, Page]:
    text = write_report(small_run, metrics=small_metrics).read_text(encoding="utf-8")
    return text, Page(text)


def test_the_page_is_whole(small_page: tuple[str, Page]) -> None:
    _, parsed = small_page
    cards = parsed.all("article")
    assert len(cards) == 10
    assert {card["data-outcome"] for card in cards} >= {
        "true-positive",
        "false-positive",
        "miss",
        "true-negative",
        "failed",
    }
    assert (
        "0.778" in parsed.text and "took too long" in parsed.text and "The clock has no hands." in parsed.text
    )
    assert "nano was trained on drawn scenes" in parsed.text
    assert "not an LLM" in parsed.text
    assert "3 of 10 images failed" in parsed.text
    assert all("alt" in image for image in parsed.all("img"))


def test_the_page_is_self_contained(small_page: tuple[str, Page]) -> None:
    text, parsed = small_page
    for tag, attributes in parsed.elements:
        assert tag not in {"link", "iframe", "base", "object", "embed", "form"}
        for name, value in attributes.items():
            assert not name.startswith("on")
            if name in {"src", "href", "srcset", "action", "data", "xlink:href"}:
                assert value is not None and value.startswith(("data:image/", "#"))
    assert not re.search(r"url\(|@import", "".join(parsed.inline["style"]))
    assert "http://" not in text and "https://" not in text


def test_the_policy_allows_exactly_our_script_and_style(small_page: tuple[str, Page]) -> None:
    _, parsed = small_page
    policy = next(
        m["content"] for m in parsed.all("meta") if m.get("http-equiv") == "Content-Security-Policy"
    )
    assert policy is not None and policy.startswith("default-src 'none'; img-src data:;")
    for tag in ("script", "style"):
        (inline,) = parsed.inline[tag]
        digest = base64.b64encode(hashlib.sha256(inline.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    assert not any("style" in attributes for _, attributes in parsed.elements)


def test_hostile_text_stays_text(build: Builder) -> None:
    build.settings["describe"] = {"model": "<script>alert('model')</script>", "</dd><b>": "{{7*7}}"}
    build.add("plain", YES, says(True, 0.5), prediction(None), verdicts(1, 1))
    _, harmless = page(build)
    for i, text in enumerate(HOSTILE):
        golden = Golden(defective=True, descriptions=(text,), mask=text)
        described = Description(defective=True, text=text)
        details = {"claims": {"reference": [{"text": text}], "description": []}, "misses": [0]}
        build.add(
            f"{i} {text}",
            golden,
            described,
            prediction(None),
            verdicts(1, 1, **details),
            prompt=text,
            generator=text,
        )
    build.add("failed", None, failure("describe", message=HOSTILE[0]), prediction(None))
    build.bad_row(HOSTILE[1])
    text, parsed = page(build)
    allowed = {tag for tag, _ in harmless.elements} | {"details", "summary", "ul", "li", "p"}
    assert {tag for tag, _ in parsed.elements} <= allowed
    assert len(parsed.all("script")) == len(parsed.inline["script"]) == 1
    assert parsed.inline["script"] == harmless.inline["script"]
    for _, attributes in parsed.elements:
        assert not any(name.startswith("on") for name in attributes)
    for hostile in HOSTILE[:24]:
        assert hostile in parsed.text
    assert not re.search("[\x00\x1b\u202e\u2066\u200b\u2028]", text)
    assert "[U+202E]" in parsed.text and "[U+0000]" in parsed.text
    assert "16,000 more characters" in parsed.text


def test_a_hostile_picture_is_drawn_anew_or_named(build: Builder) -> None:
    build.add("png with a tail", None, says(True))
    picture = build.folder / "pictures" / "0.png"
    picture.write_bytes(picture.read_bytes() + b"<script>alert('tail')</script>")
    build.add("no picture", None, says(True))
    (build.folder / "pictures" / "1.png").write_bytes(b"<svg onload=alert(1)>")
    build.add("gone", None, says(True), image=str(build.folder / "gone.png"))
    build.add("folder", None, says(True), image=str(build.folder))
    build.add("large", None, says(True))
    Image.new("RGB", (3000, 1000)).save(build.folder / "pictures" / "4.png")
    _, parsed = page(build)
    images = [i["src"] for i in parsed.all("img")]
    assert len(images) == 2 and parsed.text.count("No picture:") == 3
    for uri in images:
        assert uri is not None and uri.startswith("data:image/webp;base64,")
        content = base64.b64decode(uri.split(",")[1])
        assert b"script" not in content
        assert max(Image.open(io.BytesIO(content)).size) <= SIDE


def test_a_cut_gallery_shows_every_outcome_and_says_so(build: Builder) -> None:
    for i in range(60):
        build.add(f"right {i}", NO, says(False, 0.1))
    build.add("miss", YES, says(False, 0.2))
    build.add("lost", YES, failure("describe"))
    _, parsed = page(build, gallery=10)
    shown = [card["data-outcome"] for card in parsed.all("article")]
    assert len(shown) == 10 and {"miss", "failed", "true-negative"} == set(shown)
    assert "10 of 62 images" in parsed.text
    run = build.run()
    assert [j.id for j in choose(join(run), 10).chosen()] == [j.id for j in choose(join(run), 10).chosen()]


def test_no_gallery_and_no_samples(build: Builder) -> None:
    build.add("a", NO, says(False, 0.1))
    _, parsed = page(build, gallery=0)
    assert not parsed.all("article")


def test_boxes_of_findings_are_drawn(build: Builder) -> None:
    boxed = Finding(text="Six fingers.", box=(10.0, 6.0, 30.0, 100_000_000.0))
    build.add("a", YES, says(True, 0.9).model_copy(update={"findings": (boxed,)}))
    build.add("b", YES, says(True, 0.9))
    _, parsed = page(build)
    (drawn,) = [image["src"] for image in parsed.all("img") if image.get("class") == "boxes"]
    pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(str(drawn).partition(",")[2]))))
    assert pixels.shape == (288, 384, 4)  # of a picture of 40 x 30
    marked = pixels[..., 3] > 0
    assert marked[58:60, 96:288].all() and marked[60:280, 96].all() and not marked[60:280, 99:280].any()


def test_a_blanked_mask_is_told(build: Builder) -> None:
    mask = box(0, 0, 20, 20)
    build.add("a", YES, says(False, 0.1), prediction(mask), gold_mask=mask)
    build.add("b", YES, failure("describe"), prediction(mask), gold_mask=mask)
    _, parsed = page(build)
    classes = [image.get("class") for image in parsed.all("img")]
    assert classes == [None, "golden-mask", "blanked-mask"] * 2
    assert parsed.text.count("the description says flawless, so the mask is blank") == 1
    assert parsed.text.count("it is not known whether the mask counts") == 1


@pytest.mark.parametrize("size", [(40, 30), (3000, 2000), (1, 5000), (1, 1)])
def test_overlays_keep_single_pixels(size: tuple[int, int]) -> None:
    mask = np.zeros(size, bool)
    mask[-1, -1] = True
    drawn = Image.open(io.BytesIO(base64.b64decode(overlay(mask, (1, 2, 3), hatched=True).split(",")[1])))
    assert max(drawn.size) == SIDE
    assert np.asarray(drawn)[..., 3].any()


def test_claim_lines_read_the_judges_details() -> None:
    claims = {
        "reference": [{"text": "no hands"}, {"text": "bent rim"}],
        "description": [{"text": "lacks hands"}, {"text": "red"}],
    }
    details = {
        "claims": claims,
        "matches": [
            {"reference": 0, "description": 0, "misplaced": True},
            {"reference": 9, "description": 0},
        ],
        "misses": [1],
        "invented": [1, "x"],
        "contradictions": ["place: here and there"],
    }
    for shape in (details, {"references": [details]}):
        assert claim_lines(verdicts(1, 1, **shape)["completeness"]) == [
            "matched (elsewhere): “lacks hands” with golden “no hands”",
            "missed: golden “bent rim”",
            "not in golden: “red”",
            "contradiction in place: here and there",
        ]
    assert claim_lines(verdicts(1, 1, claims={"reference": 5}, matches=7)["completeness"]) == []


def test_settings_show_no_credentials() -> None:
    assert (
        flat({"base_url": "http://me:secret@host/v1", "n": [1, None, True]})
        == "base_url http://…@host/v1, n 1, none, yes"
    )
