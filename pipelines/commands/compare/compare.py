"""What `headrace compare` tells: the first run against each of the others, on the samples that both held out.

What: every metric of the first run's evaluation over the shared samples, the answers of both scored anew by
its section, with the tests and intervals of `evaluate.statistics`; what is otherwise in the recipes; which
samples the other run won and lost. One metric, named before, decides; its p-values are corrected for the
number of runs, those of all other metrics for how many these are over all runs (Holm). Writes nothing.

Why paired: two values with an interval each hide a difference that the same samples show.

Cost: that of the metrics and the tests: seconds for hundreds of samples. Answers that are code, SQL, or
scored by a function of the recipe's, are run again.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from headrace.cluster.errors import OutputError
from headrace.pipelines import recipe
from headrace.pipelines.commands.compare import items, recipes
from headrace.pipelines.commands.compare.items import Evaluated, Shared
from headrace.pipelines.commands.draw import sheet
from headrace.pipelines.console import Line
from headrace.pipelines.evaluate import metrics as measures
from headrace.pipelines.evaluate import scoring, statistics
from headrace.pipelines.evaluate.arms.measured import Outcome
from headrace.pipelines.evaluate.config import LOWER_IS_BETTER
from headrace.pipelines.evaluate.judged import kept

# Metrics of which samples are won and lost, where one sample has no value of the one that decides.
READ = ("exact_match", "token_f1", "loss")
CHARACTERS = 600  # of one text that is shown
KEYS = 40  # keys of the recipes that are shown
# Formulas that one sample has a value of.
ONE_BY_ONE = (measures.ratio, measures.percent, measures.perplexity)


class Compared(NamedTuple):
    """One run against the first: its metrics, and what it won and lost of one of them."""

    run: str
    shared: Shared
    metrics: dict[str, scoring.Metric]
    found: dict[str, statistics.Comparison]
    primary: str | None


class Told(NamedTuple):
    """Samples by which model did better in `metric`: places, those that differ most first."""

    metric: str
    base: measures.Floats
    tuned: measures.Floats
    won: list[int]
    lost: list[int]
    alike: int


def lines(runs: Sequence[str], show: int) -> Iterator[Line]:
    """Everything of the runs against the first. show: samples won, and lost, that are shown with their texts.

    Raises: OutputError where a run is not evaluated, or shares too few samples with the first; RecipeError
    of a file that the first run's evaluation names; StorageError.
    """
    if len({run.rstrip("/") for run in runs}) < len(runs):
        raise OutputError("a run is named twice: name the runs that are to be compared, each once")
    first, *others = (items.evaluated(run) for run in runs)
    seed = _seed(first.run)
    against = [_compared(first, other, seed) for other in others]
    p = corrected([(one.primary, one.found) for one in against])
    for number, (one, other) in enumerate(zip(against, others, strict=True)):
        yield from _counts(first, one)
        yield from _contaminated(first, one, seed)
        yield _verdict(first, one, p.get((number, one.primary or "")))
        for name in one.found:
            yield _metric(one, name, p[number, name])
        yield from _recipes(recipes.differences(first, other))
        yield from _samples(first, one, show)


def _seed(run: str) -> int:
    _, settings = recipe.kept(run)
    return settings.seed if settings is not None else 0


def _compared(first: Evaluated, other: Evaluated, seed: int) -> Compared:
    shared = items.shared(first, other)
    metrics = scoring.measured(shared.outcome, shared.config)
    found = {name: statistics.compare(one.paired, seed=seed) for name, one in metrics.items()}
    return Compared(other.run, shared, metrics, found, shared.config.deciding(found))


def corrected(
    found: Sequence[tuple[str | None, Mapping[str, statistics.Comparison]]],
) -> dict[tuple[int, str], float]:
    """p-values by number of the run and metric: those that decide among themselves, all others likewise."""
    told = {}
    for decides in (True, False):
        family = {
            f"{number} {name}": one.p
            for number, (primary, of_run) in enumerate(found)
            for name, one in of_run.items()
            if (name == primary) == decides
        }
        for key, p in statistics.corrected(family).items():
            number, _, name = key.partition(" ")
            told[int(number), name] = p
    return told


def _counts(first: Evaluated, one: Compared) -> Iterator[Line]:
    of_first, of_other = one.shared.of
    n, answers = len(one.shared.outcome.row_ids), len(one.shared.outcome.asked)
    text = (
        f"{one.run} against {first.run}: {n:,} samples held out in both (of {of_first:,} and {of_other:,}), "
        f"{answers:,} of them answered"
    )
    yield Line(
        text, {"run": one.run, "against": first.run, "shared": n, "answers": answers, "of": one.shared.of}
    )
    if not one.shared.tokens_alike:
        yield Line(
            "  packed otherwise (tokenizer, template): only answers are compared, losses are of other tokens"
        )


def _contaminated(first: Evaluated, one: Compared, seed: int) -> Iterator[Line]:
    """What is left out, and what the metric that decides would be with it."""
    whole, left_out = one.shared.whole, one.shared.contaminated
    if whole is None:
        return
    text = (
        f"  {left_out:,} more stand in the training rows of one of the runs, and are left out of what follows"
    )
    every = scoring.measured(whole, one.shared.config)
    name = one.shared.config.deciding(every)
    told: dict[str, Any] = {"contaminated": left_out}
    if name is not None:
        found = statistics.compare(every[name].paired, seed=seed)
        text += f"; with them {name} goes from {found.base:.4g} to {found.tuned:.4g}"
        told |= {"by": name, "first": _finite(found.base), "other": _finite(found.tuned)}
    yield Line(text, {"run": one.run, "against": first.run, **told})


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None


def _verdict(first: Evaluated, one: Compared, p: float | None) -> Line:
    """What may be claimed, in words."""
    if one.primary is None or p is None:
        why = "" if one.shared.outcome.row_ids else ": every sample stands in the training rows of a run"
        text = f"  {one.run}: the metric that decides could not be measured{why}"
        return Line(text, {"verdict": None})
    lower = one.primary in LOWER_IS_BETTER
    verdict = statistics.verdict(one.found[one.primary], p, lower_is_better=lower)
    claim = f"is {verdict} than {first.run}, beyond chance"
    if verdict == "no clear difference":
        claim = f"shows no difference from {first.run} that chance does not explain"
    elif verdict == "too few samples":
        claim = f"cannot be told from {first.run} by so few samples"
    text = f"  {one.run} {claim} (by {one.primary}, which decides)"
    return Line(text, {"run": one.run, "against": first.run, "by": one.primary, "verdict": verdict})


def _metric(one: Compared, name: str, p: float) -> Line:
    found = one.found[name]
    told = scoring.told(name, found, p, one.metrics[name].paired) | {"primary": name == one.primary}
    low, high = (("?" if end is None else f"{end:+.4g}") for end in told["interval"])
    value = [("not measured" if told[side] is None else f"{told[side]:.4g}") for side in ("base", "tuned")]
    decides = "; this decides" if told["primary"] else ""
    text = (
        f"  {name}: {value[0]} -> {value[1]} (95% interval of the change {low} to {high}, p {p:.2g}, "
        f"n {found.n:,}): {told['verdict']}{decides}"
    )
    named = {"first": told.pop("base"), "other": told.pop("tuned")}
    return Line(text, {"run": one.run, "metric": name, **named, **told})


def _recipes(differ: Mapping[str, Sequence[Any]]) -> Iterator[Line]:
    if not differ:
        yield Line("  recipes: alike", {"differences": {}})
        return
    yield Line(f"  recipes: other values of {len(differ):,} keys", {"differences": dict(differ)})
    for key in list(differ)[:KEYS]:
        yield Line(f"    {key}: {_value(differ[key][0])} -> {_value(differ[key][1])}")
    if len(differ) > KEYS:
        yield Line(f"    and {len(differ) - KEYS:,} more (--json tells all)")


def _value(value: Any) -> str:
    """A value of a recipe in one line."""
    return _cut(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False), 80)


def told_apart(
    metrics: Mapping[str, scoring.Metric], primary: str | None
) -> tuple[Told, scoring.Metric] | None:
    """Which samples were won and lost, by the deciding metric or, where one sample has no value of that, by
    another; None where no metric has one.
    """
    wanted = [name for name in (primary, *READ) if name is not None and name in metrics]
    name = next((n for n in wanted if _one_by_one(metrics[n])), None)
    if name is None:
        return None
    one = metrics[name]
    base, tuned = (one.paired.metric(side) for side in (one.paired.base, one.paired.tuned))
    gain = (tuned - base) * (-1 if name in LOWER_IS_BETTER else 1)
    order = np.argsort(-np.abs(gain), kind="stable")
    won, lost = ([int(at) for at in order if sign * gain[at] > 0] for sign in (1, -1))
    return Told(name, base, tuned, won, lost, int((gain == 0).sum())), one


def _one_by_one(metric: scoring.Metric) -> bool:
    """Whether each sample has a value of its own."""
    return any(metric.paired.metric is formula for formula in ONE_BY_ONE) and len(metric.places) > 0


def _samples(first: Evaluated, one: Compared, show: int) -> Iterator[Line]:
    found = told_apart(one.metrics, one.primary)
    if found is None:
        return
    told, metric = found
    outcome = one.shared.outcome
    rows = {
        side: [outcome.row_ids[metric.places[at]] for at in getattr(told, side)] for side in ("won", "lost")
    }
    text = f"  by {told.metric}: {len(told.won):,} samples won, {len(told.lost):,} lost, {told.alike:,} alike"
    yield Line(text, {"run": one.run, "by": told.metric, "alike": told.alike, **rows})
    shown = [(side, at) for side in ("won", "lost") for at in getattr(told, side)[:show]]
    places = [int(metric.places[at]) for _, at in shown]
    texts = _texts(first.run, outcome, places)
    for (side, at), place in zip(shown, places, strict=True):
        row = outcome.row_ids[place]
        head = f"  {side}: row {row}, {told.metric} {told.base[at]:.4g} -> {told.tuned[at]:.4g}"
        values = {"first": float(told.base[at]), "other": float(told.tuned[at])}
        yield Line(head, {"run": one.run, "sample": side, "row_id": row, **values, **texts.get(place, {})})
        for name, said in texts.get(place, {}).items():
            yield Line(f"    {name}: {_cut(said)}")


def _texts(run: str, outcome: Outcome, places: Sequence[int]) -> dict[int, dict[str, str]]:
    """By place what was asked, the reference and both answers; nothing of a sample that was not answered."""
    wanted = [place for place in dict.fromkeys(places) if place in outcome.asked]
    some = kept.taken(outcome, wanted, range(len(wanted)))
    asked = kept.turns(run, some)
    said = zip(wanted, asked, some.references, some.base.answers, some.tuned.answers, strict=True)
    return {
        place: {
            "prompt": "\n".join(text for _, text in turns),
            "reference": reference,
            "first": first,
            "other": other,
        }
        for place, turns, reference, first, other in said
    }


def _cut(text: str, most: int = CHARACTERS) -> str:
    """One line of a text, cut."""
    line = " ".join(sheet.printable(text).split())
    return line if len(line) <= most else f"{line[:most]} ... {len(line) - most:,} characters more"
