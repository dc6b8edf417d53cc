"""Values to start a training with, by what is to be learnt, as a section of the recipe.

What: rank, alpha, learning rate, epochs and rows a step, each with its source. They are where to begin, and
what is worth a sweep is the learning rate.

Why packed rows: a step has `rows_per_step` packed rows, and a packed row holds many short samples, so that
the batch is counted in samples.

Source: QLoRA (rates and batches by size of the model), https://arxiv.org/abs/2305.14314; LoRA Without Regret
(all layers, small batches, a rate that hardly hangs on the rank), https://thinkingmachines.ai/blog/lora/;
LoRA Learns Less and Forgets Less (rank for code and maths), https://arxiv.org/abs/2405.09673.
"""

import math
from typing import NamedTuple

import yaml

from headrace.pipelines.examine.advice.config import Kind
from headrace.pipelines.examine.advice.facts import Facts

SAMPLES = 16  # of a step
LEAST = 4  # times the mean of a sample that a packed row has at least
STEPS = 100  # fewer hardly move an adapter
LARGE = 30e9  # parameters from which QLoRA halves the rate
QLORA = "https://arxiv.org/abs/2305.14314"
REGRET = "https://thinkingmachines.ai/blog/lora/"
LESS = "https://arxiv.org/abs/2405.09673"
S1 = "https://arxiv.org/abs/2501.19393"


class Start(NamedTuple):
    """Values by what is to be learnt, and where they come from."""

    rank: int
    alpha: int
    rate: float
    epochs: int
    why: str


OWN = "epochs by judgement, 1 to 3 are usual"
STARTS: dict[Kind, Start] = {
    "style": Start(
        8,
        16,
        1e-4,
        2,
        f"small sets fit into small adapters: {REGRET}; half of QLoRA's rate, by judgement: {QLORA}; {OWN}",
    ),
    "narrow": Start(16, 32, 2e-4, 3, f"rate: {QLORA}; rank: {REGRET}; {OWN}"),
    "skill": Start(64, 128, 2e-4, 2, f"code and maths need a higher rank: {LESS}; rate: {QLORA}; {OWN}"),
    "traces": Start(
        64,
        128,
        1e-4,
        3,
        f"rank as for maths: {LESS}; ten times the rate of s1 (all weights): {S1}, {REGRET}; {OWN}",
    ),
    "mixed": Start(32, 64, 2e-4, 2, f"rate: {QLORA}; rank: {REGRET}; {OWN}"),
    "text": Start(64, 128, 1e-4, 1, f"much text needs a high rank: {LESS}; rate and epochs by judgement"),
}


class Plan(NamedTuple):
    """A training. values: keys of the section `train`; steps: 0 where nothing is known of the rows."""

    values: dict[str, float | int | bool]
    steps: int
    why: list[str]


def plan(facts: Facts, kind: Kind, parameters: float, batch: int) -> Plan:
    """Values for a set and a model of so many parameters (0: not known).

    batch: packed rows that a worker computes at once, at most.
    """
    start = STARTS[kind]
    rate = start.rate / 2 if parameters >= LARGE else start.rate
    each = facts.samples / facts.packed if facts.packed else 1.0  # samples of a packed row
    a_step = max(1, round(SAMPLES / each))
    epochs = start.epochs
    steps = -(-facts.packed * epochs // a_step) if facts.packed else 0
    values: dict[str, float | int | bool] = {
        "rank": start.rank,
        "alpha": start.alpha,
        "learning_rate": rate,
        "epochs": epochs,
        "rows_per_step": a_step,
        "batch_size": min(a_step, batch),
    }
    why = [f"rank, alpha, learning_rate, epochs: {start.why}"]
    held = a_step * each
    why.append(
        f"batch: the {a_step} packed row{'s' * (a_step != 1)} of a step hold{'s' * (a_step == 1)} about "
        f"{held:,.0f} samples; {SAMPLES} are usual, and large batches cost adapters more: {QLORA}, {REGRET}"
    )
    shorter = shortened(facts, held)
    if shorter:
        why.append(
            f"samples are short: with `tokenise.max_length: {shorter}` (longer rows are split) a step holds "
            f"about {held * shorter * facts.packed / facts.tokens:,.0f} of them"
        )
    if 0 < steps < STEPS:
        why.append(f"{steps:,} steps are few: make them smaller first, as more epochs learn by heart")
    return Plan(values, steps, why)


def shortened(facts: Facts, held: float) -> int:
    """Tokens of a packed row with which a step has about `SAMPLES` samples; 0 where that is so."""
    if held <= 3 * SAMPLES or not facts.samples:
        return 0
    mean = facts.tokens / facts.samples
    wanted = max(facts.tokens / facts.packed * SAMPLES / held, LEAST * mean)
    return int(max(128, 2 ** math.ceil(math.log2(wanted))))


def section(values: dict[str, float | int | bool]) -> str:
    """The values as a section of a recipe, to be pasted."""
    text: str = yaml.safe_dump({"train": values}, sort_keys=False)
    return text
