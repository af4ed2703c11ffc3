"""TFRecord and tf.train.Example: against protobuf's own encoder and a CRC-32C counted bit by bit; damage is told."""

import contextlib
import struct
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flawscribe.errors import UserError
from segment.importers.tfrecord import BadRecord, example, records

pytest.importorskip("google_crc32c")
protobuf = pytest.importorskip("google.protobuf")


def message() -> Any:
    """tf.train.Example as its .proto file declares it."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    file = descriptor_pb2.FileDescriptorProto(name="example.proto", package="t", syntax="proto3")
    kinds = {"BytesList": 12, "FloatList": 2, "Int64List": 3}
    for name, kind in kinds.items():
        file.message_type.add(name=name).field.add(name="value", number=1, label=3, type=kind)
    feature = file.message_type.add(name="Feature")
    feature.oneof_decl.add(name="kind")
    for n, name in enumerate(kinds, 1):
        feature.field.add(
            name=name.lower(), number=n, label=1, type=11, type_name=f".t.{name}", oneof_index=0
        )
    features = file.message_type.add(name="Features")
    entry = features.nested_type.add(name="FeatureEntry")
    entry.options.map_entry = True
    entry.field.add(name="key", number=1, label=1, type=9)
    entry.field.add(name="value", number=2, label=1, type=11, type_name=".t.Feature")
    features.field.add(name="feature", number=1, label=3, type=11, type_name=".t.Features.FeatureEntry")
    example = file.message_type.add(name="Example")
    example.field.add(name="features", number=1, label=1, type=11, type_name=".t.Features")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("t.Example"))


def serialised(features: dict[str, Any]) -> bytes:
    built = message()()
    for name, values in features.items():
        kind = {bytes: "byteslist", float: "floatlist", int: "int64list"}[type(values[0])]
        getattr(built.features.feature[name], kind).value.extend(values)
    return built.SerializeToString()


def crc32c(data: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def record(data: bytes) -> bytes:
    def masked(part: bytes) -> bytes:
        crc = crc32c(part)
        return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)

    length = struct.pack("<Q", len(data))
    return length + masked(length) + data + masked(data)


def test_the_checksum_is_the_published_one() -> None:
    assert crc32c(b"123456789") == 0xE3069283


_VALUES = st.one_of(
    st.lists(st.binary(max_size=20), min_size=1, max_size=4),
    st.lists(st.floats(width=32, allow_nan=False), min_size=1, max_size=4),
    st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=4),
)


@settings(deadline=None)
@given(st.dictionaries(st.text(max_size=8), _VALUES, max_size=5))
def test_examples_as_protobuf_writes_them(features: dict[str, Any]) -> None:
    assert example(serialised(features)) == features


def test_values_that_are_not_packed() -> None:
    floats = b"\x0d" + struct.pack("<f", 1.5) + b"\x0d" + struct.pack("<f", 2.5)
    integers = b"\x08\x05\x08\x96\x01"
    for number, values, expected in ((2, floats, [1.5, 2.5]), (3, integers, [5, 150])):
        feature = bytes([number << 3 | 2, len(values)]) + values
        entry = b"\x0a\x01x\x12" + bytes([len(feature)]) + feature
        features = b"\x0a" + bytes([len(entry)]) + entry
        assert example(b"\x0a" + bytes([len(features)]) + features) == {"x": expected}


@given(st.binary(max_size=200))
def test_any_bytes_are_an_example_or_refused(data: bytes) -> None:
    with contextlib.suppress(BadRecord):
        assert isinstance(example(data), dict)


@given(st.integers(0, 200), st.binary(max_size=6))
def test_damaged_examples(at: int, middle: bytes) -> None:
    good = serialised({"filename": [b"a.png"], "score": [0.5], "n": [3, -4]})
    with contextlib.suppress(BadRecord):
        example(good[:at] + middle + good[at + 1 :])


def read(tmp_path: Path, content: bytes) -> list[bytes | str]:
    path = tmp_path / "x.tfrecord"
    path.write_bytes(content)
    return [str(r) if isinstance(r, BadRecord) else r for r in records(path)]


def test_records_one_after_the_other(tmp_path: Path) -> None:
    assert read(tmp_path, record(b"one") + record(b"") + record(b"three" * 1000)) == [
        b"one",
        b"",
        b"three" * 1000,
    ]


def test_a_wrong_checksum_costs_one_record(tmp_path: Path) -> None:
    bad = bytearray(record(b"bad"))
    bad[13] ^= 1
    assert read(tmp_path, record(b"one") + bytes(bad) + record(b"two")) == [
        b"one",
        "the checksum is wrong",
        b"two",
    ]


@pytest.mark.parametrize(
    ("tail", "told"),
    [
        (record(b"two")[:-1], "cut off at the end"),
        (record(b"two")[:14], "cut off at the end"),
        (record(b"two")[:7], "length is damaged"),
        (b"\xff" * 12 + b"two", "length is damaged"),
        (record(b"x" * 9)[:0] + struct.pack("<Q", 2**62) + record(b"")[8:12], "length is damaged"),
    ],
)
def test_damage_that_loses_the_place(tail: bytes, told: str, tmp_path: Path) -> None:
    first, second = read(tmp_path, record(b"one") + tail)
    assert first == b"one" and told in str(second)


def test_a_huge_length_with_a_right_checksum_is_not_read(tmp_path: Path) -> None:
    length = struct.pack("<Q", 2**40)
    crc = crc32c(length)
    head = length + struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)
    assert "over 64000000" in str(read(tmp_path, head + b"x")[0])


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "git lfs pull"),
        (b"\x1f\x8b\x08 compressed, or anything else", "not a TFRecord file"),
        (b"short", "not a TFRecord file"),
    ],
)
def test_other_files(content: bytes, told: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=told):
        read(tmp_path, content)
