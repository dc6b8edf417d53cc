"""The config of `fingerprint`, apart from its code."""

from pydantic import Field

from headrace.pipelines.section import Section

KEYED = 256  # parts with as many features or more are never so short that their exact key is asked for


class Config(Section):
    """How rows are sketched."""

    ngram: int = Field(8, ge=4, le=16)
    """Bytes of a window, the feature that sketches and similarities are made of."""
