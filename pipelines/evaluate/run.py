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
import os
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import ray

from headrace.cluster import ledger, session, storage, stream
from headrace.cluster.errors import GateError, ModelError, SourceError
from headrace.pipelines import model_files, stored
from headrace.pipelines.evaluate import scoring, standing
from headrace.pipelines.evaluate.config import LOWER_IS_BETTER, Config
from headrace.pipelines.evaluate.gates import judge, probing, training
from headrace.pipelines.evaluate.gates.config import Config as Gates
from headrace.pipelines.evaluate.outputs import Measured, Outcome, measure
from headrace.pipelines.train import adapter, batches, models

VERSION = 5
BASELINE = "evaluation/baseline.json"  # what was measured of the base


def run(
    run_directory: str,
    model: str | None,
    config: Config,
    *,
    seed: int,
    packed: Mapping[str, str] | None = None,
    gates: Gates | None = None,
) -> dict[str, Any]:
    """Measure the model with and without `adapter/`; writes evaluation/scores.json and samples.json.

    packed: digest of each side of packed/ as it is now; gates: what else is measured of the tuned model, for
    `held` to hold against thresholds; left out: nothing.

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
    shelf = batches.shelf(run_directory, config.split)
    _require(shelf, config)
    settings = _settings(config)
    held: dict[str, Any] = {}
    if gates is not None and gates.enabled:
        held = {"gates": probing.key(run_directory, gates)}
    key = ledger.key(
        VERSION, card["key"], card["step"], card["base_mark"], settings | held, seed, shelf.digest
    )
    target = storage.join(run_directory, standing.SCORES)
    result = storage.read_object(target) or {}
    today = (packed or {}).get(config.split)
    if (result.get("key"), result.get("adapter"), result.get("packed")) != (key, card["key"], today):
        asked = _asked(model, settings, shelf, seed)
        before = _measured(storage.read_object(storage.join(run_directory, BASELINE)), asked)
        outcome = _compute(run_directory, model, config, shelf, before, seed, gates)
        if before is None:
            _keep(run_directory, asked, outcome.base)
        rows = _stored(run_directory, outcome)
        result = scoring.scored(outcome, config, seed, _traits(rows, outcome))
        if outcome.probed is not None:
            result["measured"] = _of_gates(run_directory, model, outcome, _last_asked(rows, outcome), seed)
        result = {"key": key, "split": config.split, "adapter": card["key"], "packed": today, **result}
        examples = {"samples": _examples(outcome, config.examples)}
        storage.put(storage.join(run_directory, standing.SAMPLES), _json(examples))
        storage.put(target, _json(result))
    _judge(result["metrics"], config)
    return dict(result["metrics"])


def held(run_directory: str, gates: Gates) -> judge.Judged:
    """What `run` has measured last, held against the gates; nothing where they were off.

    What hangs on a clock is kept apart, so that the same input gives the same scores.json. Raises:
    StorageError.
    """
    measured = written(run_directory).get("measured", {}) if gates.enabled else {}
    if measured:
        measured = {**measured, **(storage.read_object(storage.join(run_directory, standing.SPEED)) or {})}
    return judge.judged(measured, gates)


def _of_gates(run: str, model: str, outcome: Outcome, asked: list[str], seed: int) -> dict[str, Any]:
    """Every gate as it was measured, but for those of a clock, which are written beside it."""
    rows = [f"{prompt} {reference}" for prompt, reference in zip(asked, outcome.references, strict=True)]
    sought = training.Sought(outcome.tuned.answers, outcome.references, outcome.prompts, rows)
    measured = judge.measured(outcome, asked, training.look(run, model, sought, seed), seed)
    clock = {name: measured.pop(name) for name in judge.OF_CLOCK}
    storage.put(storage.join(run, standing.SPEED), _json(clock))
    return measured


def baseline(run_directory: str, model: str | None, config: Config, *, seed: int) -> dict[str, float | None]:
    """Measure the model as it is, before any training; writes evaluation/baseline.json, which `run` takes up.

    Returns its value by metric. Raises: ModelError (no model), SourceError (nothing held out), StorageError.
    """
    models.configuration(model)
    assert model is not None, "configuration refuses it"
    run_directory = run_directory if storage.is_remote(run_directory) else os.path.abspath(run_directory)
    shelf = batches.shelf(run_directory, config.split)
    _require(shelf, config)
    asked = _asked(model, _settings(config), shelf, seed)
    before = _measured(storage.read_object(storage.join(run_directory, BASELINE)), asked)
    outcome = _compute(None, model, config, shelf, before, seed)
    _keep(run_directory, asked, outcome.base)
    return scoring.values(outcome, config)


def _settings(config: Config) -> dict[str, Any]:
    """What of the recipe a measurement hangs on."""
    return {**config.model_dump(mode="json", exclude={"gate"}), "primary": config.deciding(config.metrics)}


def _require(shelf: batches.Shelf, config: Config) -> None:
    if not shelf.rows:
        raise SourceError(
            f"packed/{config.split} holds nothing to evaluate on; give evaluate.split another split, or "
            "split.* larger shares"
        )


def _asked(model: str, settings: Mapping[str, Any], shelf: batches.Shelf, seed: int) -> str:
    """What a measurement of the base hangs on."""
    return ledger.key(VERSION, "base", model_files.digest(model), settings, seed, shelf.digest)


def _measured(kept: Mapping[str, Any] | None, asked: str) -> Measured | None:
    """What was measured of the base, where it is what is asked for."""
    if kept is None or kept.get("key") != asked:
        return None
    forced = np.array(kept["forced"], np.float64).reshape(-1, 3)
    pairs = np.array(kept["pairs"], np.float64).reshape(-1, 2)
    told = (kept["answers"], kept["reasoning"], kept["unfinished"], tuple(kept["ended"]))
    return Measured(forced, *told, pairs)


def _keep(run: str, asked: str, base: Measured) -> None:
    kept = {**vars(base), "key": asked, "forced": base.forced.tolist(), "pairs": base.pairs.tolist()}
    storage.put(storage.join(run, BASELINE), _json(kept))


def written(run_directory: str) -> dict[str, Any]:
    """What `run` has written last: metrics, power, gates, ...; empty where there is nothing."""
    return dict(storage.read_object(storage.join(run_directory, standing.SCORES)) or {})


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
    run: str | None,
    model: str,
    config: Config,
    shelf: batches.Shelf,
    before: Measured | None,
    seed: int,
    gates: Gates | None = None,
) -> Outcome:
    """`measure` in a task where Ray is up, else here."""
    also = None
    if gates is not None and gates.enabled and run is not None:
        also = partial(
            probing.probe, run=run, split=config.split, config=gates, most=config.samples, seed=seed
        )
    work = partial(measure, run, model, config, shelf, before, also=also)
    if not ray.is_initialized():
        return work(seed)
    gpus = 1 if session.gpus() else 0
    return next(stream.each(work, [seed], workers=1, name="evaluate", gpus=gpus))


def _stored(run: str, outcome: Outcome) -> dict[int, dict[str, Any]]:
    """Source, traits and turns of the samples' rows, by row_id, as far as the run has them."""
    columns = [name for name in ("source", "traits", "messages") if name in stored.columns(run)]
    rows = stored.rows(run, outcome.row_ids, columns) if columns else []
    return {row["row_id"]: row for row in rows}


def _traits(rows: Mapping[int, Mapping[str, Any]], outcome: Outcome) -> dict[str, list[str]]:
    """Source, language and task of each sample, "" where they are not known."""
    found: dict[str, list[str]] = {"source": [], "language": [], "task": []}
    for row_id in outcome.row_ids:
        row = rows.get(row_id, {})
        of_row = {"source": row.get("source"), **(row.get("traits") or {})}
        for name, values in found.items():
            values.append(of_row.get(name) or "")
    return found


def _last_asked(rows: Mapping[int, Mapping[str, Any]], outcome: Outcome) -> list[str]:
    """What each answered sample asks last, without its template; the whole prompt where that is not known."""
    texts = []
    for place, prompt in zip(outcome.asked, outcome.prompts, strict=True):
        turns = rows.get(outcome.row_ids[place], {}).get("messages") or ()
        text = next((turn["content"] for turn in reversed(turns) if turn["role"] == "user"), "")
        texts.append(text if text and text in prompt else prompt)
    return texts


def _examples(outcome: Outcome, most: int) -> list[dict[str, str]]:
    """Answers to be read; the texts come from packed/ and so are masked."""
    rows = zip(
        outcome.prompts,
        outcome.references,
        *(texts for model in (outcome.base, outcome.tuned) for texts in (model.answers, model.reasoning)),
        strict=False,
    )
    names = ("prompt", "reference", "base", "base_reasoning", "tuned", "tuned_reasoning")
    return [dict(zip(names, row, strict=True)) for row in list(rows)[:most]]
