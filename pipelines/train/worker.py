"""What one rank does: read its rows, step, validate, leave checkpoints.

Everything random is a function of (seed, step, micro-batch), so going on from a checkpoint gives what going
through would have given: to the bit on a CPU with the same number of ranks, but for the order of sums with
another.
"""

import math
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import torch
import torch.distributed as dist

from headrace.cluster import process
from headrace.cluster.errors import GateError, ModelError, discreet
from headrace.pipelines.train import (
    adapter,
    batches,
    checkpoints,
    forward,
    models,
    preference,
    steps,
    used,
    ways,
)
from headrace.pipelines.train.steps import Job, Rank
from headrace.pipelines.train.ways import Way

if TYPE_CHECKING:
    from headrace.pipelines.train.config import Config

ADAM = {"betas": (0.9, 0.999), "eps": 1e-8}
History = dict[str, Any]
NONE = np.zeros(0, np.int64)


@dataclass(frozen=True)
class Step:
    """What is told of a step: how far, the loss in nats a token, target tokens, and the time it took.

    validation: loss, where the step ended with one. preference: of its pairs, by `preference.TOLD`.
    """

    step: int
    steps: int
    loss: float
    learning_rate: float
    tokens: int
    seconds: float
    validation: float | None = None
    preference: list[float] | None = None


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
    dtype = models.precision(config.precision, rank.device)
    base = models.load(
        job.model,
        dtype,
        job.ways[0].attention,
        quantised=config.method == "qlora",
        device=str(rank.device),
    ).to(rank.device)
    way = ways.proved(base, job.ways, job.base)
    if config.gradient_checkpointing:
        base.activation_checkpointing_enable({"use_reentrant": False})
    torch.manual_seed(job.seed)
    model = adapter.fitted(base, config, job.base)
    for parameter in trained(model).values():  # on different machines kernels may draw differently
        if rank.count > 1:
            dist.broadcast(parameter.data, 0)
    return model, way


def trained(model: Any) -> dict[str, torch.nn.Parameter]:
    """The parameters that are trained, by name, sorted."""
    return {n: p for n, p in sorted(model.named_parameters()) if p.requires_grad}


def train(job: Job, rank: Rank, report: Callable[[Step], None]) -> None:
    """Train from the newest checkpoint to the end; rank 0 writes and reports.

    Raises: ModelError, StorageError, GateError (a loss that is no number), and what `report` raises.
    """
    model, way = build(job, rank)
    if job.plan.shelf.paired and not way.packed:
        raise ModelError(preference.APART)
    parameters = trained(model)
    optimizer = torch.optim.AdamW(
        parameters.values(), lr=job.config.learning_rate, weight_decay=job.config.weight_decay, **ADAM
    )
    history = _resume(job, rank, model, optimizer)
    validation = _Validation(job, rank, way)
    pairs = preference.Objective(job.config.preference, rank.device) if job.plan.shelf.paired else None
    books: list[pa.Table] = []
    for step, read in _reading(job, rank, way, len(history["loss"])):
        started = time.monotonic()
        rate = learning_rate(step, job.steps, job.config)
        salts = [_salt(job.seed, step, *number) for number in read.numbers]
        micro = [forward.tensors(batch, rank.device) for batch in read.inputs]
        try:
            norm = job.config.max_grad_norm
            loss, tokens = steps.step(model, optimizer, micro, rank, rate, norm, salts, pairs)
        except ArithmeticError as error:
            places = read.order.places.tolist()
            rows = [[forward.tensors(part, rank.device) for part in way.inputs(row)] for row in read.rows()]
            raise steps.stopped(job, rank, model, step + 1, str(error), places, rows) from None
        told = preference.told(rank.total(pairs.taken())) if pairs is not None else None
        finished = Step(step + 1, job.steps, loss, rate, tokens, time.monotonic() - started, None, told)
        _note(history, finished)
        books.append(used.table(step + 1, read.order, rank.number))
        last = finished.step == job.steps
        if validation.shelf.rows and (last or finished.step % job.validate_every == 0):
            finished = _validated(job, rank, model, validation, history, finished)
        due = last or finished.step % job.checkpoint_every == 0
        noted = rank.gathered(pa.concat_tables(books)) if due else []
        if rank.number == 0:
            report(finished)
            if due:
                history["rows"] += used.write(job.home, finished.step, noted)
                _checkpoint(job, model, way, optimizer, history)
        if due:
            books = []


def _salt(seed: int, step: int, *micro: int) -> int:
    return int(np.random.SeedSequence([seed, step, *micro]).generate_state(1, np.uint64)[0] >> np.uint64(1))


def _resume(job: Job, rank: Rank, model: Any, optimizer: torch.optim.Optimizer) -> History:
    """Load the checkpoint that rank 0 goes on from; returns the history up to it."""
    step = rank.first(_started(job, rank.count) if rank.number == 0 else 0)
    if not step:
        return {name: [] for name in checkpoints.HISTORY}
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
    return dict(record["history"])


def _started(job: Job, ranks: int) -> int:
    """The step that this start goes on from; what lies beyond it is removed, and the start is noted."""
    step = checkpoints.resumed(job.home, job.key, job.steps)
    used.cut(job.home, step)
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


class _Validation:
    """The loss over the validation rows, or the first `validation_rows` of them in shuffled order."""

    def __init__(self, job: Job, rank: Rank, way: Way) -> None:
        self.shelf, self._way = job.validation, way
        self._preference = job.config.preference
        plan = batches.Plan(job.validation, job.seed, max(1, job.validation.rows), {})
        order = plan.order(0)
        most = slice(0, job.config.validation_rows)
        own = order.places[most][rank.number :: rank.count]
        self._own = batches.Order(own, np.zeros_like(own))
        self._reader = batches.Reader(plan)

    @torch.no_grad()
    def loss(self, model: Any, rank: Rank, rows: int) -> float:
        """Nats a target token over all ranks' rows, `rows` at a time; of pairs what a step's loss is."""
        model.eval()
        if self.shelf.paired:
            return self._of_pairs(model, rank, rows)
        sums = torch.zeros(2, dtype=torch.float64, device=rank.device)
        for first in range(0, len(self._own.places), rows):
            cut = slice(first, first + rows)
            chosen = batches.Order(self._own.places[cut], self._own.visits[cut])
            for part in self._way.inputs(self._reader.read(chosen, 0)):
                batch = forward.tensors(part, rank.device)
                sums += torch.stack([steps.loss_sum(model, batch).double(), steps.targets(batch).double()])
        rank.total(sums)
        return float(sums[0] / sums[1].clamp(min=1))

    def _of_pairs(self, model: Any, rank: Rank, rows: int) -> float:
        cuts = [slice(first, first + rows) for first in range(0, len(self._own.places), rows)]
        pairs = preference.Objective(self._preference, rank.device)

        def read() -> Iterator[dict[str, torch.Tensor]]:
            for cut in cuts:
                chosen = batches.Order(self._own.places[cut], self._own.visits[cut])
                yield forward.tensors(self._reader.read(chosen, 0), rank.device)

        counts = rank.total(pairs.counts(read(), rank.device))
        loss = sum(
            (pairs.part(model, batch, counts).double() for batch in read()), torch.zeros(()).to(rank.device)
        )
        return float(rank.total(loss))


def _note(history: History, step: Step) -> None:
    history["loss"].append(step.loss)
    history["learning_rate"].append(step.learning_rate)
    history["tokens"].append(step.tokens)
    history["seconds"].append(round(step.seconds, 4))
    if step.preference is not None:
        held = history.setdefault("preference", [])  # None: a step without pairs
        held += [None] * (step.step - 1 - len(held))
        held.append(step.preference)


def _validated(
    job: Job, rank: Rank, model: Any, validation: _Validation, history: History, step: Step
) -> Step:
    """Validate, note it, and keep the adapter where it is the best so far."""
    loss = validation.loss(model, rank, job.config.batch_size)
    if not math.isfinite(loss):
        raise GateError(
            f"training stopped at step {step.step} of {job.steps}: the loss on validation rows is {loss}. "
            "Nothing was published; look at the rows of packed/validation, or lower train.learning_rate"
        ).at(steps.GATE)
    best = all(loss < earlier for earlier in history["validation"])
    history["validation"].append(loss)
    history["validation_steps"].append(step.step)
    if best and rank.number == 0:
        _keep_best(job, model, step.step, loss)
    return Step(**{**vars(step), "validation": loss})


def _keep_best(job: Job, model: Any, step: int, loss: float | None) -> None:
    record = {"key": job.key, "step": step, "validation_loss": loss}
    checkpoints.write(job.home, checkpoints.BEST, record, adapter.files(model, job.base))


def _checkpoint(job: Job, model: Any, way: Way, optimizer: torch.optim.Optimizer, history: History) -> None:
    """Leave a checkpoint; without validation the last adapter is the best."""
    step = len(history["loss"])
    if not job.validation.rows and step == job.steps:
        _keep_best(job, model, step, None)
    record = {"key": job.key, "step": step, "steps": job.steps, "history": history, "way": way._asdict()}
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
    refusal = ray.get(mailbox.refusal.remote())
    if refusal is not None:
        raise refusal
    try:
        train(job, rank, lambda step: mailbox.put.remote(step))
    except (ModelError, GateError) as error:
        # Ray starts the ranks again whatever has failed: let them not load the model again for it.
        ray.get(mailbox.refuse.remote(error.with_traceback(None)))
        raise
    ray.train.report({"steps": job.steps})
