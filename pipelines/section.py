"""The base of every config model: frozen, and unknown keys are refused."""

import difflib
from collections.abc import Iterable

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """One section of the recipe."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", protected_namespaces=(), use_attribute_docstrings=True
    )


def hint(name: str, known: Iterable[str], what: str = "known") -> str:
    """What to write instead of the unknown `name`: the nearest of the `known` names, or all of them."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    return f"did you mean {near[0]!r}?" if near else f"{what}: {', '.join(names)}"
