"""The configs of all checks, a section each."""

from headrace.pipelines.examine.bias.config import Config as Bias
from headrace.pipelines.examine.spot_check.config import Config as SpotCheck
from headrace.pipelines.section import Section


class Config(Section):
    """What is looked at over the whole set, between the search for duplicates and packing."""

    bias: Bias = Bias()
    spot_check: SpotCheck = SpotCheck()
