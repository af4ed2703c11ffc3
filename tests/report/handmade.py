"""Run directories written by hand, so that every figure is known beforehand."""

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from flawscribe.records import Description, Failure, FailureKind, Golden, MaskPrediction, Row, Sample, Verdict
from flawscribe.runs import Run
from segment.rle import encode

SIZE = (40, 30)
"""(width, height) of every picture here."""


def box(x0: int, y0: int, x1: int, y1: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    mask = np.zeros((size[1], size[0]), dtype=bool)
    mask[y0:y1, x0:x1] = True
    return mask


def prediction(
    mask: np.ndarray | None, p_mask: float | None = None, quality: float | None = None
) -> MaskPrediction:
    if mask is None:
        return MaskPrediction(p_mask=p_mask, quality=quality)
    return MaskPrediction(rle=encode(mask), p_mask=p_mask, quality=quality, area=float(mask.mean()))


def failure(stage: str, kind: FailureKind = FailureKind.TIMEOUT, message: str = "took too long") -> Failure:
    return Failure(stage=stage, kind=kind, message=message)


def verdicts(completeness: int | None, precision: int | None, **details: Any) -> dict[str, Verdict]:
    def one(criterion: Any, score: int | None) -> Verdict:
        if score is None:
            return Verdict(criterion=criterion, reason="the answer did not validate")
        return Verdict(criterion=criterion, score=score, scores=(score,), details=details)  # type: ignore[arg-type]

    return {"completeness": one("completeness", completeness), "precision": one("precision", precision)}


class Builder:
    """Collects samples and rows; `run()` writes them as the stages would."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "pictures").mkdir()
        self.entries: list[Sample | tuple[str, Failure]] = []
        self.rows: dict[str, list[Row]] = {"describe": [], "segment": [], "judge": []}
        self.settings: dict[str, dict[str, Any]] = {
            "describe": {"model": "nano", "protocol": "single"},
            "segment": {"model": "nano"},
            "judge": {"judge": "claims"},
        }

    def add(
        self,
        id: str,
        golden: Golden | None = None,
        describe: Description | Failure | None = None,
        segment: MaskPrediction | Failure | None = None,
        judge: dict[str, Verdict] | Failure | None = None,
        gold_mask: np.ndarray | None = None,
        **fields: Any,
    ) -> None:
        number = len(self.entries)
        image = self.folder / "pictures" / f"{number}.png"
        Image.new("RGB", SIZE, (10 * number % 255, 120, 200)).save(image)
        if gold_mask is not None and golden is not None:
            path = self.folder / "pictures" / f"{number}.mask.png"
            Image.fromarray(gold_mask).save(path)
            golden = golden.model_copy(update={"mask": str(path)})
        self.entries.append(Sample(**{"id": id, "image": str(image), "golden": golden, **fields}))
        for stage, record in (("describe", describe), ("segment", segment)):
            if isinstance(record, Failure):
                self.rows[stage].append(Row(id=id, key="k", failure=record))
            elif record is not None:
                self.rows[stage].append(Row(id=id, key="k", record=record.model_dump(mode="json")))
        if isinstance(judge, Failure):
            self.rows["judge"].append(Row(id=id, key="k", failure=judge))
        elif judge is not None:
            record_ = {name: verdict.model_dump(mode="json") for name, verdict in judge.items()}
            self.rows["judge"].append(Row(id=id, key="k", record=record_))

    def bad_row(self, id: str) -> None:
        self.entries.append((id, failure("samples", FailureKind.BAD_ROW, "image is missing")))

    def run(self, *stages: str) -> Run:
        run = Run.create(self.folder / "run")
        run.set_samples("manifest.jsonl", self.entries)
        for stage in stages or [name for name, rows in self.rows.items() if rows]:
            run.begin(stage, self.settings[stage])
            with run.writer(stage) as write:
                for row in self.rows[stage]:
                    write(row)
        return run


YES, NO = Golden(defective=True, descriptions=("The clock has no hands.",)), Golden(defective=False)


def says(defective: bool, p: float | None = None) -> Description:
    return Description(
        defective=defective, p_defective=p, text="The clock lacks its hands." if defective else ""
    )


HOSTILE = (
    "<script>alert(1)</script>",
    "</script><script>alert(2)</script>",
    "</style><script>alert(3)</script>",
    "<img src=x onerror=alert(4)>",
    "<svg onload=alert(5)>",
    '"><b>out of the attribute</b>',
    "'><b>out of the attribute</b>",
    '" onmouseover="alert(6)',
    "javascript:alert(7)",
    "data:text/html,<script>alert(8)</script>",
    "{{7*7}}",
    "{% for x in y %}",
    "${7*7}",
    "#{7*7}",
    "<!-- open comment",
    "--> closed comment <!--",
    "]]><x>",
    "&lt;script&gt;",
    "&#60;script&#62;",
    "<base href=//evil.example>",
    "<meta http-equiv=refresh content=0>",
    "<iframe src=https://evil.example></iframe>",
    "<link rel=stylesheet href=https://evil.example/x.css>",
    "</article></main><h1>mine</h1>",
    "NUL \x00 and \x1b[31m escape",
    "bidi \u202egnp.exe\u2066",
    "zero\u200bwidth \ufeff",
    "lines\nand\r\nreturns\u2028separators",
    "=cmd|' /C calc'!A0",
    "@SUM(1+1)*cmd",
    "+1-2",
    "-2+3",
    "\t=1+1",
    "Ünïcödé 日本語 🦊 \U0001f9d1\u200d\U0001f680",
    "a" * 20_000,
)
