"""What tuning costs as a whole, beside a larger model with a prompt, and beside retrieval.

What: plain formulas over measured numbers where there are some, and over assumptions that are all keys of
the recipe's section `costs`.

    training    FLOP = 4 x parameters x tokens x epochs (6 x with gradient_checkpointing)
                hours = FLOP / (GPU's FLOP/s x utilisation) / 3600, times `experiments`
    a query     seconds of a GPU = 2 x parameters x prompt tokens / (FLOP/s x utilisation)
                + answer tokens x bytes of the weights / (bandwidth x share reached x concurrency)
    a month     queries + retrainings x one training (+ a reserved GPU's hours)

Why 4: weights are frozen, so the backward pass is made for activations alone. A model of experts is counted
with all of them: an upper bound.
Source: Kaplan et al. 2020 (FLOP a token), https://arxiv.org/abs/2001.08361; Pope et al. 2022 (answers wait
for the weights to be read), https://arxiv.org/abs/2211.05102; LoRA (merged costs nothing),
https://arxiv.org/abs/2106.09685.
"""

from typing import Any, NamedTuple

from headrace.pipelines.examine.advice.config import Costs
from headrace.pipelines.examine.advice.facts import Facts
from headrace.pipelines.examine.advice.fit import Gpu

MONTH = 730  # hours
TOKEN = 4  # bytes of text a token, where none were counted
PROMPT, ANSWER = 300, 100  # tokens of a query, where the set tells nothing


class Needs(NamedTuple):
    """Whose cost it is: parameters of the model, tokens of an epoch, epochs, tokens of a query."""

    parameters: float
    tokens: int
    epochs: int
    prompt: int
    answer: int
    checkpointing: bool = False


def price(costs: Costs, gpu: str) -> float | None:
    """Dollars an hour of a GPU; None where nobody has said."""
    return costs.gpu_hour if costs.gpu_hour is not None else costs.prices.get(gpu)


def preparation(facts: Facts, costs: Costs) -> tuple[float, str]:
    """Hours of a core, and how they are known."""
    if facts.core_seconds is not None:
        return facts.core_seconds / 3600, "measured in this run"
    return facts.megabytes / costs.prepare_speed / 3600, f"at {costs.prepare_speed:g} MB/s a core"


def training(needs: Needs, gpu: Gpu, costs: Costs) -> float:
    """Hours of the GPU for one training."""
    flop = (6 if needs.checkpointing else 4) * needs.parameters * needs.tokens * needs.epochs
    return flop / (gpu.tflops * 1e12 * costs.utilisation) / 3600


def query(parameters: float, prompt: int, answer: int, gpu: Gpu, costs: Costs) -> float:
    """Seconds of the GPU for one query, of weights in two bytes."""
    speed = gpu.tflops * 1e12 * costs.utilisation
    reading = 2 * parameters / (gpu.bandwidth * 1e12 * costs.bandwidth * costs.concurrency)
    return 2 * parameters * prompt / speed + answer * (reading + 2 * parameters / speed)


def whole(facts: Facts, needs: Needs, gpu: Gpu, hour: float, costs: Costs) -> dict[str, Any]:
    """Amounts in dollars: once, per 1,000 queries, per month, and a year of each way."""
    cores, known = preparation(facts, costs)
    once = training(needs, gpu, costs)
    prepare, train = cores * costs.core_hour, once * hour

    def thousand(parameters: float, prompt: int, slower: float = 1.0) -> float:
        return 1000 * slower * query(parameters, prompt, needs.answer, gpu, costs) * hour / 3600

    queries = {
        "base": thousand(needs.parameters, needs.prompt),
        "unmerged": thousand(needs.parameters, needs.prompt, costs.unmerged),
        "merged": thousand(needs.parameters, needs.prompt),
        "larger": thousand(costs.larger * 1e9, needs.prompt + costs.larger_prompt),
        "retrieval": thousand(needs.parameters, needs.prompt + costs.retrieved_tokens),
    }
    reserved = MONTH * hour if costs.reserved else 0.0

    def month(way: str) -> float:  # a reserved GPU is paid for whether it answers or not
        return reserved or costs.queries / 1000 * queries[way]

    first = prepare + costs.experiments * train
    months = {
        "tuned": month("merged") + costs.retrainings * (train + prepare),
        "larger": month("larger"),
        "retrieval": month("retrieval") + costs.retrieval_month,
    }
    return {
        "prepare_core_hours": cores,
        "prepare_known": known,
        "training_hours": once,
        "prepare": prepare,
        "training": train,
        "experiments": costs.experiments * train,
        "once": first,
        "per_1000": queries,
        "month": months,
        "year": {way: 12 * n + (first if way == "tuned" else 0) for way, n in months.items()},
    }
