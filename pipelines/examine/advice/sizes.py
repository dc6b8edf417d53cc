"""What a set teaches, and how many examples that takes: rules of thumb with their sources.

The numbers are counted in effective examples, those that ask different things: of 10,000 rewordings of 100
questions there are 100. They are where others saw gains begin, not laws: `advise.least` and `advise.enough`
put others in their place.
"""

from typing import NamedTuple

from headrace.pipelines.examine.advice.config import Config, Kind
from headrace.pipelines.examine.advice.facts import Facts

KINDS: dict[str, Kind] = {
    "classification": "narrow",
    "extraction": "narrow",
    "summarisation": "narrow",
    "rewriting": "narrow",
    "translation": "narrow",
    "code": "skill",
    "maths": "skill",
    "chat": "style",
    "creative": "style",
    "opinion": "style",
    "text": "text",
    "question": "mixed",
    "knowledge": "mixed",
    "other": "mixed",
}
LABELLED = 64  # rows a label
MOST = 0.5  # share of rows of one kind by which a set is of that kind


class Size(NamedTuple):
    """Effective examples: below `least` expect nothing, below `some` little."""

    least: int
    some: int
    enough: int
    means: str
    source: str


OPENAI = "https://developers.openai.com/api/docs/guides/supervised-fine-tuning"
SETFIT = "https://arxiv.org/abs/2209.11055, which compares 8 and 64 rows a label"
LIMA = "https://arxiv.org/abs/2305.11206"
SIZES: dict[Kind, Size] = {
    "style": Size(
        100,
        300,
        1_000,
        "a few hundred examples teach a tone",
        f"rule of thumb; gains from 50 to 100 on: {OPENAI}",
    ),
    "narrow": Size(
        500,
        1_000,
        5_000,
        "a narrow task takes 1,000 to 5,000",
        f"rule of thumb; start small and measure: {OPENAI}",
    ),
    "skill": Size(
        500,
        1_000,
        10_000,
        "the form of answers is learnt; better code, maths or reasoning takes tens of thousands",
        "100,000 pairs: https://arxiv.org/abs/2405.09673",
    ),
    "traces": Size(
        300,
        800,
        10_000,
        "800 to 1,000 excellent traces teach a model that knows the matter; others take tens of thousands",
        "817 traces: https://arxiv.org/abs/2502.03387; 1,000: https://arxiv.org/abs/2501.19393",
    ),
    "mixed": Size(500, 1_000, 1_000, "1,000 excellent and different examples beat 100,000 poor ones", LIMA),
    "text": Size(
        1_000,
        5_000,
        50_000,
        "plain text teaches by tokens, not rows, and an adapter learns little of it",
        "https://arxiv.org/abs/2405.09673",
    ),
}


def kind_of(facts: Facts, config: Config) -> tuple[Kind, str]:
    """What the set teaches, and why that is said."""
    if config.task is not None:
        return config.task, "as advise.task says"
    if facts.labelled > MOST * facts.rows:
        return "narrow", f"{facts.labelled:,} of {facts.rows:,} rows answer with a label"
    if not facts.tasks or not facts.told:
        return "mixed", "the rows' tasks were not looked at"
    if facts.traced is not None and facts.traced > MOST * facts.told:
        return "traces", f"{facts.traced:,} of {facts.told:,} rows reason before they answer"
    sums: dict[Kind, int] = {}
    for task, n in facts.tasks.items():
        kind = KINDS.get(task, "mixed")
        sums[kind] = sums.get(kind, 0) + n
    first = max(sorted(sums), key=lambda kind: sums[kind])
    top = sorted(facts.tasks.items(), key=lambda pair: (-pair[1], pair[0]))[:3]
    told = ", ".join(f"{n / facts.told:.0%} {task}" for task, n in top)
    return (first, told) if sums[first] > MOST * facts.told else ("mixed", told)


def size_of(kind: Kind, config: Config) -> Size:
    """How many examples that takes, with the recipe's own numbers."""
    size = SIZES[kind]
    least = size.least if config.least is None else config.least
    some = max(least, size.some if config.enough is None else config.enough)
    changed = config.least is not None or config.enough is not None
    own = "the recipe (advise.least, advise.enough)" if changed else size.source
    return Size(least, some, max(some, size.enough), size.means, own)
