"""Base beside tuned on held-out rows: the same samples, the same prompts, one model with and without adapter.

What: samples drawn from packed/<split> are unpacked. Loss, perplexity and token accuracy are teacher
forced over their target tokens. For the answers, the prompt is everything before a sample's last
target span and the reference is that span; both models go on from the prompt greedily, and exact
match, ROUGE and BLEU hold their answers against the reference. Samples without a prompt (plain text)
count for the loss alone.

Why an interval: on a few hundred samples a difference may be chance; every metric comes with a paired
bootstrap interval (`pipelines.scores`) and the verdict it allows.

Cost: two passes and two generations of each sample; on a CPU for small models and samples only.
"""

import json
import math
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import peft
import ray
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch.nn import functional
from transformers import GenerationConfig

from cluster import ledger, session, storage
from cluster.errors import GateError, ModelError, SourceError
from pipelines import batches, models
from pipelines import scores as measures
from pipelines.settings import Section
from pipelines.train import ADAPTER, CARD, cause

VERSION = 1
FOLDER = "evaluation"
Metric = Literal["loss", "perplexity", "token_accuracy", "exact_match", "rouge1", "rougeL", "bleu"]
METRICS: tuple[Metric, ...] = (
    "loss",
    "perplexity",
    "token_accuracy",
    "exact_match",
    "rouge1",
    "rougeL",
    "bleu",
)
LOWER_IS_BETTER = {"loss", "perplexity"}
FORCED = {"loss", "perplexity", "token_accuracy"}  # need no generation
FEWEST = 2  # tokens of a prompt: one alone is the tokenizer's start token


class Gate(Section):
    """What the tuned model must reach, or the command ends with exit code 3."""

    metric: Metric = "loss"
    """Metric in which it must be better than its base, clearly: the interval must not hold 0."""
    improvement: float = Field(default=0.0, ge=0)
    """Least gain, in the unit of the metric."""


class Config(Section):
    """How base and tuned model are compared."""

    split: Literal["test", "validation"] = "test"
    """Which held-out rows."""
    samples: int = Field(default=200, ge=1)
    """Most samples, drawn at random by the recipe's seed."""
    max_new_tokens: int = Field(default=128, ge=1)
    """Longest answer; a longer one is cut and counted as unfinished."""
    batch_size: int = Field(default=8, ge=1)
    """Samples that are computed at once."""
    metrics: tuple[Metric, ...] = Field(default=METRICS, min_length=1)
    """What is measured; without those of answers nothing is generated."""
    bleu_tokenizer: Literal["13a", "intl", "char", "zh", "none"] = "13a"
    """How sacrebleu cuts words: `zh` for Chinese, `char` for other scripts without spaces."""
    examples: int = Field(default=20, ge=0)
    """Answers of both models that are kept to be read."""
    precision: models.Precision = "auto"
    """float32, bfloat16, or auto: bfloat16 on GPUs that compute in it."""
    attention: models.Attention = "sdpa"
    """Implementation of attention: sdpa or eager."""
    gate: Gate | None = None
    """Left out: the comparison is told and nothing depends on it."""


@dataclass(frozen=True)
class Sample:
    """One unpacked segment: ``int64[L]`` each; labels are -100 where there is no loss."""

    ids: NDArray[np.int64]
    labels: NDArray[np.int64]

    def span(self) -> tuple[int, int]:
        """Where the last run of target tokens starts and ends."""
        places = np.flatnonzero(self.labels != batches.IGNORE)
        breaks = np.flatnonzero(np.diff(places) > 1)
        return int(places[breaks[-1] + 1 if len(breaks) else 0]), int(places[-1]) + 1


@dataclass(frozen=True)
class Measured:
    """One model on all samples. forced: nats, targets, right ones, ``float64[N, 3]``."""

    forced: NDArray[np.float64]
    answers: list[str]
    unfinished: int


@dataclass(frozen=True)
class Outcome:
    """Both models on the samples, with prompts and references of those that have a prompt."""

    base: Measured
    tuned: Measured
    prompts: list[str]
    references: list[str]


def run(run_directory: str, model: str | None, config: Config, *, seed: int) -> dict[str, Any]:
    """Measure the model with and without `adapter/`; writes evaluation/scores.json and samples.json.

    Returns, by metric: base, tuned, interval (95%, of tuned - base), verdict ("better", "worse",
    "no clear difference") and n, the samples it is over. Runs as a task where Ray is up, on a GPU
    where there is one.

    Raises: ModelError (no model, no adapter, another model's adapter), SourceError (nothing held
    out), StorageError; GateError where the recipe's gate is not passed, after all is written.
    """
    models.configuration(model)
    assert model is not None, "configuration refuses it"
    run_directory = run_directory if storage.is_remote(run_directory) else os.path.abspath(run_directory)
    card = _card(run_directory, models.mark(model))
    shelf = batches.shelf(run_directory, config.split)
    if not shelf.rows:
        raise SourceError(
            f"packed/{config.split} holds nothing to evaluate on; give evaluate.split another split, or "
            "split.* larger shares"
        )
    told = config.model_dump(mode="json", exclude={"gate"})
    key = ledger.key(VERSION, card["key"], card["step"], card["base_mark"], told, seed, shelf.mark)
    target = storage.join(run_directory, FOLDER, "scores.json")
    held = _held(target)
    if held.get("key") != key:
        outcome = _compute(run_directory, model, config, shelf, seed)
        held = _scored(outcome, config, seed)
        held = {"key": key, "split": config.split, "adapter_step": card["step"], **held}
        examples = {"samples": _examples(outcome, config.examples)}
        storage.put(storage.join(run_directory, FOLDER, "samples.json"), _json(examples))
        storage.put(target, _json(held))
    _judge(held["metrics"], config)
    return dict(held["metrics"])


def scores(run_directory: str) -> dict[str, Any]:
    """What `run` has written last, as it returns it; empty where there is nothing."""
    return dict(_held(storage.join(run_directory, FOLDER, "scores.json")).get("metrics", {}))


def _judge(metrics: dict[str, Any], config: Config) -> None:
    """Hold what `run` returned against the gate. Raises: GateError where the tuned model fails it."""
    if config.gate is None:
        return
    name = config.gate.metric
    found = metrics.get(name, {"base": None, "tuned": None})
    if found["base"] is None or found["tuned"] is None:
        raise GateError(f"evaluate.gate: {name} could not be measured, so the tuned model cannot pass")
    gain = (found["tuned"] - found["base"]) * (-1 if name in LOWER_IS_BETTER else 1)
    if found["verdict"] != "better" or gain < config.gate.improvement:
        raise GateError(
            f"evaluate.gate: {name} went from {found['base']:.4g} to {found['tuned']:.4g} "
            f"({found['verdict']}, over {found['n']} samples); asked for: better by at least "
            f"{config.gate.improvement:g}"
        )


def _card(run: str, mark: str) -> dict[str, Any]:
    """What training wrote of its adapter. Raises: ModelError."""
    try:
        card = json.loads(storage.read_bytes(storage.join(run, ADAPTER, CARD)))
    except (FileNotFoundError, ValueError) as error:
        raise ModelError(
            f"{run} has no finished adapter; run `headrace train` on its recipe first"
        ) from error
    if card["base_mark"] != mark:
        raise ModelError(
            f"the adapter of {run} was trained on another model than the recipe's; "
            "set `model:` back, or run `headrace train` again"
        )
    return dict(card)


def _held(path: str) -> dict[str, Any]:
    try:
        return dict(json.loads(storage.read_bytes(path)))
    except (FileNotFoundError, ValueError):
        return {}


def _json(value: object) -> bytes:
    return json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False).encode()


def _compute(run: str, model: str, config: Config, shelf: batches.Shelf, seed: int) -> Outcome:
    """`measure` in a task where Ray is up, else here."""
    if not ray.is_initialized():
        return measure(run, model, config, shelf, seed)
    task = ray.remote(num_cpus=1, num_gpus=1 if session.has_gpu() else 0)(measure)
    try:
        found: Outcome = ray.get(task.remote(run, model, config, shelf, seed))
    except ray.exceptions.RayTaskError as error:
        ours = cause(error)
        raise ours or error from error
    return found


def measure(run: str, model: str, config: Config, shelf: batches.Shelf, seed: int) -> Outcome:
    """Both models on the drawn samples. Raises: ModelError, SourceError, StorageError."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    base = models.load(model, models.precision(config.precision, device), config.attention).to(device)
    folder = storage.join(run, ADAPTER)
    tuned = peft.PeftModel.from_pretrained(base, models.local(folder)).eval()
    tokenizer = models.load_tokenizer(model)
    chosen = drawn(shelf, config.samples, seed)
    asked = [s for s in chosen if s.span()[0] >= FEWEST] if set(config.metrics) - FORCED else []
    stops = _stops(base, tokenizer, chosen)

    def one() -> Measured:
        forced = _forced(tuned, chosen, config.batch_size)
        made = _generated(tuned, [s.ids[: s.span()[0]] for s in asked], config, stops, tokenizer)
        texts = tokenizer.batch_decode(made, skip_special_tokens=True)
        unfinished = sum(not (len(ids) and ids[-1] in stops) for ids in made)
        return Measured(forced, texts, unfinished)

    with tuned.disable_adapter():
        before = one()
    references = [s.ids[slice(*s.span())] for s in asked]
    prompts = [s.ids[: s.span()[0]] for s in asked[: config.examples]]
    return Outcome(
        base=before,
        tuned=one(),
        prompts=tokenizer.batch_decode(prompts, skip_special_tokens=False),
        references=tokenizer.batch_decode(references, skip_special_tokens=True),
    )


def drawn(shelf: batches.Shelf, most: int, seed: int) -> list[Sample]:
    """At most `most` samples of a split, drawn without replacement, in the order of packed/.

    Raises: SourceError where no sample has a target.
    """
    counts = [sum(batches.segments(chunk)) for chunk in shelf.chunks]
    total = sum(counts)
    generator = np.random.default_rng(seed)
    chosen = np.sort(generator.choice(total, min(most, total), replace=False))
    found: list[Sample] = []
    for chunk, start, count in zip(shelf.chunks, np.cumsum([0, *counts]), counts, strict=False):
        own = chosen[(chosen >= start) & (chosen < start + count)] - start
        if len(own):
            unpacked = list(_unpacked(chunk))
            found += [unpacked[int(i)] for i in own]
    found = [s for s in found if (s.labels != batches.IGNORE).any()]
    if not found:
        raise SourceError("no held-out sample has a token with loss")
    return found


def _unpacked(chunk: batches.Chunk) -> Iterator[Sample]:
    """The samples of a chunk, row by row."""
    rows = batches.decoded(chunk)
    for ids, labels, segments in zip(rows["input_ids"], rows["labels"], rows["segment_ids"], strict=True):
        for segment in range(1, int(segments.max(initial=0)) + 1):
            own = segments == segment
            yield Sample(ids[own].astype(np.int64), labels[own].astype(np.int64))


def _by_length(lengths: Sequence[int], size: int) -> list[list[int]]:
    """Indices in groups of `size` of about one length."""
    order = sorted(range(len(lengths)), key=lambda i: (-lengths[i], i))
    return [order[i : i + size] for i in range(0, len(order), size)]


@torch.no_grad()
def _forced(model: Any, samples: list[Sample], size: int) -> NDArray[np.float64]:
    """Nats, targets and right guesses of each sample, ``float64[N, 3]``."""
    found = np.zeros((len(samples), 3))
    for group in _by_length([len(s.ids) for s in samples], size):
        length = max(len(samples[i].ids) for i in group)
        rows = {n: np.zeros((len(group), length), np.int64) for n in batches.COLUMNS}
        rows["labels"][:] = batches.IGNORE
        rows["position_ids"][:] = np.arange(length)
        for row, i in enumerate(group):
            own = slice(0, len(samples[i].ids))
            rows["input_ids"][row, own], rows["labels"][row, own] = samples[i].ids, samples[i].labels
            rows["segment_ids"][row, own] = 1
        logits, labels = models.target_logits(model, models.tensors(rows, model.device))
        nats = functional.cross_entropy(
            logits.transpose(1, 2), labels, ignore_index=batches.IGNORE, reduction="none"
        )
        wanted = labels != batches.IGNORE
        right = (logits.argmax(-1) == labels) & wanted
        if not bool(torch.isfinite(nats).all()):
            raise ModelError("the model gives no finite loss on held-out samples; try precision: float32")
        found[group] = torch.stack([nats.sum(1), wanted.sum(1), right.sum(1)], 1).double().cpu().numpy()
    return found


def _stops(model: Any, tokenizer: Any, samples: list[Sample]) -> set[int]:
    """Tokens that end an answer: those of model and tokenizer, and special ones that end targets."""
    told = model.generation_config.eos_token_id
    stops = {*(told if isinstance(told, list) else [told]), tokenizer.eos_token_id} - {None}
    return stops | ({int(s.ids[s.span()[1] - 1]) for s in samples} & set(tokenizer.all_special_ids))


@torch.no_grad()
def _generated(
    model: Any, prompts: list[NDArray[np.int64]], config: Config, stops: set[int], tokenizer: Any
) -> list[list[int]]:
    """Greedy answers, each up to and with its stop token or `max_new_tokens` long."""
    padding = next((i for i in (tokenizer.pad_token_id, *sorted(stops)) if i is not None), 0)
    limit = getattr(model.config.get_text_config(), "max_position_embeddings", None) or math.inf
    answers: list[list[int]] = [[] for _ in prompts]
    for group in _by_length([len(p) for p in prompts], config.batch_size):
        length = len(prompts[group[0]])
        ids = torch.full((len(group), length), padding, dtype=torch.int64)
        mask = torch.zeros_like(ids)
        for row, i in enumerate(group):
            ids[row, length - len(prompts[i]) :] = torch.from_numpy(prompts[i])
            mask[row, length - len(prompts[i]) :] = 1
        settings = GenerationConfig(
            do_sample=False,
            num_beams=1,
            max_new_tokens=int(max(1, min(config.max_new_tokens, limit - length))),
            eos_token_id=sorted(stops) or None,
            pad_token_id=padding,
            use_cache=True,
        )
        made = model.generate(
            input_ids=ids.to(model.device), attention_mask=mask.to(model.device), generation_config=settings
        )
        for row, i in enumerate(group):
            answers[i] = _ended(made[row, length:].tolist(), stops)
    return answers


def _ended(ids: list[int], stops: set[int]) -> list[int]:
    end = next((i for i, token in enumerate(ids) if token in stops), len(ids) - 1)
    return ids[: end + 1]


def _scored(outcome: Outcome, config: Config, seed: int) -> dict[str, Any]:
    """Every metric with its interval and verdict, as scores.json holds them."""
    found: dict[str, Any] = {}
    for name, (metric, base, tuned) in _sums(outcome, config).items():
        if name in config.metrics:
            compared = measures.compare(metric, base, tuned, seed=seed)
            found[name] = {
                "base": _finite(compared.base),
                "tuned": _finite(compared.tuned),
                "interval": [_finite(compared.low), _finite(compared.high)],
                "verdict": compared.verdict(lower_is_better=name in LOWER_IS_BETTER),
                "n": len(base),
            }
    return {
        "samples": len(outcome.base.forced),
        "answers": len(outcome.references),
        "targets": int(outcome.base.forced[:, 1].sum()),
        "unfinished": {"base": outcome.base.unfinished, "tuned": outcome.tuned.unfinished},
        "metrics": found,
    }


Sums = tuple[Callable[[measures.Floats], measures.Floats], measures.Floats, measures.Floats]


def _sums(outcome: Outcome, config: Config) -> dict[str, Sums]:
    """By metric: the function of sums, and what base and tuned bring to the sums."""
    base, tuned = outcome.base.forced, outcome.tuned.forced
    nats, right = [0, 1], [2, 1]
    found: dict[str, Sums] = {
        "loss": (measures.ratio, base[:, nats], tuned[:, nats]),
        "perplexity": (measures.perplexity, base[:, nats], tuned[:, nats]),
        "token_accuracy": (measures.ratio, base[:, right], tuned[:, right]),
    }
    if not outcome.references:
        return found
    told = [(m.answers, outcome.references) for m in (outcome.base, outcome.tuned)]
    matched = [measures.mean_of(measures.exact_match(*t)) for t in told]
    found["exact_match"] = (measures.ratio, matched[0], matched[1])
    rouges = [measures.rouge(*t) for t in told]
    for name in ("rouge1", "rougeL"):
        found[name] = (measures.ratio, measures.mean_of(rouges[0][name]), measures.mean_of(rouges[1][name]))
    counts = [measures.bleu_counts(*t, config.bleu_tokenizer) for t in told]
    if counts[0][:, -1].max() >= measures.ORDER:  # of shorter references BLEU is 0 whatever is answered
        found["bleu"] = (measures.bleu, counts[0], counts[1])
    return found


def _finite(value: float) -> float | None:
    """JSON has no infinity: null where a number cannot be told."""
    return value if math.isfinite(value) else None


def _examples(outcome: Outcome, most: int) -> list[dict[str, str]]:
    """Answers to be read; the texts come from packed/ and so are masked."""
    rows = zip(outcome.prompts, outcome.references, outcome.base.answers, outcome.tuned.answers, strict=False)
    names = ("prompt", "reference", "base", "tuned")
    return [dict(zip(names, row, strict=True)) for row in list(rows)[:most]]
