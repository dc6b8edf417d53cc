"""The config of `examine.label_noise`, apart from its code."""

from typing import Literal

from pydantic import Field

from headrace.pipelines.section import Section


class Config(Section):
    """Which labels are taken for wrong, and what becomes of their rows."""

    enabled: bool = True
    """Look for wrong labels in sources whose answers are few different short ones (labels)."""
    policy: Literal["keep", "drop", "quarantine"] = "keep"
    """keep: report the rows; drop, quarantine: mark them as label_noise.suspect."""
    rule: Literal["estimate", "odds", "either", "both", "neighbours", "cleanlab"] = "either"
    """estimate: a classifier that has not seen the rows gives these labels the least chance, and `precision`
    of them are wrong, as estimated. odds: it gives the label less than `odds` of the chance of the best
    label. either, both: of these two. neighbours: the nearest rows bear another label. cleanlab: as many rows
    as cleanlab's confident joint counts, those whose label has the least chance."""
    precision: float = Field(0.9, ge=0.5, lt=1)
    """Share of the suspect labels that are to be wrong, by rule estimate. The larger, the fewer rows. At most
    2 of 100 labels that are right are suspect, whatever it is."""
    odds: float = Field(0.02, gt=0, lt=1)
    """Chance of a row's label beside that of the best one, below which the label is taken for wrong. The
    smaller, the fewer rows, and the more of them rightly."""
    neighbours: int = Field(10, ge=3, le=100)
    """Nearest rows that are asked for their labels."""
    most_labels: int = Field(200, ge=2, le=1000)
    """A source with more different answers than this is no labelled set."""
    sample: int = Field(20_000, ge=100, le=200_000)
    """Most rows of a source that are judged; of more, a fixed draw."""
