"""Hostile prompts, and answers that let every protocol go on to its last step."""

import json
from pathlib import Path
from typing import Any

import yaml

INJECTIONS: dict[str, str] = yaml.safe_load(
    (Path(__file__).parent / "injections.yaml").read_text(encoding="utf-8")
)
INJECTIONS["very long"] = INJECTIONS["chatml"] * 50


def reply(schema: dict[str, Any], what: str = "The hand has six fingers.") -> str:
    """An answer of the kind that the schema asks for, in the words given."""
    finding: dict[str, Any] = {"What": what[:600], "Where": what[:600], "Severity": "severe"}
    properties = schema["properties"]
    if "Intended" in properties:
        return json.dumps({"Intended": [], "Defective": True})
    if "Findings" in properties:
        if "Box" in properties["Findings"]["items"]["properties"]:
            finding["Box"] = [0, 0, 1, 1]
        return json.dumps({"Defective": True, "Findings": [finding]})
    if properties["Description"]["type"] == "string":
        return json.dumps({"Description": what})
    return json.dumps({"Defective": True, "Description": [what]})
