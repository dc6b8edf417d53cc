"""What one rank does: read its rows, step, validate, leave checkpoints.

Everything random is a function of (seed, step, micro-batch), so going on from a checkpoint gives what going
through would have given: to the bit on a CPU with the same number of ranks, but for the order of sums with
another.
"""

import math
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import accelerate  # type: ignore[import-untyped]
import numpy as np
import pyarrow as pa
import torch
import torch.distributed as dist

from headrace.cluster import process, storage
from headrace.cluster.errors import FullDiskError, GateError, ModelError, RecipeError, discreet
from headrace.pipelines import model_files
from headrace.pipelines.train import (
    adapter,
    batches,
    checkpoints,
    memory,
    models,
    parents,
    preference,
    sharding,
    speed,
    steps,
    used,
)
from headrace.pipelines.train.running import attention, forward, routers, ways
from headrace.pipelines.train.running.ways import Way
from headrace.pipelines.train.steps import Job, Rank
from headrace.pipelines.train.watch import alarms
from headrace.pipelines.train.watch.watched import Step, Watched, keep_best

if TYPE_CHECKING:
    from headrace.pipelines.train.config import Config

History = dict[str, Any]
NONE = np.zeros(0, np.int64)


def learning_rate(step: int, steps: int, config: "Config") -> float:
    """Rate of step `step` (from 0): linear warm-up, then half a cosine to 0, or constant.

    Source: https://arxiv.org/abs/1608.03983
    """
    warmup = math.ceil(config.warmup * steps)
    if step < warmup:
        return config.learning_rate * (step + 1) / warmup
    if config.schedule == "constant":
        return config.learning_rate
    done = (step - warmup) / max(1, steps - warmup)
    return config.learning_rate * 0.5 * (1 + math.cos(math.pi * done))


def build(job: Job, rank: Rank) -> tuple[Any, Way]:
    """The model with a fresh adapter on the rank's device, the same on every rank, and how it is run.

    Raises: ModelError.
    """
    config = job.config
    dtype = models.precision(config.precision, rank.device, config.method)
    base = _base(job, rank, dtype)
    way = ways.proved(base, job.ways, job.base)
    if config.method == "full" and config.precision == "auto":
        setattr(base, models.MIXED, models.precision("auto", rank.device) == torch.bfloat16)
    routers.attach(base, config.aux_loss)
    speed.checkpointed(base, config.gradient_checkpointing)
    torch.manual_seed(job.seed)
    new = models.token_ids(job.model, config.new_tokens)
    models.widened(base, max(new, default=-1) + 1)
    if job.parent is None:
        model = adapter.fitted(base, config, job.base, new)
    else:
        model = parents.fitted(base, parents.again(job.parent), config.dropout, job.base)
    for parameter in trained(model).values():  # on different machines kernels may draw differently
        if rank.count > 1:
            dist.broadcast(parameter.data, 0)
    return speed.prepared(model, config), way


def _base(job: Job, rank: Rank, dtype: torch.dtype) -> Any:
    """The base model on the rank's device, or its part of it there. Raises: ModelError, RecipeError."""
    config, kind = job.config, job.ways[0].attention

    def whole(device: str = "cpu") -> Any:
        return models.load(job.model, dtype, kind, quantised=config.method == "qlora", device=device)

    if config.shard == "none" and not config.offload:
        return whole(str(rank.device)).to(rank.device)
    described = models.configuration(job.model)
    with torch.device("meta"):
        size = sum(p.numel() for p in models.from_config(described, kind).parameters()) * dtype.itemsize
    if not sharding.wanted(config, rank, size):
        return whole(str(rank.device)).to(rank.device)

    def empty() -> Any:
        with accelerate.init_empty_weights(include_buffers=False):
            return models.prepared(models.from_config(described, kind, dtype))

    place = model_files.local(job.model)
    return sharding.load(place, empty, whole, rank, offload=config.offload)


def trained(model: Any) -> dict[str, torch.nn.Parameter]:
    """The parameters that are trained, by name, sorted."""
    return {n: p for n, p in sorted(model.named_parameters()) if p.requires_grad}


def train(job: Job, rank: Rank, report: Callable[[Step], None]) -> None:
    """Train from the newest checkpoint to the end; rank 0 writes and reports.

    Raises: ModelError, StorageError, GateError (what the training showed stopped it), and what `report`
    raises.
    """
    peak = memory.Peak(rank.device)
    model, way = build(job, rank)
    length = batches.Reader(job.plan).length
    if job.plan.shelf.paired:
        preference.require(packed=way.packed, spread=sharding.is_spread(model))
    parameters = trained(model)
    optimizer = speed.optimizer(parameters.values(), job.config)
    if rank.number == 0:
        trained_bytes = sum(p.numel() * p.element_size() for p in parameters.values())
        checkpoints.require_room(job.home, trained_bytes, job.config.keep_checkpoints)
    history = _resume(job, rank, model, optimizer)
    watched = Watched(job, rank, model, way, history)
    books: list[pa.Table] = []

    def leave() -> None:
        """A checkpoint, with the books of the steps up to it."""
        noted = rank.gathered(pa.concat_tables([used.SCHEMA.empty_table(), *books]))
        books.clear()
        if rank.number == 0:
            history["rows"] += used.write(job.home, len(history["loss"]), noted)
            measured = _measured(job, rank, model, way, history, peak, length)
            _checkpoint(job, model, way, optimizer, history, measured)

    for step, read in _reading(job, rank, way, len(history["loss"])):
        if alarms.out_of_patience(history, job.config):
            return
        try:
            finished = _step(job, rank, model, way, optimizer, watched, step, read)
        except GateError:
            if books:
                leave()
            raise
        books.append(used.table(step + 1, read.order, rank.number))
        finished, stop = watched.after(finished)
        if rank.number == 0:
            report(finished)
        ending = finished.step == job.steps or stop or alarms.out_of_patience(history, job.config)
        if ending or finished.step % job.checkpoint_every == 0:
            leave()
        if stop:
            raise stop


def _step(
    job: Job,
    rank: Rank,
    model: Any,
    way: Way,
    optimizer: torch.optim.Optimizer,
    watched: Watched,
    step: int,
    read: "Read",
) -> Step:
    """One step, or what is left of one that is left out. Raises: GateError where it should not be made."""
    started = time.monotonic()
    rate = learning_rate(step, job.steps, job.config)
    salts = [_salt(job.seed, step, *number) for number in read.numbers]
    micro = [forward.tensors(batch, rank.device) for batch in read.inputs]
    for _ in range(sharding.missing(len(micro), model, rank)):
        micro.append(sharding.nothing(rank.device))
        salts.append(0)
    try:
        made = steps.step(
            model,
            optimizer,
            micro,
            rank,
            rate,
            job.config.max_grad_norm,
            salts,
            watched.bad_step,
            watched.pairs,
        )
    except steps.BadStep as error:
        rows = [[forward.tensors(part, rank.device) for part in way.inputs(row)] for row in read.rows()]
        rows += [[sharding.nothing(rank.device)]] * sharding.missing(len(rows), model, rank)
        watched.left_out(step + 1, str(error), read.order.places.tolist(), rows)
        made = steps.Stepped(math.nan, 0, error.stepped.norm)
    seconds = time.monotonic() - started
    finished = Step(step + 1, job.steps, made.loss, rate, made.tokens, seconds, made.norm)
    if watched.pairs is not None:
        finished = replace(finished, preference=preference.told(rank.total(watched.pairs.taken())))
    _note(watched.history, finished)
    return finished


def _salt(seed: int, step: int, *micro: int) -> int:
    return int(np.random.SeedSequence([seed, step, *micro]).generate_state(1, np.uint64)[0] >> np.uint64(1))


def _resume(job: Job, rank: Rank, model: Any, optimizer: torch.optim.Optimizer) -> History:
    """Load the checkpoint that rank 0 goes on from; returns the history up to it."""
    step = rank.first(_started(job, rank.count) if rank.number == 0 else 0)
    if not step:
        return checkpoints.history()
    folder = checkpoints.name(step)
    record = checkpoints.read(job.home, folder)
    assert record is not None, "rank 0 has just read it"
    adapter.set_weights(
        model,
        {
            n: checkpoints.fetch(job.home, folder, record, n)
            for n in record["files"]
            if n != checkpoints.OPTIMIZER
        },
    )
    state = checkpoints.fetch(job.home, folder, record, checkpoints.OPTIMIZER)
    checkpoints.load_optimizer(optimizer, list(trained(model)), state)
    return {**checkpoints.history(), **record["history"]}


def _started(job: Job, ranks: int) -> int:
    """The step that this start goes on from; what lies beyond it is removed, and the start is noted."""
    step = checkpoints.resumed(job.home, job.key, job.steps)
    used.cut(job.home, step)
    storage.delete(storage.join(job.home, checkpoints.STOPPED))
    checkpoints.note_start(job.home, step, ranks)
    return step


@dataclass(frozen=True)
class Read:
    """What a rank has read for a step. order: the packed rows of all its micro-batches; inputs: what the
    model takes of them; numbers: of the micro-batch of each, and of its part where samples are apart.
    """

    order: batches.Order
    packed: list[batches.Batch]
    numbers: list[tuple[int, ...]]
    inputs: list[batches.Batch]

    def rows(self) -> Iterator[batches.Batch]:
        """Each packed row alone."""
        for batch in self.packed:
            for i in range(len(batch["labels"])):
                yield {name: values[i : i + 1] for name, values in batch.items()}


def _reading(job: Job, rank: Rank, way: Way, done: int) -> Iterator[tuple[int, Read]]:
    """Each step after `done` with what this rank reads for it; the next step's is read while one is trained
    on.
    """
    reader = batches.Reader(job.plan)

    def read(epoch: int, micro: list[batches.Micro]) -> Read:
        orders = [(one.order.places, one.order.visits) for one in micro] or [(NONE, NONE)]
        order = batches.Order(*(np.concatenate(column) for column in zip(*orders, strict=True)))
        packed = [reader.read(one.order, epoch) for one in micro]
        parts = [way.inputs(batch) for batch in packed]
        numbers: list[tuple[int, ...]] = []
        for one, of_one in zip(micro, parts, strict=True):
            several = range(len(of_one))
            numbers += [(one.number,) if way.packed else (one.number, part) for part in several]
        return Read(order, packed, numbers, [part for of_one in parts for part in of_one])

    with ThreadPoolExecutor(1) as pool:
        ahead: tuple[int, Future[Read]] | None = None
        for step, epoch, micro in _shares(job, rank, done):
            coming = pool.submit(read, epoch, micro)
            if ahead is not None:
                yield ahead[0], ahead[1].result()
            ahead = step, coming
        if ahead is not None:
            yield ahead[0], ahead[1].result()


def _shares(job: Job, rank: Rank, done: int) -> Iterator[tuple[int, int, list[batches.Micro]]]:
    """Step, epoch and this rank's micro-batches, for every step after `done`."""
    first, whole = 0, job.plan.rows_per_step
    for epoch, count in enumerate(job.epochs):
        if first + count > done:
            order = job.plan.order(epoch)
            for step in range(max(first, done), first + count):
                rows = job.plan.rows(order, step - first)
                yield step, epoch, batches.share(rows, whole, rank.number, rank.count, job.config.batch_size)
        first += count


def _note(history: History, step: Step) -> None:
    made = math.isfinite(step.loss)
    history["loss"].append(step.loss if made else None)
    history["grad_norm"].append(step.grad_norm if made else None)
    history["learning_rate"].append(step.learning_rate)
    history["tokens"].append(step.tokens)
    history["seconds"].append(round(step.seconds, 4))
    if step.preference is not None:
        held = history.setdefault("preference", [])  # None: a step without pairs
        held += [None] * (step.step - 1 - len(held))
        held.append(step.preference)


def _measured(
    job: Job, rank: Rank, model: Any, way: Way, history: History, peak: memory.Peak, length: int
) -> dict[str, Any]:
    """Memory in GiB, as it was told before and as it was at most on this rank, both without what a process
    takes before it has a model; share of the GPU's peak. length: tokens of a packed row.
    """
    gpu = rank.device.type == "cuda"
    described, base = model.config, model.dtype
    masked = way.attention != attention.VARLEN
    asked = memory.Asked(length, base.itemsize, gpu, masked, job.plan.shelf.paired)
    need = memory.estimated(described, job.config, asked)
    name = torch.cuda.get_device_name(rank.device) if gpu else ""
    tokens = sum(history["rows"]) * length // rank.count
    used_up = memory.mfu(described, name, tokens, sum(history["seconds"])) if gpu else None
    whole = None if need is None else round(need.grown, 3)
    return {"memory": {"estimated": whole, "peak": round(peak.taken(), 3)}, "mfu": used_up}


def _checkpoint(
    job: Job,
    model: Any,
    way: Way,
    optimizer: torch.optim.Optimizer,
    history: History,
    measured: dict[str, Any],
) -> None:
    """Leave a checkpoint; without validation the last adapter is the best."""
    step = len(history["loss"])
    if not job.validation.rows and step == job.steps:
        keep_best(job, model, step, None)
    about = {"key": job.key, "step": step, "steps": job.steps}
    record = {**about, "history": history, "way": way._asdict(), "measured": measured}
    files = adapter.files(model, job.base)
    files[checkpoints.OPTIMIZER] = checkpoints.optimizer_file(optimizer, list(trained(model)))
    checkpoints.write(job.home, checkpoints.name(step), record, files)
    checkpoints.prune(job.home, job.config.keep_checkpoints)


@discreet()
def on_worker(config: dict[str, Any]) -> None:
    """The training function that Ray Train runs on every worker; `config` holds job and mailbox."""
    process.single_threaded()
    import ray.train
    import ray.train.torch

    job, mailbox = config["job"], config["mailbox"]
    context = ray.train.get_context()
    rank = Rank(context.get_world_rank(), context.get_world_size(), ray.train.torch.get_device())
    if ray.get(mailbox.refusal.remote()) is not None:
        return  # it is raised by the driver: to fail here would have Ray start the ranks once more
    if rank.number == 0:
        mailbox.begin.remote()
    try:
        train(job, rank, lambda step: mailbox.put.remote(step))
    except (ModelError, RecipeError, GateError, FullDiskError) as error:
        ray.get(mailbox.refuse.remote(error.with_traceback(None)))
        if rank.count == 1 or isinstance(error, GateError):  # which all ranks raise
            return
        raise  # others wait for this rank: it has to fail for them to be ended
    ray.train.report({"steps": job.steps})
