"""The words that the made-up tickets of `commands.demo.sample` are put together from: `phrases.toml`."""

import tomllib
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Problem:
    """What can go wrong, how customers say it, and how it is triaged."""

    category: str
    next_step: str
    sayings: tuple[str, ...]


_READ = tomllib.loads((Path(__file__).parent / "phrases.toml").read_text("utf-8"))

PROBLEMS = tuple(Problem(p["category"], p["next_step"], tuple(p["sayings"])) for p in _READ["problems"])
URGENCY: dict[str, tuple[str, ...]] = {name: tuple(cues) for name, cues in _READ["urgency"].items()}
PRODUCTS: tuple[str, ...] = tuple(_READ["products"])
PLACES: tuple[str, ...] = tuple(_READ["places"])
DAYS: tuple[str, ...] = tuple(_READ["days"])
NAMES: tuple[str, ...] = tuple(_READ["names"])
OPENINGS: tuple[str, ...] = tuple(_READ["openings"])
DETAILS: tuple[str, ...] = tuple(_READ["details"])
CLOSINGS: tuple[str, ...] = tuple(_READ["closings"])
RECEIPTS: tuple[str, ...] = tuple(_READ["receipts"])
LOG: tuple[str, ...] = tuple(_READ["log"])
