"""The configs of all checks, a section each."""

from headrace.pipelines.section import Section


class Config(Section):
    """What is looked at over the whole set, between the search for duplicates and packing."""
