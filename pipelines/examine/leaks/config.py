"""The config of `leaks`, apart from its code."""

from typing import Literal

from pydantic import Field

from headrace.pipelines.section import Path, Section


class Against(Section):
    """One evaluation set, or a folder of several."""

    path: Path | tuple[Path, ...]
    """File, archive, folder (read recursively), glob, or a list of them; local or s3://."""
    name: str = ""
    """Name in reports; left out: the folder below the path that a file lies in, else the path's last part."""
    prompt: str | None = None
    """Column with what is asked; left out: told by the columns of mmlu, arc, bbh, gsm8k, humaneval, mbpp,
    truthfulqa, ifeval and mt-bench, else by the shape of the records, as for a source."""
    options: str | None = None
    """Column with the answers to choose from, a list or one text. They count as part of what is asked."""
    answer: str | None = None
    """Column with the right answer."""


class Config(Section):
    """What counts as a leak of an evaluation item, and what becomes of the row."""

    against: tuple[Path | Against, ...] = ()
    """Evaluation sets: paths, or mappings with a path and what else is to be said of the set."""
    policy: Literal["drop", "report"] = "drop"
    """drop: rows that hold an item go, for `decontaminate.leak`; report: they stay and are listed."""
    rare: int = Field(3, ge=1)
    """An n-gram of words is evidence where at most so many items hold it: from each word on the shortest of
    3, 5, 8 and 13 words that is so rare."""
    common: int = Field(16, ge=1)
    """An n-gram is no evidence where more rows than this hold it, and more than 1 in 2,000 of the corpus:
    a preamble, a template. What covers .8 of an item of 13 words or more is a leak all the same."""
    covered: float = Field(0.4, gt=0, le=1)
    """Share of an item's words, the rarer the heavier, that must stand in the row in runs of three words or
    more, where two n-grams of 13 words are there."""
    alike: float = Field(0.5, gt=0, le=1)
    """Share of an item's words, the rarer the heavier, that must stand in the same order in one stretch of
    the row where it is reworded. Of shorter items more is asked for (.09 more at 40 words, .28 more at 13),
    and .16 more of an answer. What is asked in fewer than 30 words, by a row that asks little else, is held
    against all that the row asks: .61 of both must be the same, .67 at 10 words, .78 at 7. Where few rows
    have an n-gram of it .71 of both is enough, or .15 more than this within a longer text, and more where its
    words are common."""
    min_words: int = Field(5, ge=3)
    """What is asked in fewer words (characters, in scripts without spaces) is not looked for. Answers need 13
    different words or so: "42" is nobody's."""

    @property
    def enabled(self) -> bool:
        """Whether there is a set to look for."""
        return bool(self.against)


def sets(config: Config) -> list[Against]:
    """The sets of `against`, each with its path."""
    return [one if isinstance(one, Against) else Against(path=one) for one in config.against]
