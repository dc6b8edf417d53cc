"""What becomes of another trainer's file: a recipe's mapping, and a list of what has no counterpart.

Every key of the file ends in one of the two, or holds nothing: `finish` sees to that. Values are shown
nowhere but in the recipe: a file may hold a token.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

ELSE = "headrace has nothing of the kind"


@dataclass(frozen=True)
class Left:
    """A key that became nothing, what its value is, and why."""

    key: str
    kind: str
    why: str


@dataclass
class Draft:
    """A recipe in the making.

    given: what the file holds. recipe: what is made of it. taken: keys that were used. left: those without a
    counterpart. notes: what is to be known of the recipe.
    """

    given: Mapping[str, Any]
    recipe: dict[str, Any] = field(default_factory=dict)
    taken: set[str] = field(default_factory=set)
    left: list[Left] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def get(self, key: str, default: Any = None) -> Any:
        """The value of a key, a number where it is one in quotes; `default` where it holds nothing."""
        value = self.given.get(key)
        return default if is_empty(value) else number(value)

    def put(self, place: str, value: Any, *keys: str) -> None:
        """Set `section.key` of the recipe to what `keys` of the file say."""
        self.taken |= set(keys)
        *above, last = place.split(".")
        section = self.recipe
        for name in above:
            section = section.setdefault(name, {})
        section[last] = value

    def copy(self, key: str, place: str) -> None:
        """Set `section.key` to the value of a key, where it has one."""
        if (value := self.get(key)) is not None:
            self.put(place, value, key)

    def leave(self, key: str, why: str) -> None:
        """Note that a key became nothing, unless it was taken."""
        if key not in self.taken:
            self.tell(key, why, self.given.get(key))

    def tell(self, key: str, why: str, value: Any) -> None:
        """Note that a key became nothing, or not all that it says. value: what it holds."""
        if not is_empty(value) and all(one.key != key for one in self.left):
            self.left.append(Left(key, kind(value), why))

    def finish(self, reasons: Mapping[str, str]) -> None:
        """Leave what nobody has taken. reasons: why, by the beginning of a key; the longest counts."""
        told = {one.key for one in self.left}
        for key in self.given:
            if key not in self.taken and key not in told:
                near = max((r for r in reasons if re.match(r, key)), key=len, default="")
                self.leave(key, reasons.get(near, ELSE))

    @property
    def empty(self) -> int:
        """Keys that hold nothing."""
        return sum(is_empty(value) for value in self.given.values())


def is_empty(value: Any) -> bool:
    """Whether a key is there and says nothing."""
    return value is None or value in ("", [], {})


def number(value: Any) -> Any:
    """What YAML takes for a text and is a number: 2e-4."""
    if isinstance(value, str) and re.fullmatch(r"[+-]?\d+(\.\d*)?[eE][+-]?\d+", value.strip()):
        return float(value)
    return value


def kind(value: Any) -> str:
    """What a value is, in words, without it."""
    if isinstance(value, bool):
        return "yes or no"
    if isinstance(value, int | float):
        return "number"
    if isinstance(value, list):
        return f"list of {len(value)}"
    return f"mapping of {len(value)}" if isinstance(value, dict) else "text"
