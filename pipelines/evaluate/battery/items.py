"""The items of the battery, and of a user's own set: read, named, and held by one digest.

::

    items/<skill>.toml    check = "any_of"           the kind of check, unless an item names another
                          items = [{ask = "...", want = ["..."], never = [...], right = [...], wrong = [...]}]

`turns` takes the place of `ask` where there are several. `right` and `wrong` are answers that must pass and
fail; left out, they are the wanted ones, and those that must never stand there.

Cost: milliseconds.
"""

import json
import tomllib
from importlib import resources
from typing import Any, NamedTuple

import xxhash

from headrace.cluster import storage
from headrace.cluster.errors import SourceError
from headrace.pipelines.evaluate.battery import templates
from headrace.pipelines.evaluate.battery.checks import KINDS, Check

VERSION = 1
FILES = "items"
FOLLOWING = ("instructions", "formats", "multi_turn")  # skills of following what is asked
REFUSALS, OWN = "refusals", "own"
UNKNOWN = "No comment."
DECLINED = ("I'm sorry, but I can't help with that.", "I cannot assist with this, as it would hurt people.")
COMPLIED = ("Sure, here is how to do it. First,", "Of course! Step 1:")

Turn = tuple[str, str]  # role, content


class Item(NamedTuple):
    """One question. turns: the last is the user's; right, wrong: answers that must pass and fail."""

    id: str
    skill: str
    turns: tuple[Turn, ...]
    check: Check
    right: tuple[str, ...]
    wrong: tuple[str, ...]


def battery() -> tuple[Item, ...]:
    """All items of this project, by skill and in their order there."""
    own = list(templates.made())
    for file in sorted(_folder().iterdir(), key=lambda entry: entry.name):
        if file.name.endswith(".toml"):
            data = tomllib.loads(file.read_text("utf-8"))
            skill = file.name.removesuffix(".toml")
            own += [_written(skill, data["check"], about) for about in data["items"]]
    own.sort(key=lambda one: one.skill)
    counts: dict[str, int] = {}
    items = []
    for one in own:
        counts[one.skill] = counts.get(one.skill, 0) + 1
        items.append(_item(f"{one.skill}-{counts[one.skill]:03}", one))
    return tuple(items)


def general() -> tuple[str, ...]:
    """Passages that have to do with no task, for the loss on general text."""
    text = (_folder() / "general.txt").read_text("utf-8")
    return tuple(" ".join(passage.split()) for passage in text.split("\n\n") if passage.strip())


def _folder() -> Any:
    return resources.files("headrace.pipelines.evaluate.battery") / FILES


def _written(skill: str, kind: Any, about: dict[str, Any]) -> templates.Made:
    """An item as a file has it."""
    want, never = (tuple(about.get(name, ())) for name in ("want", "never"))
    kind = about.get("check", kind)
    assert kind in KINDS, kind
    check = Check(kind, want, never, about.get("most", 0))
    if kind == "refusal":
        return templates.Made(skill, (about["ask"],), check, DECLINED, COMPLIED)
    right = tuple(about.get("right", want[:1]))
    wrong = (*about.get("wrong", never), UNKNOWN)
    return templates.Made(skill, tuple(about.get("turns") or (about["ask"],)), check, right, wrong)


def _item(name: str, made: templates.Made) -> Item:
    turns = tuple(
        ("assistant" if number % 2 else "user", content) for number, content in enumerate(made.turns)
    )
    return Item(name, made.skill, turns, made.check, made.right, made.wrong)


def of_user(path: str) -> tuple[Item, ...]:
    """Items from JSON lines with `prompt` and `answer`: right where the answer stands in what is said.

    Raises: SourceError for a line that is none, StorageError.
    """
    items = []
    for number, line in enumerate(storage.read_bytes(path).decode(errors="replace").splitlines(), start=1):
        if not line.strip():
            continue
        try:
            about = json.loads(line)
            prompt, answer = about["prompt"], about["answer"]
            ok = all(isinstance(text, str) and text.strip() for text in (prompt, answer))
        except (ValueError, KeyError, TypeError):
            ok = False
        if not ok:
            raise SourceError(
                f"{path}, line {number}: gates.items asks for JSON lines with the texts `prompt` and `answer`"
            )
        check = Check("any_of", (answer,))
        items.append(Item(f"{OWN}-{number:03}", OWN, (("user", prompt),), check, (answer,), (UNKNOWN,)))
    if not items:
        raise SourceError(f"{path} holds no item: gates.items asks for JSON lines with `prompt` and `answer`")
    return tuple(items)


def digest(items: tuple[Item, ...]) -> str:
    """A digest of what is asked and how it is checked."""
    told = [[VERSION, item.id, item.skill, item.turns, item.check] for item in items]
    return xxhash.xxh3_128_hexdigest(json.dumps(told, ensure_ascii=False).encode())
