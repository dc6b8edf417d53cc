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

import contextlib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import ray

from headrace.cluster import ledger, session, storage, stream
from headrace.cluster.errors import GateError, ModelError, SourceError, StorageError
from headrace.cluster.here import looking
from headrace.pipelines import model_files, stored
from headrace.pipelines.evaluate import scoring, standing
from headrace.pipelines.evaluate.arms import kept, others, pieces, wanted
from headrace.pipelines.evaluate.arms.measured import Outcome
from headrace.pipelines.evaluate.config import LOWER_IS_BETTER, Config
from headrace.pipelines.evaluate.gates import held_out, judge, probing, training
from headrace.pipelines.evaluate.gates.config import Config as Gates
from headrace.pipelines.evaluate.judged import function
from headrace.pipelines.evaluate.judged import kept as judged_kept
from headrace.pipelines.evaluate.outputs import Work, last_asked, measure, share
from headrace.pipelines.train import adapter, batches, models

VERSION = 6
EVERY = 10.0  # seconds between two looks at how far a long evaluation is
Say = Callable[[str, dict[str, Any]], None]


def run(
    run_directory: str,
    model: str | None,
    config: Config,
    *,
    seed: int,
    packed: Mapping[str, str] | None = None,
    gates: Gates | None = None,
    say: Say | None = None,
) -> dict[str, Any]:
    """Measure the model with and without `adapter/`, and every other arm; writes evaluation/scores.json and
    samples.json, and what was measured beside them (`arms.kept`).

    packed: digest of each side of packed/ as it is now; gates: what else is measured of the tuned model, for
    `held` to hold against thresholds, left out: nothing; say: is told now and then how far it is.

    Returns, by metric: base, tuned, interval (95%, of tuned - base), p (of no difference; corrected for
    their number where the metric is not the one that decides), verdict ("better", "worse", "no clear
    difference", "too few samples"), n, the samples it is over, test (mcnemar, bootstrap), and primary:
    whether it decides; where they are there, arms (by name value, interval of tuned - arm, p, verdict, n),
    few_shot (the value of the best arm with examples) and clean (the same over the samples that do not stand
    in training). Runs as a task where Ray is up, on GPUs where there are some. One that is killed goes on
    where it was.

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
    keys = wanted.keys(run_directory, model, config, seed, shelf)
    keys[wanted.TUNED] = wanted.tuned(keys[wanted.BASE], card)
    settings = {
        **config.model_dump(mode="json", exclude={"gate", "judge"}),
        "primary": config.deciding(config.metrics),
        "functions": function.texts(config.functions),
    }
    probes = None
    if gates is not None and gates.enabled:
        probes = ledger.key(keys, probing.key(run_directory, gates))
    of = {"key": ledger.key(VERSION, keys, settings, probes), "adapter": card["key"]}
    of["packed"] = (packed or {}).get(config.split)
    result = written(run_directory)
    if any(result.get(name) != value for name, value in of.items()):
        work = Work(run_directory, model, config, seed, shelf, keys, {}, probes or "")
        before = result.get("measured") if probes and result.get("probes") == probes else None
        outcome = _measured(work, gates if before is None else None, say)
        gated = {"measured": before} if before is not None else {}  # as they hang on no metric of the recipe
        result = {**of, **_scored(work, outcome, packed or {}), **gated, "probes": probes}
        _write(work, result, _examples(outcome, config.examples))
    _judge(result["metrics"], config)
    return dict(result["metrics"])


def _write(work: Work, result: Mapping[str, Any], examples: Sequence[Mapping[str, str]]) -> None:
    """Write what was found; the batches that it was put together from are needed no more."""
    config = work.config.model_dump(mode="json")
    made_of = {"config": config, "keys": work.keys, "adapter": result["adapter"], "split": config["split"]}
    first = {"key": result["key"], **made_of, "packed": result["packed"]}
    storage.put(storage.join(work.run, standing.SAMPLES), _json({"samples": examples}))
    storage.put(storage.join(work.run, standing.SCORES), _json({**first, **result}))
    pieces.remove(work.run)


def _scored(work: Work, outcome: Outcome, packed: Mapping[str, str]) -> dict[str, Any]:
    """Scores, over all samples and over those that do not stand in training, and gates as they were measured,
    where the models were probed.
    """
    rows = _stored(work.run, outcome)
    texts = _last_asked(rows, outcome)
    seen = _seen(work.run, work.model, outcome, texts, work.seed)
    whole = np.flatnonzero(seen.leaks.shares() >= held_out.WHOLE)
    dirty = [outcome.asked[at] for at in whole]
    result = scoring.scored(outcome, work.config, work.seed, _traits(rows, outcome), dirty)
    if outcome.probed is not None:
        result["measured"] = _of_gates(work.run, outcome, texts, seen, work.seed)
    if work.config.earlier is not None:
        result["arms"][wanted.EARLIER]["same_rows"] = others.same_rows(work.config.earlier, packed)
    return result


def held(run_directory: str, gates: Gates) -> judge.Judged:
    """What `run` has measured last, held against the gates; nothing where they were off.

    What hangs on a clock is kept apart, so that the same input gives the same scores.json. Raises:
    StorageError.
    """
    measured = written(run_directory).get("measured", {}) if gates.enabled else {}
    if measured:
        measured = {**measured, **(storage.read_object(storage.join(run_directory, standing.SPEED)) or {})}
    return judge.judged(measured, gates)


def _seen(run: str, model: str, outcome: Outcome, asked: list[str], seed: int) -> training.Seen:
    """What of this evaluation stands in the training rows. asked: what each answered sample asks last."""
    rows = [f"{prompt} {reference}" for prompt, reference in zip(asked, outcome.references, strict=True)]
    sought = training.Sought(outcome.tuned.answers, outcome.references, outcome.prompts, rows)
    return training.look(run, model, sought, seed)


def _of_gates(run: str, outcome: Outcome, asked: list[str], seen: training.Seen, seed: int) -> dict[str, Any]:
    """Every gate as it was measured, but for those of a clock, which are written beside it."""
    measured = judge.measured(outcome, asked, seen, seed)
    clock = {name: measured.pop(name) for name in judge.OF_CLOCK}
    storage.put(storage.join(run, standing.SPEED), _json(clock))
    return measured


def baseline(
    run_directory: str, model: str | None, config: Config, *, seed: int, say: Say | None = None
) -> dict[str, dict[str, float | None]]:
    """Measure the model as it is, and every other arm, before any training; `run` takes it up.

    Returns, of the base ("base") and of each arm, its value by metric.

    Raises: ModelError (no model), SourceError (nothing held out), StorageError.
    """
    models.configuration(model)
    assert model is not None, "configuration refuses it"
    run_directory = run_directory if storage.is_remote(run_directory) else os.path.abspath(run_directory)
    shelf = batches.shelf(run_directory, config.split)
    _require(shelf, config)
    function.texts(config.functions)
    keys = wanted.keys(run_directory, model, config, seed, shelf)
    outcome = _measured(Work(run_directory, model, config, seed, shelf, keys, {}), None, say)
    pieces.remove(run_directory)
    return scoring.values(outcome, config)


def seeds(
    run_directory: str,
    model: str,
    config: Config,
    homes: Sequence[str],
    *,
    seed: int,
    packed: Mapping[str, str] | None = None,
    say: Say | None = None,
) -> dict[str, Any] | None:
    """The metric that decides, of the run's adapter and of those of trainings with other seeds.

    homes: where these trainings lie. What is measured of each is kept there.

    Returns metric, values (the run's own first) and spread (the greatest less the least); None where the
    metric could not be measured. Raises: as `run`, whose evaluation it stands beside.
    """
    own = judged_kept.read(run_directory)
    if own is None:
        return None
    alone = config.model_copy(update={"shots": (), "documents": None, "larger": None, "earlier": None})
    shelf = batches.shelf(run_directory, config.split)
    keys = wanted.keys(run_directory, model, alone, seed, shelf)
    outcomes = [own.outcome]
    for home in homes:
        tuned = wanted.tuned(keys[wanted.BASE], _card(home, model_files.digest(model), packed or {}))
        kept.keep_questions(home, keys[wanted.BASE], own.outcome.questions)
        kept.keep(home, wanted.BASE, keys[wanted.BASE], own.outcome.base)
        work = Work(home, model, alone, seed, shelf, {**keys, wanted.TUNED: tuned}, {})
        outcomes.append(_measured(work, None, say))
        pieces.remove(home)
    every = [scoring.measured(outcome, config) for outcome in outcomes]
    name = config.deciding(every[0])
    if name is None:
        return None
    values = [float(one[name].paired.metric(one[name].paired.tuned.sum(0))) for one in every]
    return {"metric": name, "values": values, "spread": max(values) - min(values)}


def _measured(work: Work, gates: Gates | None, say: Say | None) -> Outcome:
    """What the arms answered: as far as that is kept, from there, and kept from now on. The batches that it
    is put together from stay, for whoever still needs those of the gates.
    """
    kept_before = kept.load(work.run, work.keys)
    questions = kept.questions(work.run, work.keys[wanted.BASE])
    probes = gates is not None and gates.enabled
    if questions is not None and not probes and set(kept_before) == set(work.keys):
        base = kept_before[wanted.BASE]
        arms = {n: kept_before[n] for n in work.keys if n not in (wanted.BASE, wanted.TUNED)}
        return Outcome(base, kept_before.get(wanted.TUNED, base), **questions._asdict(), arms=arms)
    with _telling(work, say):
        outcome = _compute(work._replace(kept=kept_before), gates)
    kept.keep_questions(work.run, work.keys[wanted.BASE], outcome.questions)
    found = {wanted.BASE: outcome.base, wanted.TUNED: outcome.tuned, **outcome.arms}
    for name in work.keys:
        if name not in kept_before:
            kept.keep(work.run, name, work.keys[name], found[name])
    return outcome


@contextlib.contextmanager
def _telling(work: Work, say: Say | None) -> Iterator[None]:
    """Say every few seconds how far it is, in a thread of its own, by what is committed."""
    if say is None:
        yield
        return
    names = {key: name for name, key in {**work.keys, "gates": work.probes}.items() if key}
    last: dict[tuple[str, str], tuple[int, int]] = {}

    def look() -> None:
        with contextlib.suppress(StorageError):  # how far it is can be told later
            for at, (done, count) in pieces.progress(work.run).items():
                if at[0] in names and last.get(at) != (done, count):
                    last[at] = done, count
                    what = at[1].replace("_", " ")
                    text = f"evaluate: {names[at[0]]}: {what} of {done:,} of {count:,} samples"
                    say(text, {"arm": names[at[0]], "what": at[1], "done": done, "of": count})

    with looking(look, EVERY, "evaluate-progress"):
        yield


def _require(shelf: batches.Shelf, config: Config) -> None:
    if not shelf.rows:
        raise SourceError(
            f"packed/{config.split} holds nothing to evaluate on; give evaluate.split another split, or "
            "split.* larger shares"
        )


def written(run_directory: str) -> dict[str, Any]:
    """What `run` has written last: metrics, power, gates, ...; empty where there is nothing."""
    return dict(storage.read_object(storage.join(run_directory, standing.SCORES)) or {})


def write_judge(run_directory: str, judged: Mapping[str, Any] | None) -> None:
    """Put what a judge said beside what `run` has written last, or take it away."""
    before = written(run_directory)
    whole = {name: value for name, value in before.items() if name != "judge"}
    whole |= {"judge": judged} if judged is not None else {}
    if whole != before:
        storage.put(storage.join(run_directory, standing.SCORES), _json(whole))


def _judge(metrics: dict[str, Any], config: Config) -> None:
    """Hold what `run` returned against the gate. Raises: GateError where the tuned model fails it."""
    if config.gate is None:
        return
    name = config.gate.metric
    score = metrics.get(name, {"base": None, "tuned": None})
    score = {**score, **score.get("clean", {})}
    if "clean" in score and not score["n"]:
        raise GateError(
            f"evaluate.gate: every held-out sample of {name} stands in the training rows, so the tuned model "
            "cannot pass: split by what the rows have in common (split.by), and prepare again"
        )
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


def _compute(work: Work, gates: Gates | None = None, workers: int | None = None) -> Outcome:
    """`measure` in a task where Ray is up, else here. workers: that share the batches before, one a GPU."""
    also = None
    if gates is not None and gates.enabled and wanted.TUNED in work.keys:
        also = partial(
            probing.probe,
            run=work.run,
            split=work.config.split,
            config=gates,
            most=work.config.samples,
            seed=work.seed,
        )
    if not ray.is_initialized():
        return measure(work, also)
    gpus = 1 if session.gpus() else 0
    several = workers or session.gpus()
    if several > 1 and set(work.kept) != set(work.keys):
        shares = [pieces.Share(first, several) for first in range(several)]
        each = stream.each(partial(share, work), shares, workers=several, name="evaluate", gpus=gpus)
        for _ in each:  # what they ask is committed, and put together below
            pass
    return next(stream.each(partial(measure, work), [also], workers=1, name="evaluate", gpus=gpus))


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
    return [
        last_asked(rows.get(outcome.row_ids[place], {}).get("messages") or (), prompt)
        for place, prompt in zip(outcome.asked, outcome.prompts, strict=True)
    ]


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
