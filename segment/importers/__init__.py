"""Public data sets' formats, each turned into a manifest with masks by a module of its own."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Format:
    """A format: the home of its reader ("module:function"), what it is, and the special options it takes."""

    home: str
    about: str
    options: frozenset[str]


def _format(module: str, about: str, *options: str) -> Format:
    return Format(f"segment.importers.{module}:read", about, frozenset(options))


FORMATS = {
    "agidefect": _format(
        "agidefect", "images/, masks/ and one .json, .jsonl or .csv", "images", "threshold", "column"
    ),
    "coco": _format("coco", "a COCO detection file", "images", "boxes_as_masks", "unmarked", "clip"),
    "hadm": _format("hadm", "HADM's Human Artifact Dataset", "split", "boxes_as_masks", "unmarked", "clip"),
    "x-aigd": _format("xaigd", "X-AIGD's Parquet files", "split"),
    "synthscars": _format("synthscars", "SynthScars' JSON (LEGION)", "images", "split", "clip"),
    "richhf": _format(
        "richhf", "RichHF-18K's TFRecord files", "images", "split", "heatmap_threshold", "scale_heatmaps"
    ),
    "pal4vst": _format("pal4vst", "images/ with labels/ beside it", "split", "threshold"),
    "label-studio": _format(
        "label_studio", "a Label Studio JSON export of brushes", "images", "annotators", "clip"
    ),
}
"""Every format that `flawscribe import` reads, by name."""
