"""Base beside tuned on held-out rows: the same samples, the same prompts, one model with and without adapter.

What: samples drawn from packed/<split> are unpacked. Loss, perplexity and token accuracy are teacher
forced over their target tokens. For the answers, the prompt is everything before a sample's last
target span and the reference is that span; both models go on from the prompt greedily, and exact
match, ROUGE and BLEU hold their answers against the reference. Samples without a prompt (plain text)
count for the loss alone.

Why a test and an interval: on a few hundred samples a difference may be chance, and among seven metrics one
is often clear by chance. One metric, named before, decides; every metric comes with an interval, a p-value
(of the others: corrected for how many they are), and the verdict these allow (`evaluate.statistics`).

Cost: two passes and two generations of each sample; on a CPU for small models and samples only.
"""

import json
import math
import os
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import ray

from headrace.cluster import ledger, session, storage, stream
from headrace.cluster.errors import GateError, ModelError, SourceError
from headrace.pipelines import model_files
from headrace.pipelines.evaluate import metrics as measures
from headrace.pipelines.evaluate import standing, statistics
from headrace.pipelines.evaluate.config import LOWER_IS_BETTER, Config
from headrace.pipelines.evaluate.outputs import Measured, Outcome, measure
from headrace.pipelines.train import adapter, batches, models

VERSION = 3
BASELINE = "evaluation/baseline.json"  # what was measured of the base


def run(
    run_directory: str,
    model: str | None,
    config: Config,
    *,
    seed: int,
    packed: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Measure the model with and without `adapter/`; writes evaluation/scores.json and samples.json.

    packed: digest of each side of packed/ as it is now.

    Returns, by metric: base, tuned, interval (95%, of tuned - base), p (of no difference; corrected for
    their number where the metric is not the one that decides), verdict ("better", "worse", "no clear
    difference", "too few samples"), n, the samples it is over, and primary: whether it decides.
    Runs as a task where Ray is up, on a GPU where there is one.

    Raises: ModelError (no model, no adapter, another model's adapter or one of other packed rows, some of
    which may be held out now), SourceError (nothing held
    out), StorageError; GateError where the recipe's gate is not passed, after all is written.
    """
    models.configuration(model)
    assert model is not None, "configuration refuses it"
    run_directory = run_directory if storage.is_remote(run_directory) else os.path.abspath(run_directory)
    card = _card(run_directory, model_files.digest(model), packed or {})
    shelf = _shelf(run_directory, config)
    settings = config.model_dump(mode="json", exclude={"gate"})
    settings["primary"] = config.deciding(config.metrics)
    key = ledger.key(VERSION, card["key"], card["step"], card["base_mark"], settings, seed, shelf.digest)
    asked = _asked(model, settings, shelf, seed)
    target = storage.join(run_directory, standing.SCORES)
    result = storage.read_object(target) or {}
    today = (packed or {}).get(config.split)
    if (result.get("key"), result.get("adapter"), result.get("packed")) != (key, card["key"], today):
        before = _measured(storage.read_object(storage.join(run_directory, BASELINE)), asked)
        outcome = _compute(run_directory, model, config, shelf, before, seed)
        if before is None:
            _keep(run_directory, asked, outcome.base)
        result = _scored(outcome, config, seed)
        result = {"key": key, "split": config.split, "adapter": card["key"], "packed": today, **result}
        examples = {"samples": _examples(outcome, config.examples)}
        storage.put(storage.join(run_directory, standing.SAMPLES), _json(examples))
        storage.put(target, _json(result))
    _judge(result["metrics"], config)
    return dict(result["metrics"])


def baseline(run_directory: str, model: str | None, config: Config, *, seed: int) -> dict[str, float | None]:
    """Measure the model as it is, before any training; writes evaluation/baseline.json, which `run` takes up.

    Returns its value by metric.

    Raises: ModelError (no model), SourceError (nothing held out), StorageError.
    """
    models.configuration(model)
    assert model is not None, "configuration refuses it"
    run_directory = run_directory if storage.is_remote(run_directory) else os.path.abspath(run_directory)
    shelf = _shelf(run_directory, config)
    settings = config.model_dump(mode="json", exclude={"gate"}) | {"primary": config.deciding(config.metrics)}
    asked = _asked(model, settings, shelf, seed)
    before = _measured(storage.read_object(storage.join(run_directory, BASELINE)), asked)
    outcome = _compute(None, model, config, shelf, before, seed)
    _keep(run_directory, asked, outcome.base)
    paired = _paired(replace(outcome, tuned=outcome.base), config)
    return {n: _finite(float(p.metric(p.base.sum(0)))) for n, p in paired.items() if n in config.metrics}


def _asked(model: str, settings: Mapping[str, Any], shelf: batches.Shelf, seed: int) -> str:
    """What a measurement of the base hangs on."""
    return ledger.key(VERSION, "base", model_files.digest(model), settings, seed, shelf.digest)


def _measured(kept: Mapping[str, Any] | None, asked: str) -> Measured | None:
    """What was measured of the base, where it is what is asked for."""
    if kept is None or kept.get("key") != asked:
        return None
    forced = np.array(kept["forced"], np.float64).reshape(-1, 3)
    return Measured(forced, kept["answers"], kept["reasoning"], kept["unfinished"])


def _keep(run: str, asked: str, base: Measured) -> None:
    kept = {**vars(base), "key": asked, "forced": base.forced.tolist()}
    storage.put(storage.join(run, BASELINE), _json(kept))


def scores(run_directory: str) -> dict[str, Any]:
    """What `run` has written last, as it returns it; empty where there is nothing."""
    return dict((storage.read_object(storage.join(run_directory, standing.SCORES)) or {}).get("metrics", {}))


def beyond_context(run_directory: str) -> int:
    """Samples of the last `run` whose prompt leaves no room for an answer in the model's context."""
    written = storage.read_object(storage.join(run_directory, standing.SCORES)) or {}
    return int(written.get("beyond_context", 0))


def _shelf(run: str, config: Config) -> batches.Shelf:
    shelf = batches.shelf(run, config.split)
    if not shelf.rows:
        raise SourceError(
            f"packed/{config.split} holds nothing to evaluate on; give evaluate.split another split, or "
            "split.* larger shares"
        )
    return shelf


def _judge(metrics: dict[str, Any], config: Config) -> None:
    """Hold what `run` returned against the gate. Raises: GateError where the tuned model fails it."""
    if config.gate is None:
        return
    name = config.gate.metric
    score = metrics.get(name, {"base": None, "tuned": None})
    if score["base"] is None or score["tuned"] is None:
        raise GateError(f"evaluate.gate: {name} could not be measured, so the tuned model cannot pass")
    gain = (score["tuned"] - score["base"]) * (-1 if name in LOWER_IS_BETTER else 1)
    if score["verdict"] != "better" or gain < config.gate.improvement:
        raise GateError(
            f"evaluate.gate: {name} went from {score['base']:.4g} to {score['tuned']:.4g} "
            f"({score['verdict']}, over {score['n']} samples); asked for: better by at least "
            f"{config.gate.improvement:g}"
        )


def _card(run: str, model_digest: str, packed: Mapping[str, str]) -> dict[str, Any]:
    """What training wrote of its adapter. Raises: ModelError."""
    card = adapter.card(run)
    if card is None:
        raise ModelError(f"{run} has no finished adapter; run `headrace train` on its recipe first")
    if card.get("base_mark") != model_digest:
        raise ModelError(
            f"the adapter of {run} was trained on another model than the recipe's; "
            "set `model:` back, or run `headrace train` again"
        )
    if words := standing.of_adapter(card, packed):
        raise ModelError(f"the adapter of {run} {words}")
    return card


def _json(value: object) -> bytes:
    return json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False).encode()


def _compute(
    run: str | None, model: str, config: Config, shelf: batches.Shelf, before: Measured | None, seed: int
) -> Outcome:
    """`measure` in a task where Ray is up, else here."""
    if not ray.is_initialized():
        return measure(run, model, config, shelf, before, seed)
    work = partial(measure, run, model, config, shelf, before)
    gpus = 1 if session.gpus() else 0
    return next(stream.each(work, [seed], workers=1, name="evaluate", gpus=gpus))


def _scored(outcome: Outcome, config: Config, seed: int) -> dict[str, Any]:
    """Every metric with its interval and verdict, as scores.json holds them."""
    assert outcome.tuned is not None, "it was asked"
    compared = {
        name: statistics.compare(paired, seed=seed)
        for name, paired in _paired(outcome, config).items()
        if name in config.metrics
    }
    primary = config.deciding(compared)
    p = statistics.corrected({name: c.p for name, c in compared.items() if name != primary})
    if primary is not None:
        p[primary] = compared[primary].p
    scores = {
        name: {
            "base": _finite(c.base),
            "tuned": _finite(c.tuned),
            "interval": [_finite(c.low), _finite(c.high)],
            "p": p[name],
            "verdict": statistics.verdict(c, p[name], lower_is_better=name in LOWER_IS_BETTER),
            "n": c.n,
            "primary": name == primary,
        }
        for name, c in compared.items()
    }
    return {
        "samples": len(outcome.base.forced),
        "answers": len(outcome.references),
        "targets": int(outcome.base.forced[:, 1].sum()),
        "beyond_context": outcome.beyond,
        "unfinished": {"base": outcome.base.unfinished, "tuned": outcome.tuned.unfinished},
        "metrics": scores,
    }


def _paired(outcome: Outcome, config: Config) -> dict[str, statistics.Paired]:
    """By metric what base and tuned bring to its sums."""
    assert outcome.tuned is not None, "it was asked"
    base, tuned = outcome.base.forced, outcome.tuned.forced
    nats, right = [0, 1], [2, 1]
    paired = {
        "loss": statistics.unbounded(measures.ratio, base[:, nats], tuned[:, nats]),
        "perplexity": statistics.unbounded(measures.perplexity, base[:, nats], tuned[:, nats]),
        "token_accuracy": statistics.share(measures.ratio, base[:, right], tuned[:, right]),
    }
    if not outcome.references:
        return paired
    answers = [(m.answers, outcome.references) for m in (outcome.base, outcome.tuned)]
    values = [{"exact_match": measures.exact_match(*t), **measures.rouge(*t)} for t in answers]
    for name in values[0]:
        sides = (measures.mean_of(of_model[name]) for of_model in values)
        paired[name] = statistics.share(measures.ratio, *sides)
    counts = [measures.bleu_counts(*t, config.bleu_tokenizer) for t in answers]
    if counts[0][:, -1].max() >= measures.ORDER:  # of shorter references BLEU is 0 whatever is answered
        bounds = measures.bleu_bounds(*counts)
        paired["bleu"] = statistics.bounded(measures.bleu, counts[0], counts[1], *bounds)
    return paired


def _finite(value: float) -> float | None:
    """JSON has no infinity: null where a number cannot be told."""
    return value if math.isfinite(value) else None


def _examples(outcome: Outcome, most: int) -> list[dict[str, str]]:
    """Answers to be read; the texts come from packed/ and so are masked."""
    assert outcome.tuned is not None, "it was asked"
    rows = zip(
        outcome.prompts,
        outcome.references,
        *(texts for model in (outcome.base, outcome.tuned) for texts in (model.answers, model.reasoning)),
        strict=False,
    )
    names = ("prompt", "reference", "base", "base_reasoning", "tuned", "tuned_reasoning")
    return [dict(zip(names, row, strict=True)) for row in list(rows)[:most]]
