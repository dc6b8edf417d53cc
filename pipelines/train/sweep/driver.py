"""Many trainings in search of better settings, by Ray Tune (`headrace sweep`).

What: trials one after the other, or several at once, each a training of its own below `sweeps/<key>/` of the
run, over the rows that the run has packed; the run's own adapter is not touched. `space` says which settings
a trial gets and when it is ended early, `records` what is kept. In the end the best settings are trained
again on other seeds, which shows how much of a gap is chance.

Why Ray Tune: it places trials on a cluster's devices and starts one again whose node died. Why the proposals
are not its own searcher's: those follow the order in which results come in, and the state that it writes
lags behind; ours follow from the seed and the files, so a sweep that is killed goes on as if it had not been.
Proposals are Optuna's. A trial waits for the one `parallel` places before it.

Going on: finished trials are read, not done again; one under way goes on from its checkpoint.

Cost: that of the trainings; a process of Ray Tune's for each of those that run at once, which imports PyTorch
and loads the model anew for every trial. On a CPU they share the base's memory where its files hold the type
that is computed in, as its weights are the files' own pages then: two processes with a base of 520 MB have
each grown by 220 MB (PSS). From a file of another type each has a copy of its own, as it has on a GPU.
"""

import importlib.util
import json
import os
import signal
import tempfile
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from headrace.cluster import ledger, session, storage, watch
from headrace.cluster.errors import RecipeError, SourceError
from headrace.pipelines.train import driver
from headrace.pipelines.train.config import Config as Train
from headrace.pipelines.train.sweep import records
from headrace.pipelines.train.sweep.config import Config

if TYPE_CHECKING:
    from headrace.pipelines.train.steps import Job
    from headrace.pipelines.train.sweep.search import Search

VERSION = 1
EXTRA = "pip install 'headrace[sweep]'"
Tell = Callable[[str, dict[str, Any]], None]
# Ray Tune writes tables and event files of its own; ours are in the run.
QUIET = {"TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1", "RAY_AIR_NEW_OUTPUT": "0"}


def require(config: Config) -> None:
    """That a sweep could be made here. Raises: RecipeError."""
    if importlib.util.find_spec("optuna") is None:
        raise RecipeError(f"sweep: optuna is not installed; {EXTRA}")
    if free := sorted(set(config.space) & driver.FREE):
        raise RecipeError(f"sweep.space: {', '.join(free)} changes nothing of what a training ends as")


def run(
    run_directory: str,
    model: str,
    train: Train,
    config: Config,
    *,
    seed: int,
    weights: Mapping[str, float] | None = None,
    sources: Mapping[int, str] | None = None,
    costs: Mapping[str, Any] | None = None,
    progress: Tell | None = None,
) -> dict[str, Any]:
    """Search; returns what run.json and the report say of it.

    That is: key, metric, space, trials (the best first: trial, kind, settings, state, loss, steps, of,
    seconds, cost, words), best (its number), settings (the best ones, by key of `train`), gain (loss of the
    recipe's own less the best), importances (share by key) and their words, noise (see `records.noise`),
    seconds, cost.

    Raises: RecipeError, SourceError (no validation rows), ModelError, UserError (the cluster is too small),
    Fault (a trial that did not end).
    """
    require(config)
    found = driver.check(train, model)
    ordinals = driver.by_ordinal(weights or {}, sources or {})
    template = replace(driver.plan(run_directory, model, train, seed, ordinals), ways=found.ways, costs=costs)
    if not template.validation.rows:
        raise SourceError(
            f"no rows are held out for validation in {run_directory!r}, and trials are ranked by the loss on "
            "them: give split.validation a share and run `headrace prepare` again"
        )
    held = {"space": config.model_dump(mode="json")["space"], "factor": config.reduction_factor}
    key = ledger.key(VERSION, template.key, held, config.metric)
    home = records.home(template.run, key)
    storage.put(storage.join(home, records.SWEEP), ledger.dumps({"key": key, **held}))
    parallel = config.parallel or max(1, session.gpus() if train.use_gpu is not False else 0)
    from headrace.pipelines.train.sweep.search import Search  # which imports Optuna

    tell = progress or (lambda text, fields: None)
    search = Search(template.config, template.seed, config, home, parallel, tell, records.trials(home))
    if search.next_action() != "over":
        _tune(search, template)
    told = _summary(search, key)
    storage.put(storage.join(home, records.SWEEP), ledger.dumps({**held, **told}))
    return told


def _tune(search: "Search", template: "Job") -> None:
    """Run trials until there is nothing left to do. Raises: what a trial raised, RecipeError, Fault."""
    from ray import tune

    from headrace.pipelines.train.sweep import trial
    from headrace.pipelines.train.sweep.proposals import Proposals

    os.environ.update(QUIET)
    config = template.config
    gpu = session.gpus() > 0 if config.use_gpu == "auto" else bool(config.use_gpu)
    needed = {"cpu": config.cpus_per_worker, **({"gpu": 1} if gpu else {})}
    function = tune.with_parameters(
        trial.on_worker,
        template=template,
        factor=search.config.reduction_factor,
        home=search.home,
    )
    proposals = Proposals(search)
    handler = signal.getsignal(signal.SIGINT)
    with tempfile.TemporaryDirectory(prefix="headrace-sweep-") as scratch:
        try:
            found = tune.Tuner(
                tune.with_resources(function, needed),
                tune_config=tune.TuneConfig(
                    search_alg=proposals,
                    num_samples=-1,
                    max_concurrent_trials=search.parallel,
                    reuse_actors=True,
                ),
                run_config=tune.RunConfig(
                    name="sweep",
                    storage_path=scratch,
                    verbose=0,
                    failure_config=tune.FailureConfig(max_failures=config.max_failures),
                ),
            ).fit()
        finally:
            if threading.current_thread() is threading.main_thread():
                signal.signal(signal.SIGINT, handler)
    errors = [*found.errors, *proposals.failed]
    if errors:
        raise next((own for error in errors if (own := watch.own_cause(error))), errors[0])


def _summary(search: "Search", key: str) -> dict[str, Any]:
    """What is said of a sweep that is over."""
    from headrace.pipelines.train.sweep import space

    trials = search.trials
    best = records.ranked(trials)
    told_of = [one for one in search.known(len(trials) + search.parallel) if one.loss is not None]
    shares = space.importances(search.config.space, told_of)
    seconds, cost = records.spent(trials)
    first = trials[0].result
    gain = None
    if best and best[0].result and first and first.loss is not None and best[0].result.loss is not None:
        gain = first.loss - best[0].result.loss
    told = {
        "key": key,
        "metric": search.config.metric,
        "space": search.config.model_dump(mode="json")["space"],
        "trials": records.as_json(trials),
        "best": best[0].number if best else None,
        "settings": best[0].settings if best else None,
        "gain": gain,
        "importances": shares,
        "importance_words": records.importance_words(shares, len(told_of)),
        "noise": records.noise(trials),
        "seconds": round(seconds, 1),
        "cost": None if cost is None else round(cost, 4),
    }
    plain: dict[str, Any] = json.loads(json.dumps(told))  # lists for tuples, as who reads it finds them
    return plain
