"""The config of `spot_check`, apart from its code."""

from pydantic import Field

from headrace.pipelines.section import Section


class Config(Section):
    """What is asked of people's ratings of a draw of rows (`headrace sample`)."""

    required: float | None = Field(None, gt=0, le=1)
    """Share of rows that must be right before `train` and `run` train on them, such as 0.95: the lower end of
    the 95% interval has to reach it, so that few ratings cannot (for 0.95: 197 of 200 rows, or 389 of 400).
    Left out: nothing is asked."""
