"""Trainings that are made to learn about the rows, and leave no adapter: a probe, and a learning curve.

What: `probe` trains for a short while at a tenth of the rate and holds the loss on validation rows before
against that after: rows that carry a signal show a gain at once, and where there is none at all, longer
training will learn its rows by heart and nothing else. `curve` trains on 5, 10, 25, 50 and 100% of the packed
rows, each share within the next, and says by the best validation loss of each whether more rows would help.

Their checkpoints go when they have ended, but for those of all rows: that is the recipe's own training, which
`train` then only has to publish. `adapter/` stays as it is.

Cost: a probe some `PROBE` steps; a curve .9 of a training beside the training itself.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from headrace.cluster import storage
from headrace.cluster.errors import SourceError
from headrace.pipelines.train import checkpoints
from headrace.pipelines.train.config import Config
from headrace.pipelines.train.steps import Job
from headrace.pipelines.train.watch import scorer
from headrace.pipelines.train.watch.telling import Progress

PROBE, SLOWER = 50, 10  # steps of a probe at most; how much lower its rate is
SHARES = (0.05, 0.1, 0.25, 0.5, 1.0)
GAIN = 0.002  # share of the loss below which a change tells nothing
HELPS = 0.01  # share of the loss from half of the rows to all from which more rows would help

Fit = Callable[[Job, Progress], None]


def probe(job: Job, fit: Fit, tell: Progress) -> dict[str, Any]:
    """Whether the rows carry a signal, by a short training of the kind of `job`.

    Returns verdict ("signal", "none"), words, rate, steps, base and after (losses on validation rows).

    Raises: SourceError (no validation rows), and what `fit` raises.
    """
    _require_validation(job)
    steps = min(PROBE, job.steps)
    quiet = _unwatched(job.config, learning_rate=job.config.learning_rate / SLOWER, warmup=0.0)
    epochs = _cut(job.epochs, steps)
    key = f"{job.key}-probe"
    short = replace(job, config=quiet, key=key, epochs=epochs, validate_every=steps, checkpoint_every=steps)
    found = _tried(short, fit, tell)
    base, after = found["base"]["validation"], found["validation"][-1]
    gained = base - after > GAIN * base
    rate = f"{steps} steps at a rate of {quiet.learning_rate:g}"
    loss = f"the loss on validation rows went from {base:.4g} to {after:.4g}"
    words = f"after {rate} {loss}: the rows carry a signal"
    if not gained:
        words = (
            f"after {rate} {loss}: no gain at all. What the answers say does not follow from what is asked, "
            "or the model knows it already: look at rows (`headrace sample`) before you train longer"
        )
    return {
        "verdict": "signal" if gained else "none",
        "words": words,
        "rate": quiet.learning_rate,
        "steps": steps,
        "base": base,
        "after": after,
    }


def curve(
    plan: Callable[[float], Job], fit: Fit, tell: Progress, shares: Sequence[float] = SHARES
) -> dict[str, Any]:
    """The best validation loss by the share of the packed rows that is trained on, and what it says.

    plan: the training on a share of the rows. Returns points (share, rows, steps, validation), base, verdict
    ("more", "enough", "unclear") and words. Shares of less than a step's rows are left out.

    Raises: SourceError (no validation rows), and what `fit` raises.
    """
    whole = plan(1.0)
    _require_validation(whole)
    points: list[dict[str, Any]] = []
    base = None
    for share in shares:
        if share < 1 and share * whole.plan.shelf.rows < whole.plan.rows_per_step:
            continue
        job = plan(share)
        rows = len(job.plan.order(0).places)
        tell(f"train: learning curve: {rows:,} packed rows ({share:.0%})", {"share": share, "rows": rows})
        found = _tried(job, fit, tell, keep=share == 1)
        base = found["base"]["validation"]
        best = min(found["validation"])
        points.append({"share": share, "rows": rows, "steps": len(found["loss"]), "validation": best})
    return {"points": points, "base": base, **judged(points, base)}


def judged(points: Sequence[Mapping[str, Any]], base: float | None) -> dict[str, str]:
    """Whether more rows would help, of the points of a curve."""
    if len(points) < 2 or base is None:
        return {"verdict": "unclear", "words": "too few packed rows for a curve: nothing can be told of more"}
    half, whole = points[-2], points[-1]
    before, now = half["validation"], whole["validation"]
    loss = (
        f"the best loss on validation rows was {before:.4g} with {half['rows']:,} packed rows and is "
        f"{now:.4g} with {whole['rows']:,}"
    )
    if min(before, now) > base * (1 - GAIN):
        words = f"{loss}, no better than before training ({base:.4g}): more rows of this kind would not help"
        return {"verdict": "enough", "words": words}
    if before - now > HELPS * now:
        words = f"{loss}: more rows would help; as many again may bring about as much"
        return {"verdict": "more", "words": words}
    words = f"{loss}: more rows of the same kind would hardly help; other kinds, or better ones, may"
    return {"verdict": "enough", "words": words}


def _tried(job: Job, fit: Fit, tell: Progress, *, keep: bool = False) -> dict[str, Any]:
    """The history of a training that is not published."""
    fit(job, tell)
    newest = checkpoints.newest(job.home, job.key)
    assert newest is not None, "it has just ended"
    if not keep:
        storage.delete(job.home)
    return dict(newest["history"])


def _unwatched(config: Config, **more: Any) -> Config:
    """The same training without what would end it early."""
    watch = config.watch.model_copy(update={"stop": False, "forgetting": False})
    free = {"smoke": 0.0, "patience": None, "watch": watch, "best": scorer.LOSS}
    return config.model_copy(update={**free, **more})


def _cut(epochs: Sequence[int], steps: int) -> tuple[int, ...]:
    """The first steps of each epoch, `steps` in all."""
    left, kept = steps, []
    for count in epochs:
        kept.append(min(count, left))
        left -= kept[-1]
    return tuple(count for count in kept if count)


def _require_validation(job: Job) -> None:
    if not job.validation.rows:
        raise SourceError(
            "packed/validation holds no rows, and what more rows bring is told by them: give "
            "split.validation a share, and prepare again"
        )
