"""The base of every config model: frozen, and unknown keys are refused."""

import difflib
from collections.abc import Iterable
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict


class Section(BaseModel):
    """One section of the recipe."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", protected_namespaces=(), use_attribute_docstrings=True
    )


def _path(value: str) -> str:
    """A path as it is. Raises: ValueError for one that can name nothing."""
    scheme, separator, rest = value.partition("://")
    if not value.strip():
        raise ValueError("is empty")
    if "\0" in value or any(0xD800 <= ord(c) < 0xDC80 or 0xDD00 <= ord(c) < 0xE000 for c in value):
        raise ValueError("has a character that no path can have")
    if separator and scheme != "file" and not rest.partition("/")[0]:
        raise ValueError("names no bucket; write s3://bucket/path")
    return value


Path = Annotated[str, AfterValidator(_path)]
"""A path, local or s3://, that can name something."""


def hint(name: str, known: Iterable[str], what: str = "known") -> str:
    """What to write instead of the unknown `name`: the nearest of the `known` names, or all of them."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    return f"did you mean {near[0]!r}?" if near else f"{what}: {', '.join(names)}"
