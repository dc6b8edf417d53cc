"""The configs of all checks, a section each."""

from headrace.pipelines.examine.formats.config import Config as Formats
from headrace.pipelines.examine.reasoning.config import Config as Reasoning
from headrace.pipelines.section import Section


class Config(Section):
    """What is looked at over the whole set, between the search for duplicates and packing."""

    formats: Formats = Formats()
    reasoning: Reasoning = Reasoning()
