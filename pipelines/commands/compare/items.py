"""The samples that two runs have both evaluated, and what each run's tuned model said to them.

What: samples are one where they have the same tokens and labels. Where runs were packed otherwise (another
tokenizer or template), they are one by row and reference, else by prompt and reference; then only answers can
be compared, as losses are of other tokens.

Cost: reads two files a run.
"""

from collections import defaultdict
from collections.abc import Hashable, Mapping
from dataclasses import replace
from typing import NamedTuple

from headrace.cluster import storage
from headrace.cluster.errors import OutputError
from headrace.pipelines.evaluate import standing
from headrace.pipelines.evaluate.arms.measured import Outcome
from headrace.pipelines.evaluate.config import FORCED, Config
from headrace.pipelines.evaluate.judged import kept

LEAST = 0.5  # share of the smaller evaluation's samples that both must have


class Evaluated(NamedTuple):
    """A run with an evaluation of today's adapter and rows."""

    run: str
    key: str
    outcome: Outcome
    config: Config
    in_training: tuple[int, ...] = ()


class Shared(NamedTuple):
    """What two runs have both evaluated: the tuned model of the first as base, of the second as tuned.

    outcome: of the samples that stand in the training rows of neither; whole: of all, where some do, of which
    there are `contaminated`. of: samples of each. config: the first run's section, without metrics of tokens
    where those are not alike.
    """

    outcome: Outcome
    of: tuple[int, int]
    config: Config
    tokens_alike: bool
    contaminated: int
    whole: Outcome | None


def evaluated(run: str) -> Evaluated:
    """The evaluation of a run. Raises: OutputError where there is none of what the run holds now."""
    if not storage.exists(storage.join(run, standing.SCORES)):
        raise OutputError(f"nothing is evaluated in {run!r}; run `headrace evaluate` on its recipe first")
    stale = standing.of_run(run)
    if why := stale.get("evaluate") or stale.get("train"):
        raise OutputError(f"the evaluation of {run} says nothing now: it {why}")
    found = kept.read(run)
    if found is None:
        raise OutputError(
            f"the evaluation of {run} has not kept what the models said (an older version made it); run "
            "`headrace evaluate` again"
        )
    return Evaluated(run, *found)


def shared(first: Evaluated, second: Evaluated) -> Shared:
    """The samples of both runs. Raises: OutputError where there are too few of them."""
    pairs, alike = _pairs(first.outcome, second.outcome)
    of = (len(first.outcome.row_ids), len(second.outcome.row_ids))
    counts = (
        f"{len(pairs):,} samples are held out in both {first.run} ({of[0]:,}) and {second.run} ({of[1]:,})"
    )
    if len(pairs) < LEAST * min(of) or not pairs:
        raise OutputError(
            f"{counts}: too few to compare the runs by. Give both the same sources, split and seed, or copy "
            "the prepared run and train the copy with other settings"
        )
    clean = [p for p in pairs if p[0] not in first.in_training and p[1] not in second.in_training]
    config = first.config if alike else _of_answers(first.config)
    whole = _both(first, second, pairs) if len(clean) < len(pairs) else None
    return Shared(_both(first, second, clean), of, config, alike, len(pairs) - len(clean), whole)


def _both(first: Evaluated, second: Evaluated, pairs: list[tuple[int, int]]) -> Outcome:
    """The two tuned models on some of the samples."""
    places = [[pair[side] for pair in pairs] for side in (0, 1)]
    answered = [
        at
        for at, (one, other) in enumerate(pairs)
        if one in first.outcome.asked and other in second.outcome.asked
    ]
    one, other = (
        kept.taken(side.outcome, own, answered) for side, own in zip((first, second), places, strict=True)
    )
    both = replace(one, base=one.tuned, tuned=other.tuned)
    if first.outcome.marks == second.outcome.marks:  # so are the pairs of answers, drawn beside them
        both = replace(
            both,
            base=replace(both.base, pairs=first.outcome.tuned.pairs),
            tuned=replace(both.tuned, pairs=second.outcome.tuned.pairs),
        )
    return both


def _of_answers(config: Config) -> Config:
    """The section without metrics of tokens."""
    metrics = tuple(metric for metric in config.metrics if metric not in FORCED)
    primary = config.deciding(config.metrics)
    kept_primary = primary if primary in metrics else None
    return config.model_copy(update={"metrics": metrics, "primary": kept_primary, "gate": None})


def _pairs(first: Outcome, second: Outcome) -> tuple[list[tuple[int, int]], bool]:
    """Places of the same sample in both, in the first's order, and whether all have the same tokens."""
    by_tokens = _matched(dict(enumerate(first.marks)), dict(enumerate(second.marks)))
    found, answers = dict(by_tokens), [_by_place(first), _by_place(second)]
    for parts in ((0, 2), (1, 2)):  # row and reference, then prompt and reference
        done = (set(found), set(found.values()))
        one, other = (
            {place: tuple(said[part] for part in parts) for place, said in of.items() if place not in known}
            for of, known in zip(answers, done, strict=True)
        )
        found |= _matched(one, other)
    return sorted(found.items()), len(found) == len(by_tokens)


def _by_place(outcome: Outcome) -> dict[int, tuple[int, str, str]]:
    """Row, prompt and reference of every answered sample."""
    said = zip(outcome.asked, outcome.prompts, outcome.references, strict=True)
    return {place: (outcome.row_ids[place], prompt, reference) for place, prompt, reference in said}


def _matched(first: Mapping[int, Hashable], second: Mapping[int, Hashable]) -> dict[int, int]:
    """Places of the second by those of the first with the same key, the n-th of a key by the n-th."""
    free: dict[Hashable, list[int]] = defaultdict(list)
    for place in sorted(second, reverse=True):
        free[second[place]].append(place)
    return {place: free[first[place]].pop() for place in sorted(first) if free[first[place]]}
