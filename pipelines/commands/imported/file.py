"""A recipe from another trainer's file (`headrace import`).

What: reads the YAML of Axolotl or LLaMA-Factory, tells which it is by its keys, writes a recipe that can be
run, and lists every key that became nothing, with the kind of its value and why.

Why: what people bring is a file that works for them. A key that is dropped in silence is a training that
differs in silence.

Cost: the file is read, and LLaMA-Factory's list of data sets; no row is.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import yaml

from headrace.cluster import storage
from headrace.cluster.errors import RecipeError
from headrace.pipelines import recipe, yaml_text
from headrace.pipelines.commands.imported import axolotl, llamafactory
from headrace.pipelines.commands.imported.draft import Draft
from headrace.pipelines.console import Line

Tool = Literal["axolotl", "llamafactory"]
NAMES: dict[Tool, str] = {"axolotl": "Axolotl", "llamafactory": "LLaMA-Factory"}
KEYS: dict[Tool, tuple[str, ...]] = {"axolotl": axolotl.KEYS, "llamafactory": llamafactory.KEYS}


@dataclass(frozen=True)
class Imported:
    """A recipe as text, and what is to be said of it."""

    text: str
    lines: list[Line]


def imported(path: str, tool: Tool | None = None, gpus: int = 1, data: str = "") -> Imported:
    """The recipe that a file of another trainer's stands for.

    tool: whose file it is; None: told by its keys. gpus: how many it is meant for. data: where
    LLaMA-Factory's dataset_info.json lies.

    Raises: RecipeError (no such file, nobody's keys, values that a recipe cannot have), StorageError.
    """
    given = _read(path)
    tool = tool or _tool(given, path)
    if tool == "axolotl":
        made = axolotl.draft(given, gpus)
    else:
        made = llamafactory.draft(given, gpus, *_info(path, given, data))
    if not made.recipe["sources"]:
        raise RecipeError(
            f"{path} names no data: a recipe must have sources; write `headrace init` one instead"
        )
    recipe.validate(made.recipe, f"the recipe made of {path}")
    return Imported(_text(path, tool, made), _lines(path, tool, made))


def _read(path: str) -> dict[str, Any]:
    try:
        text = storage.read_bytes(path).decode()
    except (FileNotFoundError, IsADirectoryError) as error:
        raise RecipeError(f"no file at {path!r}") from error
    except UnicodeDecodeError as error:
        raise RecipeError(f"{path} is not UTF-8 text") from error
    value = yaml_text.value(text, path)
    if not isinstance(value, dict):
        raise RecipeError(f"{path}: holds no mapping of keys to values")
    return value


def _tool(given: Mapping[str, Any], path: str) -> Tool:
    """Whose file it is. Raises: RecipeError where its keys do not tell."""
    counts = {tool: sum(key in given for key in keys) for tool, keys in KEYS.items()}
    best = max(counts, key=lambda tool: counts[tool])
    if not counts[best] or min(counts.values()) == counts[best]:
        keys = "; ".join(f"{NAMES[tool]}: {', '.join(keys)}" for tool, keys in KEYS.items())
        raise RecipeError(f"{path}: its keys do not tell whose file it is ({keys}); say it with --from")
    return best


def _info(path: str, given: Mapping[str, Any], data: str) -> tuple[str, dict[str, Any] | None]:
    """Where the data lie, and what dataset_info.json holds: in `data`, or in `dataset_dir` of here or of a
    folder above the file. Raises: RecipeError.
    """
    folder = str(given.get("dataset_dir") or "data")
    above = os.path.dirname(os.path.abspath(path)) if not storage.is_remote(path) else ""
    tried = [data] if data else [folder]
    while above and not data:
        tried.append(os.path.join(above, folder))
        above = os.path.dirname(above) if os.path.dirname(above) != above else ""
    for place in tried:
        try:
            held = json.loads(storage.read_bytes(storage.join(place, llamafactory.INFO)))
        except FileNotFoundError:
            continue
        except ValueError as error:
            raise RecipeError(f"{storage.join(place, llamafactory.INFO)}: is no JSON") from error
        if isinstance(held, dict):
            return place, held
    if data:
        raise RecipeError(f"no {llamafactory.INFO} in {data!r}")
    return folder, None


def _text(path: str, tool: Tool, made: Draft) -> str:
    """The recipe as YAML, below what is to be known of it."""
    head = [f"A recipe for headrace, made of {os.path.basename(path)} ({NAMES[tool]})."]
    head += [line.text for line in _lines(path, tool, made)[1:]]
    order = {name: at for at, name in enumerate(recipe.Recipe.model_fields)}
    body = {name: made.recipe[name] for name in sorted(made.recipe, key=order.__getitem__)}
    shown = yaml.safe_dump(body, sort_keys=False, allow_unicode=True, width=100)
    return "".join(f"# {' '.join(line.split())}\n" for line in head) + "\n" + shown


def _lines(path: str, tool: Tool, made: Draft) -> list[Line]:
    over = len(made.taken & set(made.given))
    counts = {"taken": over, "left": len(made.left), "empty": made.empty}
    text = f"{path} ({NAMES[tool]}): {over} of {len(made.given)} keys were taken over"
    text += f", {made.empty} empty" if made.empty else ""
    text += f"; {len(made.left)} are listed, keys of data sets among them"
    lines = [Line(text, {"tool": tool, **counts})]
    lines += [Line(f"no counterpart: {one.key} ({one.kind}): {one.why}", vars(one)) for one in made.left]
    return lines + [Line(f"note: {note}", {"note": note}) for note in made.notes]
