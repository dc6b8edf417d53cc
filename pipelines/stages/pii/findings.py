"""What was found in a text, and the form of the tags that stand in for it."""

from typing import NamedTuple

TAG = r"<[A-Z][A-Z_]*_(?:[0-9]+|[a-p]{16})>"  # of any kind: a number or a hash


class Finding(NamedTuple):
    """One finding: characters ``start:end`` of its text."""

    start: int
    end: int
    entity: str
    score: float
    recognizer: str
