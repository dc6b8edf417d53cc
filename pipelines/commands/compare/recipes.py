"""What two runs' recipes have otherwise: of each key its value in both.

What: recipe.yaml of both, but what the training and the evaluation were really done with goes before it: a
command may have been given other keys. Recipes hold no secrets; `output` is another one always.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from headrace.pipelines import recipe
from headrace.pipelines.commands.compare.items import Evaluated
from headrace.pipelines.train import adapter

BESIDE = ("output", "evaluate.judge")  # keys that change nothing of what is compared
Key = tuple[str, Any]


def differences(first: Evaluated, second: Evaluated) -> dict[str, list[Any]]:
    """Values of both by key, of the keys that differ; null where one has no such key."""
    one, other = settings(first), settings(second)
    keys = [key for key in {**one, **other} if one.get(key) != other.get(key) and not key.startswith(BESIDE)]
    return {key: [one.get(key), other.get(key)] for key in keys}


def settings(of: Evaluated) -> dict[str, Any]:
    """Every key of the recipe by its path, with its value. Raises: OutputError, StorageError."""
    _, known = recipe.kept(of.run)
    whole = dict(_flat(known.model_dump(mode="json"))) if known is not None else {}
    done = dict(_flat({"evaluate": of.config.model_dump(mode="json")}))
    trained = dict(_flat((adapter.card(of.run) or {}).get("settings") or {}))
    return {key: value for key, value in whole.items() if not key.startswith("evaluate.")} | trained | done


def _flat(value: Mapping[str, Any], prefix: str = "") -> Iterator[Key]:
    """Keys by their path; the items of a list of named sections by their names."""
    for key, held in value.items():
        path = f"{prefix}{key}"
        named = isinstance(held, list) and held and all(isinstance(i, dict) and i.get("name") for i in held)
        if named:
            held = {item["name"]: item for item in held}
        if isinstance(held, Mapping) and held:
            yield from _flat(held, f"{path}.")
        else:
            yield path, held
