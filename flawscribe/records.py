"""The whole vocabulary on one page: what the stages read and write.

Every record is a frozen pydantic model that refuses unknown fields. Probabilities lie in [0, 1],
quality in [1, 5], judge scores in {0, 1, 2}; boxes are `(x0, y0, x1, y1)` in pixels of the image
itself, after its EXIF orientation is applied, with x to the right and y down.
"""

from enum import StrEnum
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from flawscribe.errors import one_line

Category = Literal["body", "faces", "animals", "objects", "logical_defects"]
Criterion = Literal["completeness", "precision"]
Probability = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Quality = Annotated[float, Field(ge=1, le=5, allow_inf_nan=False)]
Coordinate = Annotated[float, Field(ge=0, le=100_000_000)]  # no picture has longer sides


class Record(BaseModel):
    """Base of every record: frozen, and a field that is not in the vocabulary is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Golden(Record):
    """What people say of an image.

    `descriptions` are the annotators' texts; `description` is their consolidation where one was
    made, and then it alone is what a judge compares with. `mask` is the path of a picture whose
    non-zero pixels are defective, or None where nobody drew one.
    """

    defective: bool
    descriptions: tuple[str, ...] = ()
    description: str | None = None
    mask: str | None = None
    quality: Quality | None = None
    category: Category | None = None

    def references(self) -> tuple[str, ...]:
        """The texts to judge against: the consolidation alone if there is one, else each text."""
        return (self.description,) if self.description else self.descriptions


class Sample(Record):
    """One generated image: `id` is unique in its manifest, `image` a path (absolute once read)."""

    id: str = Field(min_length=1)
    image: str = Field(min_length=1)
    prompt: str | None = None
    generator: str | None = None
    golden: Golden | None = None
    meta: dict[str, Any] = Field(default_factory=dict)


class Finding(Record):
    """One defect, wherever a stage knows defects one by one."""

    text: str
    kind: str | None = None
    part: str | None = None
    location: str | None = None
    box: tuple[Coordinate, Coordinate, Coordinate, Coordinate] | None = None
    severity: Literal["slight", "moderate", "severe"] | None = None


class Usage(Record):
    """What was asked for a row, and its tokens as the engine counted them (0 where it counts none).

    `cached_tokens` are those of the prompt's that came from the server's cache; `calls` the requests that
    were answered or failed for good, `repairs` those among them that were second attempts. `batch` tells
    that the answers came from a batch file, which costs less.
    """

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    calls: int = 0
    repairs: int = 0
    batch: bool = False

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(
            prompt_tokens=self.prompt_tokens + other.prompt_tokens,
            completion_tokens=self.completion_tokens + other.completion_tokens,
            cached_tokens=self.cached_tokens + other.cached_tokens,
            calls=self.calls + other.calls,
            repairs=self.repairs + other.repairs,
            batch=self.batch or other.batch,
        )


class Description(Record):
    """The describing model's answer for one image.

    `p_defective` is the probability of `true` against `false` at the answer's boolean; None where
    the engine reports no token probabilities. Where a calibration was used, `p_defective` is the calibrated
    probability, which decides `defective`, and `p_raw` the model's own; else `p_raw` is None. `text` is empty
    exactly when not `defective`.
    """

    defective: bool
    p_defective: Probability | None = None
    p_raw: Probability | None = None
    text: str = ""
    findings: tuple[Finding, ...] = ()
    steps: dict[str, str] = Field(default_factory=dict)
    usage: Usage = Usage()


class RLE(Record):
    """A COCO run-length mask: `size` is (height, width), `counts` COCO's compressed string."""

    size: tuple[int, int]
    counts: str


class Instance(Record):
    """One marked region: its mask at the image's own size, and its box in pixels, `x1` and `y1` exclusive.

    `area` is its fraction of the image, `score` how sure its maker is of its outline, `text` what it was marked for.
    """

    rle: RLE
    box: tuple[Coordinate, Coordinate, Coordinate, Coordinate]
    area: Probability
    score: Probability | None = None
    text: str | None = None


class MaskPrediction(Record):
    """The mask head's answer: `rle` at the image's own size, None when no pixel is marked.

    `area` is the marked fraction of the image, `p_mask` the head's own probability that the image
    is defective, `quality` its estimate of the image's quality. A picture alone does not tell whether its prompt asked
    for what looks wrong: `quality_if_intended` is the estimate if it did. `instances` are the regions one by one,
    where they were asked for.
    """

    rle: RLE | None = None
    p_mask: Probability | None = None
    quality: Quality | None = None
    quality_if_intended: Quality | None = None
    area: Probability = 0.0
    instances: tuple[Instance, ...] = ()


class Verdict(Record):
    """A judge's verdict on one description by one criterion.

    `score` is the mean over `scores`, one per golden text it was compared with. An unscored
    verdict has neither, and `reason` says why (an answer that does not validate is never a number).
    """

    criterion: Criterion
    score: Annotated[float, Field(ge=0, le=2)] | None = None
    scores: tuple[Literal[0, 1, 2], ...] = ()
    reason: str | None = None
    details: dict[str, Any] = Field(default_factory=dict)


class FailureKind(StrEnum):
    """Why a row has no answer."""

    BAD_ROW = "bad_row"
    REPEATED_ID = "repeated_id"
    MISSING_IMAGE = "missing_image"
    BROKEN_IMAGE = "broken_image"
    IMAGE_TOO_LARGE = "image_too_large"
    BAD_MASK = "bad_mask"
    TIMEOUT = "timeout"
    CONNECTION = "connection"
    RATE_LIMIT = "rate_limit"
    SERVER_ERROR = "server_error"
    BAD_REQUEST = "bad_request"
    CONTEXT_OVERFLOW = "context_overflow"
    TRUNCATED = "truncated"
    WHITESPACE_LOOP = "whitespace_loop"
    REFUSED = "refused"
    EMPTY_ANSWER = "empty_answer"
    REASONING_BEFORE_JSON = "reasoning_before_json"
    INVALID_JSON = "invalid_json"
    INVALID_ANSWER = "invalid_answer"
    MISSING_ANSWER = "missing_answer"


class Failure(Record):
    """A row without an answer: at which stage, of which kind, and one line for a person.

    `usage` is what was paid for it all the same, None where nothing was asked.
    """

    stage: str
    kind: FailureKind
    message: Annotated[str, AfterValidator(lambda text: one_line(text, 1000))]
    usage: Usage | None = None


class Row(Record):
    """One line of a stage: the record of `id` under `key`, or its failure (exactly one of both).

    `key` hashes what decides the record's content (see `flawscribe.keys.key_of`). `record` is the
    JSON form of the stage's record type; for the judge, `{"completeness": Verdict, "precision": Verdict}`.
    """

    id: str
    key: str
    record: dict[str, Any] | None = None
    failure: Failure | None = None

    @model_validator(mode="after")
    def _either(self) -> Self:
        if (self.record is None) == (self.failure is None):
            raise ValueError("neither or both of record and failure")
        return self

    @property
    def ok(self) -> bool:
        """Whether the row holds an answer."""
        return self.failure is None
