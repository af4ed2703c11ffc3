"""Pictures that may be sent as they are, told by their structure alone: decoding them would be most of the work.

Certain or nothing: what is unusual in any way (transparency, frames, EXIF, a palette, CMYK) is left to Pillow.
What is damaged within its compressed data passes here; a server that cannot decode it says so, and then the
picture is looked at (see `engines.openai_engine`).
"""

import struct
import zlib

MAX_PIXELS = 64_000_000
_PNG = b"\x89PNG\r\n\x1a\n"
_PNG_PLAIN = {
    b"IDAT",
    b"pHYs",
    b"gAMA",
    b"cHRM",
    b"sRGB",
    b"iCCP",
    b"sBIT",
    b"tIME",
    b"bKGD",
    b"tEXt",
    b"zTXt",
}
_START_OF_FRAME = (0xC0, 0xC1, 0xC2)
_MOST_PARTS = 20_000  # chunks of a PNG, segments before a JPEG's scan: a file may hold millions of empty ones
_MARKERS_ALONE = (0x01, *range(0xD0, 0xD8))


def plain_size(data: bytes) -> tuple[str, int, int] | None:
    """(MIME type, width, height) of a whole PNG, JPEG or WebP of 8-bit RGB or grey; None where that is not certain."""
    try:
        if data.startswith(_PNG):
            found = _png(data)
        elif data.startswith(b"\xff\xd8"):
            found = _jpeg(data)
        elif data.startswith(b"RIFF") and data[8:12] == b"WEBP":
            found = _webp(data)
        else:
            return None
    except (struct.error, IndexError):
        return None
    if found is None or not 0 < found[1] * found[2] <= MAX_PIXELS:
        return None
    return found


def _png(data: bytes) -> tuple[str, int, int] | None:
    """Every chunk is whole (by its checksum) and of a kind that changes nothing, the last one is the end."""
    at, view, pixels = 8, memoryview(data), False
    width, height, depth, colour = struct.unpack_from(">IIBB", data, 16)
    if data[12:16] != b"IHDR" or depth != 8 or colour not in (0, 2):
        return None
    for _ in range(_MOST_PARTS):
        (length,) = struct.unpack_from(">I", data, at)
        kind, end = data[at + 4 : at + 8], at + 8 + length
        if zlib.crc32(view[at + 4 : end]) != struct.unpack_from(">I", data, end)[0]:
            return None
        if kind == b"IEND":
            return ("image/png", width, height) if pixels else None
        if kind not in _PNG_PLAIN and not (kind == b"IHDR" and at == 8):
            return None
        if kind in (b"tEXt", b"zTXt") and data[at + 8 : at + 24].lower().startswith(b"raw profile type"):
            return None  # EXIF, in ImageMagick's manner
        pixels |= kind == b"IDAT"
        at = end + 4
    return None


def _jpeg(data: bytes) -> tuple[str, int, int] | None:
    """The header's segments up to the first scan; one that was cut off does not end in the end marker."""
    if not data.endswith(b"\xff\xd9"):
        return None
    at, size = 2, None
    for _ in range(_MOST_PARTS):
        if data[at] != 0xFF:
            return None
        marker = data[at + 1]
        if marker in _MARKERS_ALONE or marker in (0xFF, 0xD8, 0xD9):
            return None
        (length,) = struct.unpack_from(">H", data, at + 2)
        content = data[at + 4 : at + 2 + length]
        if marker in _START_OF_FRAME:
            depth, height, width, channels = struct.unpack_from(">BHHB", content)
            if depth != 8 or channels not in (1, 3) or size is not None:
                return None
            size = width, height
        elif 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            return None  # arithmetic, lossless and hierarchical ones
        elif content.startswith((b"Exif", b"MPF", b"http://ns.adobe.com/xap")):
            return None  # may tell an orientation, or of further pictures
        if marker == 0xDA:
            return ("image/jpeg", *size) if size else None
        at += 2 + length
    return None


def _webp(data: bytes) -> tuple[str, int, int] | None:
    """The simple lossy format alone: one frame, no alpha, nothing beside it."""
    (length,) = struct.unpack_from("<I", data, 4)
    (inner,) = struct.unpack_from("<I", data, 16)
    if data[12:16] != b"VP8 " or length + 8 != len(data) or inner + (inner & 1) + 12 != length:
        return None
    if data[20] & 1 or data[23:26] != b"\x9d\x01\x2a":  # no key frame
        return None
    width, height = struct.unpack_from("<HH", data, 26)
    return "image/webp", width & 0x3FFF, height & 0x3FFF
