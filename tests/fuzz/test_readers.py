"""Damaged forms of good input for the readers that meet hostile bytes: each answers, or fails in its own typed way.

A minute in all as part of the tests; for longer, and on other inputs than last time:

    FUZZ_SECONDS=3600 FUZZ_SEED=7 python -m pytest tests/fuzz

What is found becomes a case of the reader's own tests.
"""

import io
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from PIL import Image

from describe.wire import Parsed
from describe.wire import parse as parse_description
from engines.base import Fault
from flawscribe.errors import UserError
from flawscribe.images import MAX_PIXELS, ImageFailure, image_bytes, load_image, load_mask
from flawscribe.manifest import read_manifest
from flawscribe.records import RLE, Failure, Sample
from judge.wire import parse as parse_score
from segment.rle import decode, encode

pytestmark = pytest.mark.slow
SECONDS = float(os.environ.get("FUZZ_SECONDS", "60"))
SEED = int(os.environ.get("FUZZ_SEED", "0"))
TARGETS = 4
NASTY = [
    *(b"\0", b"\n", b"\r\n", b'"', b",", b"{", b"}", b"\\", b"\\ud800", b"NaN", b"1e999", b"null", b"true"),
    *(b"-1", b"=cmd()", b"../", "😀".encode()),
    *(b"[" * 50, b"9" * 40, b"\xff\xfe", b"\xed\xa0\x80", b"\x7f\xff\xff\xff", b"\xff\xff\xff\xff"),
]


@st.composite
def damaged(draw: st.DrawFn, good: list[bytes]) -> bytes:
    """One of `good`, with up to eight places changed, cut out, doubled or swapped with nasty bytes, perhaps cut off."""
    data = draw(st.sampled_from(good))
    for _ in range(draw(st.integers(0, 8))):
        at = draw(st.integers(0, len(data)))
        end = min(len(data), at + draw(st.integers(0, 16)))
        middle = draw(st.sampled_from([b"", data[at:end] * 2, *NASTY]) | st.binary(max_size=4).filter(bool))
        data = data[:at] + middle + data[end:]
    return data[: draw(st.integers(0, len(data)))] if draw(st.integers(0, 9)) == 0 else data


def fuzz(check: Callable[[Any], None], inputs: st.SearchStrategy[Any]) -> int:
    """Call `check` with ever new inputs for this target's share of the time; how many there were."""
    end, n, tried = time.monotonic() + SECONDS / TARGETS, SEED * 1_000_000, 0

    def counted(value: Any) -> None:
        nonlocal tried
        tried += 1
        check(value)

    while time.monotonic() < end:
        form = settings(
            max_examples=50, deadline=None, database=None, suppress_health_check=list(HealthCheck)
        )
        seed(n)(form(given(inputs)(counted)))()
        n += 1
    return tried


def pictures() -> list[bytes]:
    """Small pictures of every kind whose decoder is reached."""
    rng = np.random.default_rng(0)
    rgb = Image.fromarray(rng.integers(0, 256, (24, 31, 3), dtype=np.uint8))
    deep = Image.fromarray(rng.integers(0, 2**16, (24, 31), dtype=np.uint16))
    exif = Image.Exif()
    exif[0x0112] = 6
    plain = (
        "PNG",
        "JPEG",
        "WEBP",
        "GIF",
        "TIFF",
        "BMP",
        "ICO",
        "PPM",
        "TGA",
        "AVIF",
        "JPEG2000",
        "DDS",
        "SGI",
        "QOI",
        "ICNS",
        "PCX",
    )
    forms: list[tuple[Image.Image, str, dict[str, Any]]] = [(rgb, name, {}) for name in plain]
    forms += [(rgb, name, {"exif": exif}) for name in ("PNG", "JPEG", "WEBP")]
    forms += [(rgb, name, {"save_all": True, "append_images": [rgb]}) for name in ("GIF", "WEBP", "TIFF")]
    forms += [(rgb.convert(mode), "PNG", {}) for mode in ("1", "L", "LA", "RGBA", "P")]
    forms += [(rgb.convert("CMYK"), "JPEG", {}), (rgb, "JPEG", {"progressive": True})]
    forms += [(deep, "PNG", {}), (deep, "TIFF", {}), (rgb, "TIFF", {"compression": "tiff_lzw"})]
    written = []
    for image, name, options in forms:
        buffer = io.BytesIO()
        try:
            image.save(buffer, name, **options)
        except (KeyError, OSError, ValueError):
            continue  # this Pillow does not write it
        written.append(buffer.getvalue())
    assert len(written) >= 15
    return written


def test_the_image_opener(tmp_path: Path) -> None:
    path = tmp_path / "a.png"

    def check(data: bytes) -> None:
        path.write_bytes(data)
        for read in (load_image, image_bytes, lambda p: load_mask(p, (31, 24))):
            try:
                found = read(str(path))
            except ImageFailure as e:
                assert str(path) in str(e) and "\n" not in str(e)
                continue
            if isinstance(found, Image.Image):
                assert found.mode == "RGB" and 0 < found.width * found.height <= MAX_PIXELS

    assert fuzz(check, damaged(pictures())) > 50


def rows() -> list[dict[str, Any]]:
    return [
        {
            "id": "a",
            "image": "a.png",
            "prompt": "a dog, running",
            "defective": True,
            "descriptions": ["Five legs."],
            "mask": "m.png",
            "quality": 2.5,
            "category": "x",
            "generator": "g",
            "extra": {"deep": [1, None]},
        },
        {
            "id": "b",
            "image": "b.png",
            "prompt": 'say "no"\nplease',
            "defective": False,
            "descriptions": [],
            "quality": 5,
        },
        {"id": "é😀", "image": "sub/c.png"},
    ]


def manifests() -> list[tuple[str, bytes]]:
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows()).encode()
    table = "id,image,prompt,defective,description,quality\n"
    table += 'a,a.png,"a dog, ""running""",yes,Five legs.,2.5\nb,b.png,=1+1,no,,\n'
    flat = [{k: v for k, v in row.items() if k != "extra"} for row in rows()]
    parquet = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(flat), parquet)
    return [
        (".jsonl", lines),
        (".csv", table.encode()),
        (".tsv", table.replace(",", "\t").encode()),
        (".parquet", parquet.getvalue()),
    ]


def test_the_manifest_reader(tmp_path: Path) -> None:
    def check(found: tuple[str, bytes]) -> None:
        suffix, data = found
        path = tmp_path / f"manifest{suffix}"
        path.write_bytes(data)
        try:
            entries = list(read_manifest(path, tmp_path / "pictures"))
        except UserError as e:
            assert "manifest" in str(e) and "\n" not in str(e)
            return
        ids = [e.id if isinstance(e, Sample) else e[0] for e in entries]
        assert len(set(ids)) == len(ids)
        for entry in entries:
            if isinstance(entry, Sample):
                json.dumps(entry.model_dump(mode="json"), ensure_ascii=False, allow_nan=False).encode()
            else:
                assert isinstance(entry[1], Failure) and "manifest" in entry[1].message

    forms = [st.tuples(st.just(suffix), damaged([data])) for suffix, data in manifests()]
    assert fuzz(check, st.one_of(forms)) > 50


def test_the_answer_parsers() -> None:
    good = [
        '{"Defective": true, "Description": ["The dog has five legs."]}',
        '{"Defective": false, "Description": []}',
        '```json\n{"Defective": true, "Description": ["x"]}\n```',
        '<think>Let me see.</think>{"Defective": false, "Description": []}',
        "I'm sorry, but I can't help with that.",
        '{"Score": [2]}',
        '{"Score": [0]}',
    ]

    def check(data: bytes) -> None:
        answer = data.decode("utf-8", "surrogateescape")  # what is no UTF-8 becomes lone surrogates
        found = parse_description(answer)
        if isinstance(found, Parsed):
            assert bool(found.text) == found.defective
            (found.text + "".join(found.notes.values())).encode()
        else:
            assert isinstance(found, Fault) and "\n" not in found.message
            found.message.encode()
        score = parse_score(answer)
        assert score in (0, 1, 2) or isinstance(score, str)

    assert fuzz(check, damaged([text.encode() for text in good])) > 50


def test_the_rle_reader() -> None:
    rng = np.random.default_rng(0)
    good = []
    for h, w in ((1, 1), (7, 13), (40, 60), (300, 200)):
        rle = encode(rng.random((h, w)) < 0.3) or RLE(size=(h, w), counts="")
        good.append((h, w, rle.counts.encode()))
    sizes = st.sampled_from([(h, w) for h, w, _ in good]) | st.tuples(st.integers(), st.integers())

    def check(value: tuple[tuple[int, int], bytes]) -> None:
        size, counts = value
        try:
            mask = decode(RLE(size=size, counts=counts.decode("latin-1")))
        except ValueError:
            return
        assert mask.shape == size and mask.dtype == bool

    assert fuzz(check, st.tuples(sizes, damaged([counts for _, _, counts in good]))) > 50


def test_the_fuzzer_tells_what_it_finds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"{__name__}.SECONDS", 0.1)

    def broken(data: bytes) -> None:
        assert data != b"x" * 2

    with pytest.raises(AssertionError):
        fuzz(broken, damaged([b"xx"]))
