"""Makes the helper modules beside these tests importable under any import mode; the key that servers are sent."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set $OPENAI_API_KEY to `asking.KEY`."""
    from asking import KEY

    monkeypatch.setenv("OPENAI_API_KEY", KEY)
