"""Names by which adapters stand side by side: those of their run directories."""

import re
from collections.abc import Sequence


def names(runs: Sequence[str]) -> list[str]:
    """A name for each run: the last part of its path, led by the one above where two are called alike."""
    paths = [run.rstrip("/").split("/") for run in runs]
    for parts in (1, 2, 3):
        found = [
            re.sub(r"[^A-Za-z0-9._-]+", "-", "-".join(p[-parts:])).strip("-.") or "adapter" for p in paths
        ]
        if len(set(found)) == len(found):
            return found
    return [f"{name}-{number}" for number, name in enumerate(found, 1)]
