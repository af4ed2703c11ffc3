"""TFRecord files and the tf.train.Example messages in them, without TensorFlow: bounded, and checksums are tested.

The record format is TensorFlow's (tensorflow/core/lib/io/record_writer.h): length (uint64, little-endian), its masked
CRC-32C, the data, their masked CRC-32C. Example is tensorflow/core/example/example.proto, in protobuf's wire format.
"""

import struct
from collections.abc import Iterator
from pathlib import Path

from flawscribe.errors import UserError

MAX_RECORD = 64_000_000
MAX_FEATURES = 1000
Feature = list[bytes] | list[float] | list[int]
_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5


class BadRecord(Exception):
    """A record that cannot be read; `last` where the place of the next one is lost with it."""

    def __init__(self, message: str, last: bool = False) -> None:
        super().__init__(message)
        self.last = last


def records(path: Path) -> Iterator[bytes | BadRecord]:
    """The records of a file, one by one; one that is damaged comes as BadRecord. UserError for another file."""
    from google_crc32c import value as crc32c

    def masked(data: bytes) -> int:
        crc = crc32c(data)
        return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF

    with path.open("rb") as f:
        if f.read(12) == b"version http":
            raise UserError(f"{path} is a Git LFS pointer, not the data: fetch them with git lfs pull")
        f.seek(0)
        first = True
        while head := f.read(12):
            length, crc = struct.unpack("<QI", head) if len(head) == 12 else (0, 0)
            if len(head) < 12 or masked(head[:8]) != crc:
                if first:
                    raise UserError(f"{path} is not a TFRecord file (compressed ones are not read)")
                yield BadRecord("the record's length is damaged or cut off: what follows is lost", last=True)
                return
            first = False
            if length > MAX_RECORD:
                yield BadRecord(f"the record has {length} bytes, over {MAX_RECORD}", last=True)
                return
            data, tail = f.read(length), f.read(4)
            if len(data) < length or len(tail) < 4:
                yield BadRecord("the record is cut off at the end of the file", last=True)
                return
            yield data if masked(data) == struct.unpack("<I", tail)[0] else BadRecord("the checksum is wrong")


def example(data: bytes) -> dict[str, Feature]:
    """The features of a serialised tf.train.Example by name; BadRecord where it is none."""
    features: dict[str, Feature] = {}
    try:
        for _, message in _messages(data, 1):  # Example.features
            for _, entry in _messages(message, 1):  # Features.feature, a map
                name, feature = "", b""
                for number, value in _messages(entry, 1, 2):
                    name, feature = (value.decode(), feature) if number == 1 else (name, value)
                features[name] = _values(feature)
                if len(features) > MAX_FEATURES:
                    raise BadRecord(f"the example has over {MAX_FEATURES} features")
    except (IndexError, ValueError, struct.error) as e:
        raise BadRecord("not a tf.train.Example") from e
    return features


def _values(feature: bytes) -> Feature:
    """Feature: bytes_list = 1, float_list = 2, int64_list = 3, of which each has its values in field 1."""
    for number, values in _messages(feature, 1, 2, 3):
        if number == 1:
            return [value for _, value in _messages(values, 1)]
        if number == 2:
            return [x for wire, v in _fields(values, 1) for x in _floats(wire, v)]
        return [x for wire, v in _fields(values, 1) for x in _integers(wire, v)]
    return []


def _floats(wire: int, value: bytes) -> tuple[float, ...]:
    if wire not in (_LENGTH, _FIXED32):
        raise ValueError("not floats")
    return struct.unpack(f"<{len(value) // 4}f", value)


def _integers(wire: int, value: bytes) -> Iterator[int]:
    if wire not in (_LENGTH, _VARINT):
        raise ValueError("not integers")
    at = 0
    while at < len(value):
        number, at = _varint(value, at)
        yield number - (1 << 64) if number >= 1 << 63 else number


def _messages(data: bytes, *wanted: int) -> Iterator[tuple[int, bytes]]:
    """(field number, bytes) of the length-delimited fields that are wanted; ValueError where one is of another kind."""
    for number, wire, value in _all_fields(data):
        if number in wanted:
            if wire != _LENGTH:
                raise ValueError("a field of another kind")
            yield number, value


def _fields(data: bytes, wanted: int) -> Iterator[tuple[int, bytes]]:
    """(wire type, bytes) of one field; a varint comes as its own bytes."""
    return ((wire, value) for number, wire, value in _all_fields(data) if number == wanted)


def _all_fields(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """(field number, wire type, bytes) of every field; ValueError or IndexError where the message is damaged."""
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        number, wire, start = tag >> 3, tag & 7, at
        if wire == _VARINT:
            _, at = _varint(data, at)
        elif wire == _LENGTH:
            length, start = _varint(data, at)
            at = start + length
        elif wire in (_FIXED32, _FIXED64):
            at += 4 if wire == _FIXED32 else 8
        else:  # groups, long out of use
            raise ValueError("a field of an unknown kind")
        if at > len(data):
            raise ValueError("a field is cut off")
        yield number, wire, data[start:at]


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """The number that starts at `at`, and where it ends."""
    value = 0
    for shift in range(0, 70, 7):
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & (1 << 64) - 1, at
    raise ValueError("a number is too long")
