"""The config of `examine.contradictions`, apart from its code."""

from typing import Literal

from pydantic import Field

from headrace.pipelines.section import Section


class Config(Section):
    """Which rows contradict each other, and what becomes of them."""

    enabled: bool = True
    """Look for rows that ask the same and whose answers cannot both be right."""
    policy: Literal["keep", "drop_all", "majority", "quarantine"] = "keep"
    """keep: report them. drop_all: drop all rows of a contradiction. majority: drop those that more than half
    of its rows speak against; where no answer has so many, all. quarantine: set all apart. The reason is
    contradictions.conflict."""
    near: float = Field(0.6, ge=0.4, le=1)
    """Least Jaccard similarity of two prompts that are compared, over windows of the folded text; shorter
    ones, of 128 different words at most, are compared where half of their words are the same. They must then
    have the same words in the same order, but for politeness, contractions, words that mean the same, slips
    of the pen, and a clause that changed its place. 1: equal prompts only."""
    label_rows: int = Field(10, ge=2)
    """Rows with the same short answer from which on it counts as a label: of two labels one is wrong."""
