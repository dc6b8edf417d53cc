"""From what two models said to figures: every metric that applies, its interval and verdict, and where it is
worse.

What: `scored` takes the answers apart as the recipe says, scores base and tuned by each metric that applies
to these references, compares them (`statistics`), and looks at parts of the samples alone (`slices`).

Cost: that of the metrics and the tests; seconds for hundreds of samples.
"""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from headrace.cluster import storage
from headrace.cluster.errors import RecipeError
from headrace.pipelines.evaluate import answers as parts
from headrace.pipelines.evaluate import labels, power, programs, slices, statistics, structured
from headrace.pipelines.evaluate import metrics as measures
from headrace.pipelines.evaluate.config import LOWER_IS_BETTER, Config
from headrace.pipelines.evaluate.outputs import Outcome
from headrace.pipelines.evaluate.statistics import Paired

PREFERENCE = "preference_accuracy"
Scores = dict[str, Any]
Places = NDArray[np.int64]


class Metric(NamedTuple):
    """One metric over some of the samples: their places among all, ``int64[n]``."""

    paired: Paired
    places: Places


class Answers(NamedTuple):
    """What is compared: of base, tuned and references, in their order; missing: references without it."""

    base: list[str]
    tuned: list[str]
    references: list[str]
    missing: int

    def each(self) -> list[tuple[list[str], list[str]]]:
        """Each model's answers with the references."""
        return [(self.base, self.references), (self.tuned, self.references)]


def scored(outcome: Outcome, config: Config, seed: int, traits: slices.Traits | None = None) -> Scores:
    """Everything that scores.json holds of a measurement.

    traits: of each sample, by which it is looked at in parts. Raises: RecipeError of a file that the recipe
    names.
    """
    answers = _taken(outcome, config)
    known = labels.told(answers.references)
    metrics = _asked(outcome, answers, known, config)
    compared = {name: statistics.compare(one.paired, seed=seed) for name, one in metrics.items()}
    primary = config.deciding(compared)
    p = statistics.corrected({name: c.p for name, c in compared.items() if name != primary})
    if primary is not None:
        p[primary] = compared[primary].p
    by = slices.of(outcome.lengths, traits or {}, _by_sample(outcome, answers.references, known))
    return {
        "samples": len(outcome.base.forced),
        "answers": len(outcome.references),
        "without_answer": answers.missing,
        "longest_answer": outcome.longest,
        "targets": int(outcome.base.forced[:, 1].sum()),
        "beyond_context": outcome.beyond,
        "unfinished": {"base": outcome.base.unfinished, "tuned": outcome.tuned.unfinished},
        "power": _power(compared),
        "metrics": {name: _told(name, c, p[name], name == primary) for name, c in compared.items()},
        "labels": _labels(answers, known),
        "slices": slices.compared(primary, *metrics[primary], by, seed)
        if primary not in (None, PREFERENCE)
        else [],
    }


def values(outcome: Outcome, config: Config) -> dict[str, float | None]:
    """The base's value of every metric that applies; nothing is compared. Raises: as `scored`."""
    answers = _taken(outcome, config)
    metrics = _asked(outcome, answers, labels.told(answers.references), config)
    sides = {name: one.paired for name, one in metrics.items()}
    return {name: _finite(float(paired.metric(paired.base.sum(0)))) for name, paired in sides.items()}


def _asked(outcome: Outcome, answers: Answers, known: Sequence[str], config: Config) -> dict[str, Metric]:
    """The metrics of the recipe that apply, in its order."""
    every = _metrics(outcome, answers, known, config)
    return {name: every[name] for name in config.metrics if name in every}


def _told(name: str, compared: statistics.Comparison, p: float, primary: bool) -> Scores:
    """A metric as scores.json holds it."""
    return {
        "base": _finite(compared.base),
        "tuned": _finite(compared.tuned),
        "interval": [_finite(compared.low), _finite(compared.high)],
        "p": p,
        "verdict": statistics.verdict(compared, p, lower_is_better=name in LOWER_IS_BETTER),
        "n": compared.n,
        "primary": primary,
    }


def _finite(value: float) -> float | None:
    """JSON has no infinity: null where a number cannot be told."""
    return value if math.isfinite(value) else None


def _power(compared: Mapping[Any, statistics.Comparison]) -> Scores:
    """What so many answers could have told, or samples where there are none."""
    counts = {name: c.n for name, c in compared.items()}
    n = counts.get("exact_match", max(counts.values(), default=0))
    return {"n": n, "smallest_gain": round(power.smallest_gain(n), 4), "words": power.words(n)}


def _taken(outcome: Outcome, config: Config) -> Answers:
    """The part of each answer that is compared."""
    references = parts.taken(outcome.references, config.answer)
    base, tuned = (parts.taken(m.answers, config.answer).texts for m in (outcome.base, outcome.tuned))
    return Answers(base, tuned, references.texts, len(references.missing))


def _by_sample(outcome: Outcome, references: Sequence[str], known: Sequence[str]) -> list[str]:
    """The label of each sample, "" where it has none; empty where answers are no labels."""
    if not known:
        return []
    found = [""] * len(outcome.row_ids)
    for place, reference in zip(outcome.asked, references, strict=True):
        found[place] = measures.normalise(reference)
    return found


def _metrics(outcome: Outcome, answers: Answers, known: Sequence[str], config: Config) -> dict[str, Metric]:
    """Every metric that applies, by name."""
    base, tuned = outcome.base.forced, outcome.tuned.forced
    every, asked = np.arange(len(base)), np.array(outcome.asked, np.int64)
    nats, right = [0, 1], [2, 1]
    metrics = _preferences(outcome)
    if not len(base):
        return metrics
    forced = {
        "loss": statistics.unbounded(measures.ratio, base[:, nats], tuned[:, nats]),
        "perplexity": statistics.unbounded(measures.perplexity, base[:, nats], tuned[:, nats]),
        "token_accuracy": statistics.share(measures.ratio, base[:, right], tuned[:, right]),
    }
    metrics |= {name: Metric(paired, every) for name, paired in forced.items()}
    if not answers.references:
        return metrics
    for name, both in (_texts(answers, config) | _formed(outcome, answers, config)).items():
        counted = ~np.isnan(both[0]) & ~np.isnan(both[1])
        if counted.any():
            formula = measures.percent if name == "chrf" else measures.ratio
            sides = (measures.mean_of(side[counted]) for side in both)
            metrics[name] = Metric(statistics.share(formula, *sides), asked[counted])
    return metrics | {
        name: Metric(paired, asked) for name, paired in _counted(answers, known, config).items()
    }


def _preferences(outcome: Outcome) -> dict[str, Metric]:
    """Of pairs, whether the chosen answer is the likelier one; nothing where there are none. They are no
    samples of anything else, so they have no places among those.
    """
    both = [model.pairs for model in (outcome.base, outcome.tuned)]
    if not len(both[0]):
        return {}
    sides = (measures.mean_of((of[:, 0] > of[:, 1]).astype(np.float64)) for of in both)
    return {PREFERENCE: Metric(statistics.share(measures.ratio, *sides), np.zeros(0, np.int64))}


def _texts(answers: Answers, config: Config) -> dict[str, list[measures.Floats]]:
    """By metric of texts a value of each answer, 0 to 1, of base and of tuned."""
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
    """By metric of answers with a form a value of each, nan where it does not count, of base and of tuned."""
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
    return found


@contextmanager
def _of(key: str) -> Iterator[None]:
    """Raises: RecipeError where what the recipe names cannot be used."""
    try:
        yield
    except FileNotFoundError as error:
        raise RecipeError(f"evaluate.{key}: there is no such file") from error
    except ValueError as error:  # of ours, or of JSON that is none
        raise RecipeError(f"evaluate.{key}: {error}") from error


def _counted(answers: Answers, known: Sequence[str], config: Config) -> dict[str, Paired]:
    """Metrics that are functions of counts over all answers."""
    paired = {}
    if known:
        base, tuned = (labels.counts(*one, known) for one in answers.each())
        paired["label_f1"] = statistics.bounded(labels.macro_f1, base, tuned, *labels.bounds(base, tuned))
    if structured.is_json(answers.references).all():
        sides = [structured.entities(*one) for one in answers.each()]
        paired["entity_f1"] = statistics.share(measures.ratio, *sides)
    base, tuned = (measures.bleu_counts(*one, config.bleu_tokenizer) for one in answers.each())
    if base[:, -1].max() >= measures.ORDER:  # of shorter references BLEU is 0 whatever is answered
        paired["bleu"] = statistics.bounded(measures.bleu, base, tuned, *measures.bleu_bounds(base, tuned))
    return paired


def _labels(answers: Answers, known: Sequence[str]) -> Scores | None:
    """What both models make of each label; None where answers are no labels."""
    if not known:
        return None
    tables = [labels.table(*one, known) for one in answers.each()]
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
