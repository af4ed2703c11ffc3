"""NaN is neither below nor above any bound: options refuse it by themselves."""

import pytest
from click.testing import CliRunner

from flawscribe.cli import cli


@pytest.mark.parametrize(
    "command",
    [
        "segment . -o run --threshold",
        "segment . -o run --presence",
        "train segment . --encoder nano -o head --rate",
        "train segment . --encoder nano -o head --decay",
        "train segment . --encoder nano -o head --dice",
        "train segment . --encoder nano -o head --validation",
        "import pal4vst . -o data --threshold",
        "import richhf . -o data --heatmap-threshold",
        "metrics segment . . --threshold",
        "describe . -o run --temperature",
    ],
)
@pytest.mark.parametrize("value", ["nan", "inf"])
def test_no_number_is_taken_for_one(command: str, value: str) -> None:
    done = CliRunner().invoke(cli, [*command.split(), value])
    assert done.exit_code == 2
    assert "finite" in done.output or "range" in done.output
