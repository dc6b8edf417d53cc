"""Fine-tune a LoRA adapter on packed/, on one or many machines, by Ray Train.

What: N ranks each read the packed rows planned for them (`train.batches`), train a low-rank
adapter of the recipe's model (`train.worker`) and leave checkpoints; the adapter of least
validation loss goes to `adapter/`, with the tokenizer and headrace.json, which is written last.

Why LoRA: a few per cent of the weights, so an adapter is megabytes and a node can tune what it can
load. All linear layers by default: on attention alone it learns less.
Source: https://arxiv.org/abs/2106.09685, https://arxiv.org/abs/2305.14314

Going on: killed at any point, the same call goes on from the newest checkpoint; a training with
another key (model, data, seed, anything that decides the result) is another training, with checkpoints of
its own; a finished one is not done again. `adapter/` is that of the training that ended last: the one before
is kept in `adapters/<key>/`. A worker that dies is restarted by Ray Train up to `max_failures` times.

Cost: on a CPU for tests and demos only; memory of a rank is the model, one batch and a few chunks.
"""

import contextlib
import json
import os
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, replace
from typing import Any

import ray

from headrace.cluster import ledger, session, storage, watch
from headrace.cluster.errors import HeadraceError, ModelError, RecipeError, SourceError, UserError
from headrace.pipelines import model_files
from headrace.pipelines.train import (
    adapter,
    batches,
    checkpoints,
    foresight,
    models,
    preference,
    used,
    ways,
)
from headrace.pipelines.train.config import Config, Workers
from headrace.pipelines.train.steps import Job
from headrace.pipelines.train.ways import Way
from headrace.pipelines.train.worker import Step, on_worker

VERSION = 2
LOOK_EVERY = 0.5  # seconds between two looks for finished steps
REPORT_EVERY = 5.0  # seconds between two steps that are reported, but for validations
Progress = Callable[[str, dict[str, Any]], None]

SHARE = 10  # validations and checkpoints of a training, unless the recipe says how often

# What a training that goes on may have changed: its steps stay what they are.
FREE = {
    *("checkpoint_every", "keep_checkpoints", "max_failures", "validate_every"),
    *("workers", "batch_size", "use_gpu", "cpus_per_worker", "attention", "gradient_checkpointing", "packed"),
    *("compile", "shard", "offload"),
}


def check(config: Config, model: str | None) -> tuple[Way, ...]:
    """Whether a training could start: the model is one, its tokenizer and the adapter fit it, its attention
    is there, and it can be run over packed rows or their samples. Reads no weights.

    Returns the ways in which the model can be run, the one that is wanted most first.

    Raises: ModelError, StorageError.
    """
    found = foresight.check(config, models.configuration(model), str(model))
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
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Train on `packed/train`, write `checkpoints/` and `adapter/`; returns the history.

    model: directory, s3:// directory or hub name. weights: sampling weight by name of source, 1.0
    where it has none. sources: name of source by ordinal, which weights need. packed: digest of each side
    of packed/, by which the adapter can later be told to be of these rows. progress: called in a thread with
    a line of text and the same as fields, every few seconds and after each validation.

    The history holds how the model was run (packed, attention: see `ways`), steps, loss (nats a target token,
    by step), learning_rate, validation (loss, at validation_steps), best_step, best_validation, tokens
    (targets trained on), tokens_per_second, rows_used (packed rows by epoch, as they were counted),
    preference (of pairs: accuracy, margin, rewards), starts (step and ranks of each), kills_survived, and the
    key of the training.

    Raises: ModelError, SourceError (nothing to train on), UserError (the cluster is too small),
    GateError (the loss is no number any more; rows used are not those planned), StorageError.
    """
    found = check(config, model)
    assert model is not None, "check refuses it"
    session.start(config.most + 1)
    job = replace(
        plan(run_directory, model, config, seed, by_ordinal(weights or {}, sources or {})), ways=found
    )
    tell = progress or (lambda text, fields: None)
    history = _finished(job, packed or {})
    if history is None:
        _tell_of_another(job, tell)
        for text in foresight.said(config, found, model):
            tell(text, found[0]._asdict())
        _fit(job, tell)
        kept = adapter.put_aside(job.run, job.key)
        if kept:
            tell(f"train: the adapter of the training before is kept in {kept}", {"kept": kept})
        history = _publish(job, packed or {})
    return history


def _tell_of_another(job: Job, tell: Progress) -> None:
    """Say of a training that begins while others have left checkpoints what makes it another one."""
    mine = {"model": job.base, **settings(job.config, job.seed), "packed": job.plan.shelf.digest}
    place = storage.join(job.home, checkpoints.TRAINING)
    if storage.read_object(place) is None:
        for home in checkpoints.homes(job.run):
            other = storage.read_object(storage.join(home, checkpoints.TRAINING))
            if other is None:
                continue
            changed = [f"{k} {other.get(k)} -> {mine.get(k)}" for k in mine if other.get(k) != mine.get(k)]
            text = f"train: another training than that of {home}, which stays: {', '.join(changed)}"
            tell(text, {"kept": home, "changed": changed})
        storage.put(place, json.dumps(mine, indent=1).encode())


def settings(config: Config, seed: int) -> dict[str, Any]:
    """What of a recipe decides how a training ends, by key: as the adapter's card has it."""
    decides = config.model_dump(mode="json", exclude=FREE)
    return {"seed": seed, **{f"train.{key}": value for key, value in decides.items()}}


def by_ordinal(weights: Mapping[str, float], sources: Mapping[int, str]) -> dict[int, float]:
    """Weights of sources as weights of their fragments, those of 1.0 left out."""
    return {o: weights[s] for o, s in sorted(sources.items()) if weights.get(s, 1.0) != 1.0}


def plan(run_directory: str, model: str, config: Config, seed: int, weights: Mapping[int, float]) -> Job:
    """Everything that the ranks need to know; `weights` by ordinal. Raises: SourceError, StorageError."""
    directory = run_directory if storage.is_remote(run_directory) else os.path.abspath(run_directory)
    shelf = batches.shelf(directory, "train")
    if not shelf.rows:
        raise SourceError(
            f"nothing is packed for training in {run_directory!r}; run `headrace prepare` first"
        )
    validation = batches.shelf(directory, "validation")
    if shelf.paired:
        preference.check(config)
    heeded = dict(weights) if config.use_weights else {}
    by_trait = config.use_weights and shelf.weighted
    planned = batches.Plan(shelf, seed, config.rows_per_step, heeded, by_trait)
    epochs = tuple(planned.epochs(config.epochs, config.max_steps))
    every = config.validate_every or max(1, sum(epochs) // SHARE)
    model_digest = model_files.digest(model)
    key = ledger.key(
        VERSION,
        model_digest,
        config.model_dump(mode="json", exclude=FREE),
        seed,
        shelf.digest,
        validation.digest,
        sorted(heeded.items()),
    )
    return Job(
        run=directory,
        model=model if storage.is_remote(model) or not os.path.isdir(model) else os.path.abspath(model),
        base=model,
        config=config,
        seed=seed,
        key=key,
        model_digest=model_digest,
        plan=planned,
        epochs=epochs,
        validation=validation,
        validate_every=every,
        checkpoint_every=config.checkpoint_every or every,
        ways=ways.of_config(config),
    )


def _finished(job: Job, packed: Mapping[str, str]) -> dict[str, Any] | None:
    """The history of a training that is done; None where it is not, or was another one.

    Its key says that it read the same rows, though others may be held out now: the card is told.
    """
    card = adapter.card(job.run)
    if card is None or card.get("key") != job.key:
        return None
    # Trainings of older versions left theirs beside their checkpoints, without a home.
    places = (job.home, storage.join(job.run, checkpoints.FOLDER))
    kept = (storage.read_object(storage.join(place, "history.json")) for place in places)
    history = next((found for found in kept if found and found.get("steps") == job.steps), None)
    if history is None or history.setdefault("key", job.key) != job.key:
        return None
    if card.get("packed") != dict(packed):
        adapter.write_card(job.run, {**card, "packed": dict(packed)})
    return history


def _fit(job: Job, progress: Progress) -> None:
    """Run the ranks to the end. Raises: HeadraceError of a rank, UserError (the cluster is too small)."""
    from ray.train import FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchTrainer

    gpu, ranks = _ranks(job.config)
    mailbox = ray.remote(num_cpus=0)(Mailbox).remote()
    # Ray keeps a marker file of its own there; checkpoints are ours, on the run's storage.
    with tempfile.TemporaryDirectory(prefix="headrace-train-") as scratch, _reporting(mailbox, progress):
        trainer = TorchTrainer(
            on_worker,
            train_loop_config={"job": job, "mailbox": mailbox},
            scaling_config=ScalingConfig(
                num_workers=ranks, use_gpu=gpu, resources_per_worker=_resources(job.config, gpu)
            ),
            run_config=RunConfig(
                name=job.key,
                storage_path=scratch,
                failure_config=FailureConfig(max_failures=job.config.max_failures),
            ),
        )
        handler = signal.getsignal(signal.SIGINT)
        try:
            trainer.fit()
        except ray.train.TrainingFailedError as error:
            ours = watch.own_cause(error)
            if ours is None:
                raise
            raise ours from error
        finally:
            if threading.current_thread() is threading.main_thread():
                signal.signal(signal.SIGINT, handler)  # fit leaves its own


def _resources(config: Config, gpu: bool) -> dict[str, float]:
    return {"CPU": config.cpus_per_worker, **({"GPU": 1} if gpu else {})}


def _ranks(config: Config) -> tuple[bool, int | tuple[int, int]]:
    """Whether to use GPUs, and how many ranks, or the least and the most of them, as Ray Train takes it.

    Raises: UserError where a local Ray cannot hold them. A cluster that is joined may grow, so it is not
    judged by what it has now.
    """
    gpus = int(ray.cluster_resources().get("GPU", 0))
    gpu = gpus > 0 if config.use_gpu == "auto" else config.use_gpu
    elastic = isinstance(config.workers, Workers)
    least = config.workers.least if isinstance(config.workers, Workers) else config.most
    if config.workers == "auto" and gpu and gpus:
        least = gpus
    if not elastic and gpu and gpus:
        least = min(least, gpus)
    needed = _resources(config, gpu)
    if not os.environ.get("RAY_ADDRESS"):
        for name, amount in needed.items():
            there = ray.cluster_resources().get(name, 0)
            if amount * least > there:
                raise UserError(
                    f"train.workers: {least} workers of {amount:g} {name} each, and this Ray has {there:g}; "
                    "lower train.workers or train.cpus_per_worker"
                )
    return gpu, (least, config.most) if elastic else least


class Mailbox:
    """Steps that rank 0 has finished, until the driver asks; and why a rank has refused to train."""

    def __init__(self) -> None:
        self._steps: list[Step] = []
        self._refusal: HeadraceError | None = None

    def refuse(self, error: HeadraceError) -> None:
        """Leave what only the user can mend: no other start will do better."""
        self._refusal = error

    def refusal(self) -> HeadraceError | None:
        """What a rank of an earlier start has left."""
        return self._refusal

    def put(self, step: Step) -> None:
        """Leave a step."""
        self._steps.append(step)

    def take(self) -> list[Step]:
        """All steps since the last call."""
        steps, self._steps = self._steps, []
        return steps


def _line(step: Step) -> tuple[str, dict[str, Any]]:
    """A step as a line for people and as fields for machines."""
    text = f"train: step {step.step} of {step.steps}, loss {step.loss:.4f}"
    if step.validation is not None:
        text += f", validation {step.validation:.4f}"
    if step.preference is not None:
        text += f", {preference.words(step.preference)}"
    return text, asdict(step)


@contextlib.contextmanager
def _reporting(mailbox: Any, progress: Progress) -> Iterator[None]:
    """Tell `progress` of finished steps while the context is open, in a thread of its own.

    What `progress` raises ends the telling, not the training, and is raised at the end.
    """
    over = threading.Event()
    failed: list[Exception] = []

    reported = time.monotonic()

    def take(timeout: float | None) -> None:
        nonlocal reported
        for step in ray.get(mailbox.take.remote(), timeout=timeout):
            due = time.monotonic() - reported >= REPORT_EVERY
            if due or step.validation is not None or step.step == step.steps:
                reported = time.monotonic()
                progress(*_line(step))

    def look() -> None:
        try:
            while not over.wait(LOOK_EVERY):
                take(None)
        except Exception as error:  # noqa: BLE001  it is raised below
            failed.append(error)

    thread = threading.Thread(target=look, name="headrace-train-progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        if not failed:
            with contextlib.suppress(ray.exceptions.RayError):  # the cluster may be what failed
                take(10)
        ray.kill(mailbox)
    if failed:
        raise failed[0]


def _publish(job: Job, packed: Mapping[str, str]) -> dict[str, Any]:
    """Write history.json and adapter/, its card last; returns the history."""
    last = checkpoints.newest(job.home, job.key)
    best = checkpoints.read(job.home, checkpoints.BEST)
    if last is None or best is None or last["step"] != job.steps or best["key"] != job.key:
        raise ModelError(
            f"the training in {job.run} ended without its last checkpoint; another run may be writing there"
        )
    rows = used.counted(job.home, job.plan, job.epochs, job.steps)
    history = {
        **_history(job, last["history"], best),
        **last.get("way", {}),
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
        "step": best["step"],
        "validation_loss": best["validation_loss"],
        "packed": dict(packed),
    }
    adapter.write(job.run, files, job.model, card)
    return history


def _history(job: Job, raw: dict[str, list[Any]], best: dict[str, Any]) -> dict[str, Any]:
    """What run.json and the report say of a training."""
    seconds = sum(raw["seconds"])
    return {
        "key": job.key,
        "steps": job.steps,
        "epochs": len(job.epochs),
        "loss": raw["loss"],
        "learning_rate": raw["learning_rate"],
        "validation": raw["validation"],
        "validation_steps": raw["validation_steps"],
        "best_step": best["step"],
        "best_validation": best["validation_loss"],
        "tokens": sum(raw["tokens"]),
        "seconds": round(seconds, 3),
        "tokens_per_second": round(sum(raw["tokens"]) / seconds, 1) if seconds else 0.0,
        **({"preference": pairs} if (pairs := preference.over_steps(raw.get("preference", ()))) else {}),
    }
