"""The configs of `advise` and `costs`, apart from their code."""

from typing import Literal

from pydantic import Field

from headrace.pipelines.section import Section

Kind = Literal["style", "narrow", "skill", "traces", "mixed", "text"]


class Config(Section):
    """What the advice takes for granted; it changes nothing that is written but the advice."""

    task: Kind | None = None
    """What is to be learnt: style (tone, persona, conversation), narrow (labels, extraction, summaries,
    rewriting), skill (code, maths), traces (reasoning before the answer), mixed (instructions of all kinds)
    or text. Left out: told by the traits of the rows."""
    least: int | None = Field(None, ge=0)
    """Effective examples below which the advice is not to tune; left out: by task."""
    enough: int | None = Field(None, ge=1)
    """Effective examples below which the advice is to gather more first; left out: by task."""
    facts: float = Field(0.7, ge=0, le=1)
    """Share of rows that ask for facts from which the advice is to retrieve instead of tuning; from half of
    it, to look at them first."""
    suspect: float = Field(0.05, ge=0, le=1)
    """Share of rows that contradict each other, bear a wrong label, or answer badly, above which the advice
    is to mend first; a fifth of it for what machines left in texts ("nan", error messages, escapes)."""
    gpu: str | None = None
    """GPU that the training is to fit on, such as h100-80g; left out: the one that is found."""


class Costs(Section):
    """Assumptions of the cost that `advise` works out: put your own in. Amounts are US dollars."""

    gpu_hour: float | None = Field(None, ge=0)
    """Price of an hour of the GPU; left out: that of `prices`."""
    prices: dict[str, float] = Field(default={"a100-80g": 1.5, "h100-80g": 2.95, "h200-141g": 4.0})
    """Prices of an hour by GPU, on demand: h100 the median of 37 providers (aimultiple.com/gpu-index), the
    others of mid-priced ones (mercatus-ai.com/blog/cloud-gpu-pricing)."""
    prices_date: str = "2026-05"
    """When these were the prices."""
    core_hour: float = Field(0.05, ge=0)
    """Price of an hour of a CPU core."""
    prepare_speed: float = Field(1.0, gt=0)
    """MB of text that a core prepares a second, before a run has measured it."""
    experiments: int = Field(8, ge=1)
    """Trainings until one is good enough: 5 to 10 are usual."""
    utilisation: float = Field(0.35, gt=0, le=1)
    """Share of a GPU's arithmetic that training and reading of prompts reach."""
    bandwidth: float = Field(0.6, gt=0, le=1)
    """Share of a GPU's memory bandwidth that writing of answers reaches."""
    concurrency: int = Field(16, ge=1)
    """Queries that are answered at once: they share each reading of the weights."""
    unmerged: float = Field(1.25, ge=1)
    """How many times longer an answer takes with the adapter beside the weights than merged into them."""
    queries: int = Field(10_000, ge=0)
    """Queries a month."""
    prompt_tokens: int | None = Field(None, ge=1)
    """Tokens of a prompt; left out: the mean of the set."""
    answer_tokens: int | None = Field(None, ge=1)
    """Tokens of an answer; left out: the mean of the set."""
    retrainings: float = Field(1.0, ge=0)
    """Trainings a month that keep the adapter up to date."""
    week: float = Field(2_000, ge=0)
    """What a week of somebody's work costs: ways of which a year lies less apart count as alike."""
    reserved: bool = False
    """Whether a GPU is rented all month to answer, however few ask."""
    larger: float = Field(70.0, gt=0)
    """Billions of parameters of the larger model that would do it with a prompt instead."""
    larger_prompt: int = Field(1_500, ge=0)
    """Tokens of instructions and examples that each query to it carries."""
    retrieved_tokens: int = Field(2_000, ge=0)
    """Tokens of passages that retrieval adds to each query."""
    retrieval_month: float = Field(50.0, ge=0)
    """What an index of passages costs a month."""
