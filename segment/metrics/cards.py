"""A card for every metric: what its number means, before anybody compares it with another paper's."""

from dataclasses import dataclass

_SUMS = "all images' pixels together"
_MEAN = "mean over images"


@dataclass(frozen=True)
class Card:
    """What to know of a metric.

    `higher` tells whether higher is better; `low` and `high` are its range, None where it has no bound.
    `empty_golden` says what it does where nothing is golden, `empty_prediction` where nothing is predicted but
    something is golden.
    """

    title: str
    formula: str
    over: str
    higher: bool
    low: float | None
    high: float | None
    empty_golden: str
    empty_prediction: str
    source: str

    @property
    def direction(self) -> str:
        """`"higher is better"` or the contrary."""
        return "higher is better" if self.higher else "lower is better"

    @property
    def range(self) -> str:
        """Its range as text, with ∞ where there is no bound."""
        low, high = (("−∞", "∞")[i] if b is None else f"{b:g}" for i, b in enumerate((self.low, self.high)))
        return f"{low} to {high}".replace("-", "−")


_BOTH = "1 if the prediction is empty too, else 0"
_LISA = "X. Lai et al., LISA (CVPR 2024), evaluation metrics"
_PASCAL = "M. Everingham et al., The PASCAL VOC Challenge (IJCV 2010), segmentation accuracy, of two classes"
_DICE = "L. Dice, Measures of the amount of ecologic association (1945); van Rijsbergen's F at β = 1"
_DAVIS = (
    "F. Perazzi et al., DAVIS (CVPR 2016), contour accuracy F; tolerance 0.8 % of the diagonal, rounded up"
)
_BYLINSKII = "Z. Bylinskii et al., What do different evaluation metrics tell us (TPAMI 2019), section 4"
_FAWCETT = "T. Fawcett, An introduction to ROC analysis (2006)"
_AP = "as scikit-learn's average_precision_score: Σ (Rₖ − Rₖ₋₁) Pₖ, no interpolation"
_OURS = "ours; matching after COCO's detections, without scores"
_UNDEFINED = "not defined: left out"


def _unit(title: str, formula: str, over: str, empty_golden: str, empty_prediction: str, source: str) -> Card:
    return Card(title, formula, over, True, 0, 1, empty_golden, empty_prediction, source)


def _recall(percent: int, rest: str) -> tuple[str, str]:
    told = f"share of golden regions with a predicted one of their own at IoU ≥ .{percent // 10}{rest}"
    return f"Regions found, IoU .{percent // 10}", told


CARDS: dict[str, Card] = {
    "giou": _unit("gIoU", "mean of |P ∩ G| / |P ∪ G|", _MEAN, _BOTH, "0", _LISA),
    "ciou": _unit(
        "cIoU", "Σ |P ∩ G| / Σ |P ∪ G|", _SUMS, "adds |P| to the union", "adds |G| to the union", _LISA
    ),
    "miou_2class": _unit(
        "2-class mIoU",
        "mean of (IoU of defective + IoU of other pixels) / 2",
        _MEAN,
        "1 if the prediction is empty too, else half the IoU of the other pixels",
        "half the IoU of the other pixels: near .5",
        _PASCAL,
    ),
    "miou_2class_cumulative": _unit(
        "2-class mIoU, cumulative",
        "(IoU of defective + IoU of other pixels) / 2 of the summed counts",
        _SUMS,
        "adds |P| to the union of defective pixels",
        "near .5 where every prediction is empty",
        _PASCAL,
    ),
    "pixel_precision": _unit("Pixel precision", "mean of |P ∩ G| / |P|", _MEAN, _BOTH, "0", _FAWCETT),
    "pixel_precision_cumulative": _unit(
        "Pixel precision, cumulative",
        "Σ |P ∩ G| / Σ |P|",
        _SUMS,
        "adds |P| below",
        "adds nothing; 0 if all are",
        _FAWCETT,
    ),
    "pixel_recall": _unit("Pixel recall", "mean of |P ∩ G| / |G|", _MEAN, _BOTH, "0", _FAWCETT),
    "pixel_recall_cumulative": _unit(
        "Pixel recall, cumulative", "Σ |P ∩ G| / Σ |G|", _SUMS, "adds nothing", "adds |G| below", _FAWCETT
    ),
    "pixel_f1": _unit("Pixel F1 (Dice)", "mean of 2 |P ∩ G| / (|P| + |G|)", _MEAN, _BOTH, "0", _DICE),
    "pixel_f1_cumulative": _unit(
        "Pixel F1 (Dice), cumulative",
        "2 Σ |P ∩ G| / Σ (|P| + |G|)",
        _SUMS,
        "adds |P| below",
        "adds |G| below",
        _DICE,
    ),
    "boundary_f": _unit(
        "Boundary F",
        "mean of 2PR / (P + R) of outline pixels within the tolerance of the other outline",
        _MEAN,
        "1 if the prediction is empty too, else 0",
        "0",
        _DAVIS,
    ),
    "boundary_f_cumulative": _unit(
        "Boundary F, cumulative",
        "2PR / (P + R) of all images' outline pixels",
        _SUMS,
        "adds the prediction's outline, missed",
        "adds the golden outline, missed",
        _DAVIS,
    ),
    "region_recall_30": _unit(*_recall(30, ""), _MEAN, _UNDEFINED, "0", _OURS),
    "region_recall_30_cumulative": _unit(
        "Regions found, IoU .3, cumulative",
        "the same over all golden regions",
        "all images' regions",
        "adds nothing",
        "adds misses",
        _OURS,
    ),
    "region_recall_50": _unit(*_recall(50, ""), _MEAN, _UNDEFINED, "0", _OURS),
    "region_recall_50_cumulative": _unit(
        "Regions found, IoU .5, cumulative",
        "the same over all golden regions",
        "all images' regions",
        "adds nothing",
        "adds misses",
        _OURS,
    ),
    "giou_all": _unit(
        "gIoU, clean images too",
        "mean IoU, an image with an empty golden mask included",
        _MEAN,
        _BOTH,
        "0",
        _LISA,
    ),
    "false_area": Card(
        "False area on clean images",
        "mean marked share of the picture where nothing is golden",
        "mean over clean images",
        False,
        0,
        1,
        "only these count",
        "does not count",
        "ours",
    ),
    "clean_marked": Card(
        "Clean images marked",
        "share of images without a golden pixel that have any marked one",
        "mean over clean images",
        False,
        0,
        1,
        "only these count",
        "does not count",
        "ours",
    ),
    "pixel_auroc": _unit(
        "Pixel AUROC",
        "mean of P(a golden pixel's probability > another's), ties half",
        _MEAN,
        _UNDEFINED,
        ".5",
        _FAWCETT,
    ),
    "pixel_auroc_cumulative": _unit(
        "Pixel AUROC, cumulative",
        "the same over all pixels, binned",
        _SUMS,
        "adds negatives",
        "as its constant values rank",
        _FAWCETT,
    ),
    "pixel_ap": _unit("Pixel AP", "mean of Σ (Rₖ − Rₖ₋₁) Pₖ", _MEAN, _UNDEFINED, "the golden share", _AP),
    "pixel_ap_cumulative": _unit(
        "Pixel AP, cumulative",
        "the same over all pixels, binned",
        _SUMS,
        "adds negatives",
        "as its constant values rank",
        _AP,
    ),
    "mse": Card(
        "MSE",
        "mean of (P − G)²",
        _MEAN,
        False,
        0,
        1,
        "defined; also given alone (`mse_empty`)",
        "mean of G²",
        "Y. Liang et al., Rich Human Feedback (CVPR 2024)",
    ),
    "mse_empty": Card(
        "MSE, empty golden maps",
        "mean of P²",
        "mean over images with an empty golden map",
        False,
        0,
        1,
        "only these count",
        "does not count",
        "Y. Liang et al., Rich Human Feedback (CVPR 2024)",
    ),
    "cc": Card(
        "CC",
        "Pearson's correlation of P and G",
        _MEAN,
        True,
        -1,
        1,
        _UNDEFINED,
        "0, as for any constant map",
        _BYLINSKII,
    ),
    "kld": Card(
        "KLD",
        "Σ G ln(ε + G / (ε + P)), both maps summing to 1, ε = 2.2e-16",
        _MEAN,
        False,
        0,
        None,
        _UNDEFINED,
        "about 36 less the entropy of G",
        _BYLINSKII,
    ),
    "sim": _unit("SIM", "Σ min(P, G), both maps summing to 1", _MEAN, _UNDEFINED, "0", _BYLINSKII),
    "nss": Card(
        "NSS",
        "mean of the standardised P where G > 0",
        _MEAN,
        True,
        None,
        None,
        _UNDEFINED,
        "0, as for any constant map",
        _BYLINSKII,
    ),
    "auc_judd": _unit(
        "AUC-Judd",
        "area under the ROC curve through thresholds where G > 0",
        _MEAN,
        _UNDEFINED,
        ".5, as for any constant map",
        _BYLINSKII,
    ),
}
"""By the names of figures in metrics.json and of `flawscribe metrics`."""


def as_markdown() -> str:
    """All cards as a Markdown table, as docs/metrics.md shows it."""
    head = (
        "figure",
        "name",
        "what it is",
        "over",
        "range, best",
        "empty golden",
        "empty prediction",
        "source",
    )
    rows: list[tuple[str, ...]] = [head, ("---",) * len(head)]
    for name, c in CARDS.items():
        best = f"{c.range}, {'high' if c.higher else 'low'}"
        told = (c.title, f"`{name}`", c.formula, c.over, best, c.empty_golden, c.empty_prediction, c.source)
        rows.append(tuple(text.replace("|", "\\|") for text in told))
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)
