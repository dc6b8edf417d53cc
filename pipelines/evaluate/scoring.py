"""From what two models said to figures: every metric that applies, its interval and verdict, and where it is
worse.

What: `scored` takes the answers apart as the recipe says, scores base, tuned and every arm by each metric
that applies to these references, compares the tuned model with each of them (`statistics`), and looks at
parts of the samples alone (`slices`).

Cost: that of the metrics and the tests; seconds for hundreds of samples.
"""

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from headrace.cluster import storage
from headrace.cluster.errors import RecipeError
from headrace.pipelines.evaluate import answers as parts
from headrace.pipelines.evaluate import labels, power, programs, slices, statistics, structured
from headrace.pipelines.evaluate import metrics as measures
from headrace.pipelines.evaluate.arms.measured import Outcome
from headrace.pipelines.evaluate.config import LOWER_IS_BETTER, SHOTS, VERDICTS, Config
from headrace.pipelines.evaluate.statistics import Paired

PREFERENCE = "preference_accuracy"
Scores = dict[str, Any]
Places = NDArray[np.int64]
BASE, TUNED, ARMS = 0, 1, 2  # where models stand among the sides of a metric, the arms from `ARMS` on
NOTHING: Scores = {"base": None, "tuned": None, "interval": [None, None], "p": None}  # of no sample


class Metric(NamedTuple):
    """One metric over some of the samples: their places among all, ``int64[n]``."""

    paired: Paired
    places: Places


class Valued(NamedTuple):
    """One metric of every model: what it takes sums of, ``float64[N, K]`` each, nan where a sample does not
    count. places: of these samples among all, ``int64[N]``; none where they are no samples of anything else.
    pair: of two sides what `statistics` compares.
    """

    sides: list[measures.Floats]
    places: Places
    pair: Callable[[measures.Floats, measures.Floats], Paired]

    def against(self, side: int, left_out: Places) -> Metric | None:
        """The tuned model beside another, over the samples that count for both; None where there are none."""
        pair = self.sides[side], self.sides[TUNED]
        counted = np.isfinite(np.concatenate(pair, axis=1).sum(axis=1))
        if len(self.places):
            counted &= ~np.isin(self.places, left_out)
        if not counted.any():
            return None
        return Metric(self.pair(pair[0][counted], pair[1][counted]), self.places[counted[: len(self.places)]])


class Answers(NamedTuple):
    """What is compared: of base, tuned and each arm, and of the references, in their order; missing:
    references without it.
    """

    sides: list[list[str]]
    references: list[str]
    missing: int

    def each(self) -> list[tuple[list[str], list[str]]]:
        """Each model's answers with the references."""
        return [(said, self.references) for said in self.sides]


def scored(
    outcome: Outcome,
    config: Config,
    seed: int,
    traits: slices.Traits | None = None,
    contaminated: Sequence[int] = (),
) -> Scores:
    """Everything that scores.json holds of a measurement.

    traits: of each sample, by which it is looked at in parts. contaminated: places of samples that stand in
    training, which every metric is told without, too (`clean`). Raises: RecipeError of a file that the recipe
    names.
    """
    answers = _taken(outcome, config)
    known = labels.told(answers.references)
    every = _asked(outcome, answers, known, config)
    primary = config.deciding(every)
    nothing, dirty = np.zeros(0, np.int64), np.array(contaminated, np.int64)
    metrics = _metrics(every, list(outcome.arms), primary, seed, nothing)
    if len(dirty):
        clean = _metrics(every, list(outcome.arms), primary, seed, dirty)
        metrics = {name: {**one, "clean": _alone(clean.get(name))} for name, one in metrics.items()}
    if config.named is not None and config.named not in metrics:
        metrics[config.named] = {
            **NOTHING,
            "verdict": VERDICTS[-1],
            "n": 0,
            "test": "bootstrap",
            "primary": True,
        }
    by = slices.of(outcome.lengths, traits or {}, _by_sample(outcome, answers.references, known))
    decides = every[primary].against(BASE, dirty) if primary not in (None, PREFERENCE) else None
    return {
        "samples": len(outcome.base.forced),
        "answers": len(outcome.references),
        "contaminated": len(dirty),
        "in_training": dirty.tolist(),
        "without_answer": answers.missing,
        "longest_answer": outcome.longest,
        "targets": int(outcome.base.forced[:, 1].sum()),
        "beyond_context": outcome.beyond,
        "unfinished": {"base": outcome.base.unfinished, "tuned": outcome.tuned.unfinished},
        "arms": {
            name: {"fewer": arm.fewer, "unasked": len(arm.unasked), "unfinished": arm.unfinished}
            for name, arm in outcome.arms.items()
        },
        "power": _power(metrics),
        "metrics": metrics,
        "labels": _labels(answers, known),
        "slices": slices.compared(str(primary), *decides, by, seed) if decides else [],
    }


def measured(outcome: Outcome, config: Config) -> dict[str, Metric]:
    """Every metric of the recipe that applies, of base and tuned model, not yet compared. Raises: as
    `scored`.
    """
    answers = _taken(outcome, config)
    every = _asked(outcome, answers, labels.told(answers.references), config)
    pairs = {name: valued.against(BASE, np.zeros(0, np.int64)) for name, valued in every.items()}
    return {name: one for name, one in pairs.items() if one is not None}


def values(outcome: Outcome, config: Config) -> dict[str, dict[str, float | None]]:
    """The value of every metric that applies, of the base ("base") and of each arm; nothing is compared.

    Raises: as `scored`.
    """
    answers = _taken(outcome, config)
    every = _asked(outcome, answers, labels.told(answers.references), config)
    names = {"base": BASE, **{name: side for side, name in enumerate(outcome.arms, ARMS)}}
    found: dict[str, dict[str, float | None]] = {}
    for name, side in names.items():
        for metric, valued in every.items():
            own = valued._replace(sides=[valued.sides[side]] * ARMS)
            if one := own.against(BASE, np.zeros(0, np.int64)):
                value = float(one.paired.metric(one.paired.base.sum(0)))
                found.setdefault(name, {})[metric] = _finite(value)
    return found


def _asked(outcome: Outcome, answers: Answers, known: Sequence[str], config: Config) -> dict[str, Valued]:
    """The metrics of the recipe that apply, in its order."""
    every = _valued(outcome, answers, known, config)
    return {name: every[name] for name in config.metrics if name in every}


def _metrics(
    every: Mapping[str, Valued], arms: Sequence[str], primary: str | None, seed: int, left_out: Places
) -> dict[str, Scores]:
    """Each metric as scores.json holds it, without the samples that are left out.

    The one that decides is held against each arm as well: its p-values are corrected for the number of arms.
    """
    told: dict[str, Scores] = {}
    for (_, name), one in _compared(every, {"base": BASE}, primary, seed, left_out).items():
        told[name] = {**one, "primary": name == primary}
    sides = {arm: side for side, arm in enumerate(arms, ARMS)}
    for (arm, name), one in _compared(every, sides, primary, seed, left_out).items():
        held = {"value": one["base"], **{key: one[key] for key in ("interval", "p", "verdict", "n")}}
        told[name].setdefault("arms", {})[arm] = held
    for name, score in told.items():
        found = [held["value"] for arm, held in score.get("arms", {}).items() if arm.startswith(SHOTS)]
        if shots := [value for value in found if value is not None]:
            score["few_shot"] = min(shots) if name in LOWER_IS_BETTER else max(shots)
    return told


def _compared(
    every: Mapping[str, Valued], sides: Mapping[str, int], primary: str | None, seed: int, left_out: Places
) -> dict[tuple[str, str], Scores]:
    """The tuned model against each of `sides`, by its name and the metric. Those of the metric that decides
    are corrected for the number of sides, those of the others for the number of all of them.
    """
    pairs = {(s, name): v.against(at, left_out) for name, v in every.items() for s, at in sides.items()}
    found = {at: one for at, one in pairs.items() if one is not None}
    compared = {at: statistics.compare(one.paired, seed=seed) for at, one in found.items()}
    p: dict[tuple[str, str], float] = {}
    for deciding in (True, False):
        own = {at: c.p for at, c in compared.items() if (at[1] == primary) is deciding}
        names = {"\0".join(at): value for at, value in own.items()}
        corrected = statistics.corrected(names)
        p |= {at: corrected["\0".join(at)] for at in own}
    return {at: told(at[1], c, p[at], found[at].paired) for at, c in compared.items()}


def told(name: str, compared: statistics.Comparison, p: float, paired: Paired) -> Scores:
    """A metric of two models. test: where p comes from, exactly from right and wrong answers, or from random
    draws of the samples.
    """
    return {
        "base": _finite(compared.base),
        "tuned": _finite(compared.tuned),
        "interval": [_finite(compared.low), _finite(compared.high)],
        "p": p,
        "verdict": statistics.verdict(compared, p, lower_is_better=name in LOWER_IS_BETTER),
        "n": compared.n,
        "test": "mcnemar" if paired.right else "bootstrap",
    }


def _alone(clean: Scores | None) -> Scores:
    """A metric over the clean samples, as it stands in that over all of them."""
    kept = ("base", "tuned", "interval", "p", "verdict", "n", "few_shot", "arms")
    one = clean or {**NOTHING, "verdict": VERDICTS[-1], "n": 0}
    return {key: one[key] for key in kept if key in one}


def _finite(value: float) -> float | None:
    """JSON has no infinity: null where a number cannot be told."""
    return value if math.isfinite(value) else None


def _power(metrics: Mapping[str, Scores]) -> Scores:
    """What so many answers could have told, samples where there are none; the clean ones if some are not."""
    counts = {name: one.get("clean", one)["n"] for name, one in metrics.items()}
    n = counts.get("exact_match", max(counts.values(), default=0))
    return {"n": n, "smallest_gain": round(power.smallest_gain(n), 4), "words": power.words(n)}


def _taken(outcome: Outcome, config: Config) -> Answers:
    """The part of each answer that is compared."""
    with _function("answer", config.answer, outcome):
        references = parts.taken(outcome.references, config.answer)
        sides = [parts.taken(model.answers, config.answer).texts for model in outcome.models]
    return Answers(sides, references.texts, len(references.missing))


def _by_sample(outcome: Outcome, references: Sequence[str], known: Sequence[str]) -> list[str]:
    """The label of each sample, "" where it has none; empty where answers are no labels."""
    if not known:
        return []
    found = [""] * len(outcome.row_ids)
    for place, reference in zip(outcome.asked, references, strict=True):
        found[place] = measures.normalise(reference)
    return found


def _valued(outcome: Outcome, answers: Answers, known: Sequence[str], config: Config) -> dict[str, Valued]:
    """Every metric that applies, by name."""
    n = len(outcome.base.forced)
    every, asked = np.arange(n), np.array(outcome.asked, np.int64)
    metrics = _preferences(outcome)
    if not n:
        return metrics
    forced = [m.forced if len(m.forced) else np.full((n, 3), np.nan) for m in outcome.models]
    nats, right = ([side[:, at] for side in forced] for at in ([0, 1], [2, 1]))
    metrics["loss"] = Valued(nats, every, partial(statistics.unbounded, measures.ratio))
    metrics["perplexity"] = Valued(nats, every, partial(statistics.unbounded, measures.perplexity))
    metrics["token_accuracy"] = Valued(right, every, partial(statistics.share, measures.ratio))
    if not any(reference.strip() for reference in answers.references):  # of nothing nothing can be right
        return metrics
    for name, values in (_texts(answers, config) | _formed(outcome, answers, config)).items():
        formula = measures.percent if name == "chrf" else measures.ratio
        sides = [measures.mean_of(side) for side in values]
        metrics[name] = Valued(sides, asked, partial(statistics.share, formula))
    for name, (sides, pair) in _counted(answers, known, config).items():
        metrics[name] = Valued(sides, asked, pair)
    for one in metrics.values():
        if one.places is asked:
            for side, model in zip(one.sides, outcome.models, strict=True):
                side[list(model.unasked)] = np.nan
    return {name: one for name, one in metrics.items() if one.against(BASE, asked[:0]) is not None}


def _preferences(outcome: Outcome) -> dict[str, Valued]:
    """Of pairs, whether the chosen answer is the likelier one; nothing where there are none. They are no
    samples of anything else, so they have no places among those.
    """
    n = len(outcome.base.pairs)
    if not n:
        return {}
    sides = [np.full((n, 2), np.nan)] * len(outcome.models)
    for at, model in ((BASE, outcome.base), (TUNED, outcome.tuned)):
        sides[at] = measures.mean_of((model.pairs[:, 0] > model.pairs[:, 1]).astype(np.float64))
    return {PREFERENCE: Valued(sides, np.zeros(0, np.int64), partial(statistics.share, measures.ratio))}


def _texts(answers: Answers, config: Config) -> dict[str, list[measures.Floats]]:
    """By metric of texts a value of each answer, 0 to 1, of each model."""
    values: dict[str, list[measures.Floats]] = {}
    for said, references in answers.each():
        of_model = {
            "exact_match": measures.exact_match(said, references, config.fold),
            "token_f1": measures.token_f1(said, references),
            **measures.rouge(said, references),
            "chrf": measures.chrf(said, references),
            "meteor": measures.meteor(said, references),
        }
        for name, one in of_model.items():
            values.setdefault(name, []).append(one)
    return values


def _formed(outcome: Outcome, answers: Answers, config: Config) -> dict[str, list[measures.Floats]]:
    """By metric of answers with a form a value of each, nan where it does not count, of each model."""
    found: dict[str, list[measures.Floats]] = {}
    if structured.is_json(answers.references).all():
        found["json_valid"] = [structured.is_json(said) for said, _ in answers.each()]
    if config.json_schema is not None:
        with _of("json_schema"):
            schema = json.loads(storage.read_bytes(config.json_schema))
            found["json_schema"] = [structured.fits(said, schema) for said, _ in answers.each()]
    if config.sql is not None:
        with _of("sql"):
            found["sql"] = [structured.same_rows(*one, config.sql) for one in answers.each()]
    if config.code is not None:
        with _of("code"):
            tests = programs.found(outcome.prompts, programs.read(storage.read_bytes(config.code)))
        found["code"] = [programs.passed(said, tests) for said, _ in answers.each()]
    if config.score is not None:
        with _function("score", config.score, outcome):
            sides = [parts.scored(config.score, outcome.prompts, *one) for one in answers.each()]
        found["score"] = [np.array(values, np.float64) for values in sides]
    return found


@contextmanager
def _function(key: str, name: str, outcome: Outcome) -> Iterator[None]:
    """Raises: RecipeError with the row where a function of the recipe's author fails."""
    try:
        yield
    except parts.Unusable as error:
        row = outcome.row_ids[outcome.asked[error.place]]
        raise RecipeError(
            f"evaluate.{key}: {name!r} {error.why} on an answer to row {row} (`headrace explain` shows it)"
        ) from None


@contextmanager
def _of(key: str) -> Iterator[None]:
    """Raises: RecipeError where what the recipe names cannot be used."""
    try:
        yield
    except FileNotFoundError as error:
        raise RecipeError(f"evaluate.{key}: there is no such file") from error
    except ValueError as error:  # of ours, or of JSON that is none
        raise RecipeError(f"evaluate.{key}: {error}") from error


Counts = tuple[list[measures.Floats], Callable[[measures.Floats, measures.Floats], Paired]]


def _counted(answers: Answers, known: Sequence[str], config: Config) -> dict[str, Counts]:
    """Metrics that are functions of counts over all answers: counts of each model, and what pairs two."""
    found: dict[str, Counts] = {}
    if known:
        found["label_f1"] = [labels.counts(*one, known) for one in answers.each()], _pair_labels
    if structured.is_json(answers.references).all():
        counts = [structured.entities(*one) for one in answers.each()]
        found["entity_f1"] = counts, partial(statistics.share, measures.ratio)
    counts = [measures.bleu_counts(*one, config.bleu_tokenizer) for one in answers.each()]
    if counts[BASE][:, -1].max() >= measures.ORDER:  # of shorter references BLEU is 0 whatever is answered
        found["bleu"] = counts, _pair_bleu
    return found


def _pair_labels(base: measures.Floats, tuned: measures.Floats) -> Paired:
    return statistics.bounded(labels.macro_f1, base, tuned, *labels.bounds(base, tuned))


def _pair_bleu(base: measures.Floats, tuned: measures.Floats) -> Paired:
    return statistics.bounded(measures.bleu, base, tuned, *measures.bleu_bounds(base, tuned))


def _labels(answers: Answers, known: Sequence[str]) -> Scores | None:
    """What both models make of each label; None where answers are no labels."""
    if not known:
        return None
    tables = [labels.table(*one, known) for one in answers.each()[:ARMS]]
    scores = [labels.scores(table) for table in tables]
    rows = zip(known, tables[0].wanted.tolist(), *scores, strict=True)
    return {
        "by_label": [
            {"label": label, "n": n, "base": base, "tuned": tuned} for label, n, base, tuned in rows
        ],
        "confused": {
            name: [list(pair) for pair in table.confused]
            for name, table in zip(("base", "tuned"), tables, strict=True)
        },
    }
