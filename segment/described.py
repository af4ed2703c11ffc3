"""What a run's descriptions say, for masks that follow them."""

from flawscribe.errors import UserError
from flawscribe.keys import key_of
from flawscribe.records import Description, Failure, FailureKind
from flawscribe.runs import Run, record_of


class Described:
    """The descriptions of a run by its samples' ids.

    With `boxes` those of the protocol `grounded` are needed. Raises UserError where the run has none of the kind.
    """

    def __init__(self, run: Run, *, boxes: bool) -> None:
        if not run.has("describe"):
            raise UserError(f"{run.path} has no descriptions to prompt with: run flawscribe describe first")
        protocol = run.settings("describe").get("protocol")
        if boxes and protocol is not None and protocol != "grounded":
            raise UserError(
                f"the descriptions of {run.path} have no boxes (protocol {protocol}): describe with --protocol grounded"
            )
        self._boxes = boxes
        self._find = run.lookup("describe")

    def of(self, sample_id: str) -> Description | Failure:
        """A sample's description, or why there is none to go by; a flawless picture's needs no boxes."""
        row = self._find(sample_id)
        if row is None or row.failure is not None:
            why = row.failure.message if row and row.failure else "it has no row yet"
            return _missing(f"no description to prompt with: {why}")
        found = record_of(row, Description, "describe")
        if self._boxes and found.defective and not any(f.box for f in found.findings):
            return _missing("its description has no box to prompt with")
        return found


def digest_of(description: Description | None) -> str | None:
    """What identifies the parts of a description that decide a mask."""
    if description is None:
        return None
    return key_of(
        defective=description.defective,
        text=description.text,
        findings=[[f.text, f.location, f.box] for f in description.findings],
    )


def _missing(why: str) -> Failure:
    return Failure(stage="segment", kind=FailureKind.MISSING_ANSWER, message=why)
