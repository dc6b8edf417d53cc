"""What `headrace submit` sends: a recipe whose paths mean the same on every node.

A job runs in a temporary directory of the cluster's own: what a relative path names is not there, and what is
written to one is lost when Ray removes the directory. So relative paths are refused before anything is sent.
"""

import os
from collections.abc import Iterator, Sequence

from headrace.cluster import storage
from headrace.cluster.errors import RecipeError
from headrace.pipelines import recipe
from headrace.pipelines.recipe import Recipe


def sendable(path: str, overrides: Sequence[str]) -> tuple[bytes, list[str]]:
    """The text of a recipe, or of the one that a run directory keeps, and the overrides to send with it.

    Raises: RecipeError for a recipe that is wrong or names a relative path, StorageError.
    """
    loaded = recipe.load_of(path, overrides)
    relative = list(_relative(loaded))
    if relative:
        lines = "\n".join(f"  {key}: {os.path.abspath(value)}" for key, value in relative)
        named = " and ".join(f"{key}: {value!r}" for key, value in relative[:3])
        more = " and others" if len(relative) > 3 else ""
        what = "is a relative path" if len(relative) == 1 else "are relative paths"
        raise RecipeError(
            f"{path}: {named}{more} {what}: a job runs in a temporary directory of the cluster, where it "
            "finds nothing and leaves a run that is lost. Write what every node can read, s3:// or a shared "
            f"disk; where this disk is shared:\n{lines}"
        )
    kept = storage.join(path, "recipe.yaml")
    if path.endswith((".yaml", ".yml")) or not storage.exists(kept):
        return storage.read_bytes(path), list(overrides)
    return storage.read_bytes(kept), [f"output={loaded.output}", *overrides]


def _relative(loaded: Recipe) -> Iterator[tuple[str, str]]:
    """(key, value) of every path in a recipe that is relative.

    A model that is no directory here is the name of one on the hub.
    """
    named: list[tuple[str, str]] = [("output", loaded.output)]
    for at, source in enumerate(loaded.sources):
        paths = [source.path] if isinstance(source.path, str) else source.path
        named += [(f"sources.{at}.path", one) for one in paths]
    named += [(f"steps.{at}.python", step.python) for at, step in enumerate(loaded.steps.root)]
    if isinstance(loaded.clean.abbreviations, str):
        named.append(("clean.abbreviations", loaded.clean.abbreviations))
    named += [(f"dedup.against.{at}", one) for at, one in enumerate(loaded.dedup.against)]
    for key, model in (("model", loaded.model), ("pii.ner.model", loaded.pii.ner.model)):
        if model is not None and (os.path.isdir(model) or model.startswith(("./", "../"))):
            named.append((key, model))
    for key, value in named:
        if not storage.is_remote(value) and not value.startswith("file://") and not os.path.isabs(value):
            yield key, value
