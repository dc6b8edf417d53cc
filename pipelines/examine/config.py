"""The configs of all checks, a section each."""

from headrace.pipelines.examine.bias.config import Config as Bias
from headrace.pipelines.examine.contradictions.config import Config as Contradictions
from headrace.pipelines.examine.diversity.config import Config as Diversity
from headrace.pipelines.examine.formats.config import Config as Formats
from headrace.pipelines.examine.label_noise.config import Config as LabelNoise
from headrace.pipelines.examine.reasoning.config import Config as Reasoning
from headrace.pipelines.examine.spot_check.config import Config as SpotCheck
from headrace.pipelines.section import Section


class Config(Section):
    """What is looked at over the whole set, between the search for duplicates and packing."""

    contradictions: Contradictions = Contradictions()
    label_noise: LabelNoise = LabelNoise()
    diversity: Diversity = Diversity()
    formats: Formats = Formats()
    reasoning: Reasoning = Reasoning()
    bias: Bias = Bias()
    spot_check: SpotCheck = SpotCheck()
