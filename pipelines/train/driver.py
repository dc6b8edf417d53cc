"""Fine-tune a model on packed/, on one or many machines, by Ray Train.

What: N ranks each read the packed rows planned for them (`train.batches`), train an adapter of the recipe's
model, or all its weights (`train.worker`), and leave checkpoints; the best by `train.best` goes to
`adapter/`, with the tokenizer and headrace.json, which is written last.

Why an adapter by default: a few per cent of the weights, so it is megabytes and a node can tune what it can
load. All linear layers by default: on attention alone it learns less.
Source: https://arxiv.org/abs/2106.09685, https://arxiv.org/abs/2305.14314

Going on: killed at any point, the same call goes on from the newest checkpoint; a training with
another key (model, data, seed, anything that decides the result) is another training, with a home of its own
in `trainings/`; a finished one is not done again. `adapter/` is a copy of that of the training that was asked
for last. A worker that dies is restarted by Ray Train up to `max_failures` times.

Cost: on a CPU for tests and demos only; memory of a rank is the model, one batch and a few chunks.
"""

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import ray

from headrace.cluster import ledger, session, storage
from headrace.cluster.errors import ModelError, RecipeError, SourceError
from headrace.pipelines import model_files, trainings
from headrace.pipelines.train import (
    adapter,
    batches,
    canaries,
    checkpoints,
    foresight,
    models,
    parents,
    preference,
    speed,
    used,
)
from headrace.pipelines.train.config import Config
from headrace.pipelines.train.running import ranks, ways
from headrace.pipelines.train.steps import Job
from headrace.pipelines.train.watch import alarms, scorer
from headrace.pipelines.train.watch.telling import Progress
from headrace.pipelines.train.watch.watched import Step

VERSION = 3

# Steps between validations, and between checkpoints, unless the recipe says how many: these, or a tenth.
MOST_EVERY, SHARE = 500, 10

# What a training that goes on may have changed: its steps stay what they are.
FREE = {
    *("checkpoint_every", "keep_checkpoints", "max_failures", "validate_every"),
    *("workers", "batch_size", "use_gpu", "cpus_per_worker", "attention", "gradient_checkpointing", "packed"),
    *("compile", "shard", "offload"),
    *("patience", "min_delta", "smoke", "watch", "like", "seeds"),
}


def check(config: Config, model: str | None) -> foresight.Foreseen:
    """Whether a training could start: the model is one, its tokenizer and the adapter fit it, its attention
    is there, its files are whole, and it can be run over packed rows or their samples. Reads no weights.

    Raises: ModelError, RecipeError, StorageError.
    """
    scorer.code(config.best)
    if not os.environ.get("RAY_ADDRESS"):  # else it is compiled elsewhere
        speed.require_compiler(config)
    described = models.configuration(model)
    models.require_whole(str(model))
    found = foresight.check(config, described, str(model))
    if config.use_gpu is True and ray.is_initialized() and not session.gpus():
        raise RecipeError("train.use_gpu is true and the cluster has no GPU; leave it out to train on CPUs")
    return found


def run(
    run_directory: str,
    model: str | None,
    config: Config,
    *,
    seed: int,
    weights: Mapping[str, float] | None = None,
    sources: Mapping[int, str] | None = None,
    packed: Mapping[str, str] | None = None,
    template: str | None = None,
    costs: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
    each_step: Callable[[Step], None] | None = None,
    current: bool = True,
) -> dict[str, Any]:
    """Train on `packed/train`, write `trainings/<key>/` and `adapter/`; returns the history.

    model: directory, s3:// directory or hub name. weights: sampling weight by name of source, 1.0
    where it has none. sources: name of source by ordinal, which weights need. packed: digest of each side
    of packed/, by which the adapter can later be told to be of these rows. template: the chat template that
    rows were packed with, where it is not the model's. costs: the recipe's section, by which the cost is
    projected. progress: called in a thread with a line of text and the same as fields, every few seconds and
    after each validation. each_step: called in the same thread with every finished step, in order, those done
    again after a kill among them. current: whether it becomes the run's own training, in `adapter/`.

    The history holds how the model was run (packed, attention: see `ways`), steps, loss (nats a target token,
    by step), grad_norm (before clipping), learning_rate, validation (loss, at validation_steps), best_step,
    best_validation, tokens (targets trained on), tokens_per_second, rows_used (packed rows by epoch, as they
    were counted), starts (step and ranks of each), kills_survived, and the key of the training; base (losses
    before training), general (loss on general texts, at validation_steps), best (metric, value, step), smoke,
    skipped (steps), warnings (code, words, step), stopped (reason, words: None where all steps were made) and
    preference (of pairs: accuracy, margin, rewards).

    Raises: ModelError, SourceError (nothing to train on), UserError (the cluster is too small),
    GateError (the loss is no number any more; rows used are not those planned), StorageError.
    """
    found = check(config, model)
    assert model is not None, "check refuses it"
    session.start(config.most + 1)
    job = plan(run_directory, model, config, seed, by_ordinal(weights or {}, sources or {}))
    job = replace(job, costs=costs, ways=found.ways)
    tell = progress or (lambda text, fields: None)
    if current:
        trainings.ask(job.run, job.key)
    history = _finished(job, packed or {}, current=current)
    if history is None:
        _tell_of_another(job, tell)
        for text in found.lines:
            tell(text, found.ways[0]._asdict())
        ranks.fit(job, tell, each_step)
        history = _publish(job, packed or {}, template, current=current)
    return history


def _tell_of_another(job: Job, tell: Progress) -> None:
    """Say of a training that begins while others have left checkpoints what makes it another one."""
    mine = {"model": job.base, **settings(job.config, job.seed), "packed": job.plan.shelf.digest}
    place = storage.join(job.home, trainings.TRAINING)
    if storage.read_object(place) is None:
        for key in trainings.keys(job.run):
            home = trainings.home(job.run, key)
            other = storage.read_object(storage.join(home, trainings.TRAINING))
            if other is None:
                continue
            changed = [f"{k} {other.get(k)} -> {mine.get(k)}" for k in mine if other.get(k) != mine.get(k)]
            text = f"train: another training than that of {home}, which stays: {', '.join(changed)}"
            tell(text, {"kept": home, "changed": changed})
        storage.put(place, json.dumps(mine, indent=1).encode())


def settings(config: Config, seed: int) -> dict[str, Any]:
    """What of a recipe decides how a training ends, by key: as the adapter's card has it."""
    decides = config.model_dump(mode="json", exclude=FREE, by_alias=True)
    return {"seed": seed, **{f"train.{key}": value for key, value in decides.items()}}


def by_ordinal(weights: Mapping[str, float], sources: Mapping[int, str]) -> dict[int, float]:
    """Weights of sources as weights of their fragments, those of 1.0 left out."""
    return {o: weights[s] for o, s in sorted(sources.items()) if weights.get(s, 1.0) != 1.0}


def plan(
    run_directory: str,
    model: str,
    config: Config,
    seed: int,
    weights: Mapping[int, float],
    taken: float = 1.0,
    model_digest: str | None = None,
) -> Job:
    """Everything that the ranks need to know; `weights` by ordinal, `taken`: share of the rows,
    `model_digest` where it is known.

    Raises: SourceError, StorageError.
    """
    directory = run_directory if storage.is_remote(run_directory) else os.path.abspath(run_directory)
    shelf = batches.shelf(directory, "train")
    if not shelf.rows:
        raise SourceError(
            f"nothing is packed for training in {run_directory!r}; run `headrace prepare` first"
        )
    if config.canaries is not None:
        length = batches.Reader(batches.Plan(shelf, seed, 1, {})).length
        tokenizer = models.load_tokenizer(model)
        shelf = canaries.planted(directory, shelf, tokenizer, config.canaries, seed, length)
    validation = batches.shelf(directory, "validation")
    if shelf.paired:
        preference.check(config)
    heeded = dict(weights) if config.use_weights else {}
    by_trait = config.use_weights and shelf.weighted
    planned = batches.Plan(shelf, seed, config.rows_per_step, heeded, by_trait, taken)
    epochs = tuple(planned.epochs(config.epochs, config.max_steps))
    every = config.validate_every or max(1, min(MOST_EVERY, sum(epochs) // SHARE))
    job = Job(
        run=directory,
        model=model if storage.is_remote(model) or not os.path.isdir(model) else os.path.abspath(model),
        base=model,
        config=config,
        seed=seed,
        key="",
        model_digest=model_digest or model_files.digest(model),
        plan=planned,
        epochs=epochs,
        validation=validation,
        validate_every=every,
        checkpoint_every=config.checkpoint_every or every,
        ways=ways.of_config(config),
        parent=parents.found(config.from_) if config.from_ is not None else None,
        scorer=scorer.code(config.best),
    )
    return replace(job, key=_key(job, heeded))


def _key(job: Job, weights: Mapping[int, float]) -> str:
    """What makes a training another one: all that decides how it ends."""
    return ledger.key(
        VERSION,
        job.model_digest,
        job.config.model_dump(mode="json", exclude=FREE | {"from_", "canaries"}),
        job.seed,
        job.plan.shelf.digest,
        job.validation.digest,
        sorted(weights.items()),
        *([job.parent.digest] if job.parent else []),
        *([job.scorer] if job.scorer is not None else []),
        *([job.plan.taken] if job.plan.taken < 1 else []),
    )


def _finished(job: Job, packed: Mapping[str, str], *, current: bool = True) -> dict[str, Any] | None:
    """The history of a training that is done; None where it is not, or was another one.

    Its key says that it read the same rows, though others may be held out now: the card is told.
    """
    card = adapter.card(job.home)
    history = storage.read_object(storage.join(job.home, "history.json"))
    if card is None or card["key"] != job.key or history is None:
        return None
    if history.get("key") != job.key or not _ended(job, history):
        return None
    if card.get("packed") != dict(packed):
        card["packed"] = dict(packed)
        adapter.write_card(job.home, card)
    if current and adapter.card(job.run) != card:
        adapter.make_current(job.run, job.key)
    return history


def _ended(job: Job, history: Mapping[str, Any]) -> bool:
    """Whether there is nothing left to train, by what a training has shown."""
    return len(history["loss"]) == job.steps or alarms.out_of_patience(history, job.config)


def _publish(
    job: Job, packed: Mapping[str, str], template: str | None = None, *, current: bool = True
) -> dict[str, Any]:
    """Write history.json and adapter/, its card last; returns the history."""
    last = checkpoints.newest(job.home, job.key)
    best = checkpoints.read(job.home, checkpoints.BEST)
    if last is None or best is None or not _ended(job, last["history"]) or best["key"] != job.key:
        raise ModelError(
            f"the training in {job.run} ended without its last checkpoint; another run may be writing there"
        )
    rows = used.counted(job.home, job.plan, job.epochs, last["step"])
    history = _history(job.key, job.steps, last["history"], len(job.epochs)) | {
        **last.get("way", {}),
        **last.get("measured", {}),
        "stopped": _early(job, last["history"]),
        "rows_used": {str(epoch): count for epoch, count in rows.items()},
        "starts": (starts := checkpoints.starts(job.home)),
        "kills_survived": max(0, len(starts) - 1),
    }
    storage.put(storage.join(job.home, "history.json"), json.dumps(history, indent=1).encode())
    files = {file: checkpoints.fetch(job.home, checkpoints.BEST, best, file) for file in best["files"]}
    card = {
        "key": job.key,
        "settings": settings(job.config, job.seed),
        "base": job.base,
        "base_mark": job.model_digest,
        "method": job.config.method,
        **({"parent": job.parent.named()} if job.parent else {}),
        "step": best["step"],
        "validation_loss": best["validation_loss"],
        "packed": dict(packed),
    }
    adapter.write(job.home, files, job.model, card, template)
    if current:
        adapter.make_current(job.run, job.key)
    return history


def stopped(run: str) -> dict[str, Any] | None:
    """The history of the training that was asked for last, up to its newest checkpoint, where what it showed
    stopped it before its end; None where it did not.
    """
    key = trainings.asked(run)
    home = trainings.home(run, key or "")
    why = storage.read_object(storage.join(home, checkpoints.STOPPED))
    if key is None or why is None:
        return None
    newest = checkpoints.newest(home, key) or {"history": checkpoints.history(), "steps": None}
    told = _history(key, newest["steps"], newest["history"], epochs=None)
    return told | {"stopped": why, "starts": checkpoints.starts(home)}


def _history(key: str, planned: int | None, raw: dict[str, Any], epochs: int | None) -> dict[str, Any]:
    """What run.json and the report say of a training."""
    seconds, best = sum(raw["seconds"]), raw["best"]
    return {
        "key": key,
        "steps": len(raw["loss"]),
        "planned": planned,
        "epochs": epochs,
        "loss": raw["loss"],
        "grad_norm": raw["grad_norm"],
        "learning_rate": raw["learning_rate"],
        "validation": raw["validation"],
        "validation_steps": raw["validation_steps"],
        "best_step": best["step"] if best else len(raw["loss"]),
        "best_validation": best["validation_loss"] if best else None,
        "best": {name: best[name] for name in ("metric", "value", "step")} if best else None,
        **{name: raw[name] for name in ("base", "general", "metric", "smoke", "skipped", "warnings")},
        "tokens": sum(raw["tokens"]),
        "seconds": round(seconds, 3),
        "tokens_per_second": round(sum(raw["tokens"]) / seconds, 1) if seconds else 0.0,
        **({"preference": pairs} if (pairs := preference.over_steps(raw.get("preference", ()))) else {}),
    }


def _early(job: Job, raw: Mapping[str, Any]) -> dict[str, Any] | None:
    """Why a training has ended before its last step by the recipe's patience; None where it has not."""
    if len(raw["loss"]) == job.steps or not alarms.out_of_patience(raw, job.config):
        return None
    best = raw["best"]
    words = (
        f"{job.config.patience} validations were not better than that of step {best['step']:,} "
        f"({best['metric']} {best['value']:.4g}): the training ended after {len(raw['loss']):,} of "
        f"{job.steps:,} steps (train.patience)"
    )
    return {"reason": "patience", "words": words, "step": len(raw["loss"])}
