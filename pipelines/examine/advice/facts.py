"""What is known of a set, as numbers, whoever counted them; None where nobody looked.

`of_run` takes them from run.json. A row stands as its id where there is a run, else as file and place.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from headrace.pipelines.examine.diversity.counted import LARGE, once
from headrace.pipelines.schema import SPLITS

CHECKS = ("diversity", "contradictions", "label_noise", "leaks", "formats", "reasoning", "spot_check")
MOST = 5  # rows that a reason names
Counts = Mapping[str, int]


@dataclass(frozen=True)
class Facts:
    """A set in numbers. name: the run directory, or "" before a run; `partial`: the files hold more."""

    rows: int  # kept, duplicates apart
    records: int  # that came in
    name: str = ""
    partial: bool = False
    lost: Counts = field(default_factory=dict)  # records by reason
    changed: Counts = field(default_factory=dict)  # what was done to rows, by stage and kind
    tasks: Counts | None = None
    rules: Counts | None = None  # what told the tasks
    flags: Counts | None = None
    # Of each source its `rows` with traits, and how many of them have each of their `flags`.
    by_source: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    traced: int | None = None  # rows with reasoning before the answer
    told: int = 0  # rows whose traits were told
    checks: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    sides: Counts | None = None  # rows by side
    samples: int = 0  # of the training side
    packed: int = 0  # its packed rows
    tokens: int = 0  # its tokens
    estimated: bool = False  # whether tokens are told from bytes
    shortened: int = 0
    core_seconds: float | None = None
    megabytes: float = 0.0
    tokens_per_second: float | None = None  # targets that a training learnt a second
    examples: Mapping[str, list[Any]] = field(default_factory=dict)  # rows by task, flag and form
    forms: Counts = field(default_factory=dict)  # rows by form, of `formed` that were looked at
    formed: int = 0

    @property
    def effective(self) -> float | None:
        """Effective number of prompts."""
        found = self.checks.get("diversity")
        return (
            None if found is None or "effective_prompts" not in found else float(found["effective_prompts"])
        )

    @property
    def large(self) -> list[Mapping[str, Any]]:
        """Clusters of alike prompts that hold more than `LARGE` of them."""
        found = self.checks.get("diversity", {}).get("largest") or []
        return [cluster for cluster in found if float(cluster.get("share", 0)) > LARGE]

    @property
    def different(self) -> float | None:
        """Effective number of prompts, each large cluster counted as one."""
        number = self.effective
        return number if number is None else once(number, [float(one["share"]) for one in self.large])

    @property
    def size(self) -> int:
        """Examples that count: rows, or different prompts where they are fewer."""
        asked = int(self.checks.get("diversity", {}).get("rows", 0))
        if self.different is None or not asked:
            return self.rows
        return min(self.rows, round(self.different) + max(self.rows - asked, 0))

    @property
    def labelled(self) -> int:
        """Rows of sources whose answers are labels."""
        return sum(int(s.get("rows", 0)) for s in self._labelled)

    @property
    def labels(self) -> int:
        """Labels of these sources."""
        return sum(int(s.get("labels", 0)) for s in self._labelled)

    @property
    def _labelled(self) -> list[Mapping[str, Any]]:
        return list(self.checks.get("label_noise", {}).get("sources") or ())


def of_run(run: Mapping[str, Any], path: str, examples: Mapping[str, list[Any]] | None = None) -> Facts:
    """Facts of run.json; `path`: the run directory, as commands are to name it."""
    books, packed = run.get("rows") or {}, (run.get("packed") or {}).get("train") or {}
    lost = {**(books.get("dropped") or {}), **(books.get("quarantined") or {})}
    splits, traits = run.get("splits") or {}, run.get("traits") or {}
    sides = {side: int(own["rows"]) for side, own in splits.items() if side in SPLITS}
    stages = run.get("stages") or {}
    spent = [float(s.get("seconds", 0)) for s in stages.values()]
    examined = {**(run.get("examine") or {})}
    tasks = traits.get("task")
    return Facts(
        rows=sum(sides.values()) if sides else int(books.get("kept", 0)),
        records=int(books.get("in", 0)),
        name=path,
        lost={str(k): int(n) for k, n in lost.items()},
        changed=run.get("changed") or {},
        tasks=tasks or None,
        rules=traits.get("rule"),
        flags=traits.get("flags"),
        by_source=run.get("flagged") or {},
        traced=traced(traits),
        told=sum(tasks.values()) if tasks else 0,
        checks={name: examined[name] for name in CHECKS if looked(examined.get(name))},
        sides=sides or None,
        samples=int(packed.get("samples", 0)),
        packed=int(packed.get("rows", 0)),
        tokens=int(packed.get("tokens", 0)),
        shortened=int(run.get("shortened") or 0),
        core_seconds=sum(spent) if spent else None,
        megabytes=max((float(s.get("bytes", 0)) for s in stages.values()), default=0.0) / 1e6,
        tokens_per_second=(run.get("train") or {}).get("tokens_per_second"),
        examples=examples or {},
    )


def traced(traits: Mapping[str, Counts]) -> int | None:
    """Rows with reasoning before the answer, by rows of each trait's values; None where nobody looked."""
    forms = traits.get("reasoning")
    return None if forms is None else sum(n for f, n in forms.items() if f not in ("none", "empty", "steps"))


def looked(report: Any) -> bool:
    """Whether a check has looked: its report is there, and does not say that it was off."""
    return isinstance(report, Mapping) and bool(report) and report.get("enabled", True) is not False
