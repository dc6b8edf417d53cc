"""The blind sheet of `headrace review`: two answers to each prompt, A and B, and no word of whose they are.

::

    review/sheet/     sheet.html, sheet.csv: what raters get, and nothing else
    review/key.json   which answer is the tuned model's, and what the deciding metric says of each

What: held-out samples are drawn at random, one a row; which answer stands first is drawn for each. Where both
answers are the same, word for word, nobody is asked: these are told as ties of their own.

Cost: the evaluation's own files, and the files of prepared/ that hold a drawn row.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import xxhash

from headrace.cluster import storage
from headrace.cluster.errors import OutputError
from headrace.pipelines import recipe, stored
from headrace.pipelines.commands.compare import compare, items
from headrace.pipelines.commands.draw import label_studio, rows, sheet
from headrace.pipelines.console import Line
from headrace.pipelines.evaluate import scoring
from headrace.pipelines.evaluate.arms.measured import Outcome
from headrace.pipelines.evaluate.config import Config
from headrace.pipelines.evaluate.judged import kept

FOLDER = "review"
KEY = f"{FOLDER}/key.json"
BASE = "base"  # what is reviewed against, unless another run is named
PLACES = ("A", "B")
FORM = sheet.Form(
    title="Compare the answers to",
    legend="The better answer",
    question="Which of the two would you rather get to what was asked?",
    verdicts={"A": "a", "B": "b", "tie": "t"},
    criteria={},
    answers=("answer A", "answer B"),
    about="Two models answered each. Which of them is A is drawn anew for every row.",
)


class Pair(NamedTuple):
    """One sample of the sheet. tuned: the place of the tuned model's answer; metric: what that says of it."""

    card: sheet.Card
    tuned: str
    metric: str | None


class Drawn(NamedTuple):
    """What is known of a draw: the metric that is held against people, pairs, and how many were left out."""

    metric: str | None
    pairs: list[Pair]
    candidates: int
    same: int


def draw(run: str, against: str | None, count: int, seed: int | None, out: str, tasks: str) -> Iterator[Line]:
    """Draw `count` samples and write the sheet to folder `out` ("": that of the run), the key to the run.

    against: another evaluated run, instead of the base. tasks: a file of them for Label Studio ("": none).

    Raises: OutputError where the run is not evaluated, or no two answers differ; StorageError.
    """
    own = items.evaluated(run)
    outcome, config = own.outcome, own.config
    if against is not None:
        shared = items.shared(own, items.evaluated(against))
        config = shared.config
        outcome = replace(shared.outcome, base=shared.outcome.tuned, tuned=shared.outcome.base)
    seed = _seed(run) if seed is None else seed
    drawn = _drawn(run, outcome, config, count, seed)
    if not drawn.pairs:
        raise OutputError(f"there are no two different answers to compare in {run!r} ({drawn.same:,} alike)")
    whole = json.dumps(
        {
            "evaluation": own.key,
            "against": against or BASE,
            "seed": seed,
            "metric": drawn.metric,
            "candidates": drawn.candidates,
            "same": drawn.same,
            "drawn": [
                {
                    "row_id": str(one.card.row_id),
                    "mark": one.card.mark,
                    "tuned": one.tuned,
                    "metric": one.metric,
                }
                for one in drawn.pairs
            ],
        },
        indent=1,
    ).encode()
    storage.put(storage.join(run, KEY), whole)
    yield from _written(run, drawn, xxhash.xxh3_64_hexdigest(whole), out, tasks)


def _written(run: str, drawn: Drawn, mark: str, out: str, tasks: str) -> Iterator[Line]:
    """The sheet, and what was written where."""
    cards = [one.card for one in drawn.pairs]
    out = out or storage.join(run, FOLDER, "sheet")
    storage.put(storage.join(out, "sheet.html"), sheet.page(cards, mark, drawn.candidates, FORM).encode())
    storage.put(storage.join(out, "sheet.csv"), sheet.table(cards, FORM).encode("utf-8-sig"))
    text = (
        f"{len(cards):,} of {drawn.candidates:,} held-out rows drawn, of which both models answer otherwise"
    )
    text += f"; to {drawn.same:,} more both say the same" if drawn.same else ""
    yield Line(text, {"drawn": len(cards), "rows": drawn.candidates, "same": drawn.same})
    text = f"sheet: {storage.join(out, 'sheet.html')}, for a browser; sheet.csv beside it, for a spreadsheet"
    yield Line(text, {"sheet": storage.join(out, "sheet.html"), "csv": storage.join(out, "sheet.csv")})
    if tasks:
        yield label_studio.write(tasks, cards, FORM)
    yield Line(f"{storage.join(run, KEY)} says whose answer is whose: give it to no rater")
    yield Line(f"then: headrace review {run} --import FILE, once for each rater's file")


def _seed(run: str) -> int:
    _, settings = recipe.kept(run)
    return settings.seed if settings is not None else 0


def _drawn(run: str, outcome: Outcome, config: Config, count: int, seed: int) -> Drawn:
    """Samples for the sheet, in a random order."""
    first, same = kept.differing(outcome)
    ids = np.array(list(first), np.uint64)
    chosen = [int(row) for row in ids[np.argsort(rows.shuffled(ids, seed), kind="stable")][:count]]
    some = kept.taken(outcome, [outcome.asked[first[row]] for row in chosen], range(len(chosen)))
    metric, by_place = _by_metric(some, config)
    swapped = rows.shuffled(np.array(chosen, np.uint64), seed, 3) >> np.uint64(63)
    cards = _cards(run, some, [bool(bit) for bit in swapped])
    pairs = [
        Pair(card, PLACES[int(bit)], by_place.get(at))
        for at, (card, bit) in enumerate(zip(cards, swapped, strict=True))
    ]
    return Drawn(metric, pairs, len(first), same)


def _by_metric(outcome: Outcome, config: Config) -> tuple[str | None, dict[int, str]]:
    """What the deciding metric, or one that each sample has a value of, says of each sample."""
    metrics = scoring.measured(outcome, config)
    found = compare.told_apart(metrics, config.deciding(metrics))
    if found is None:
        return None, {}
    told, metric = found
    said = dict.fromkeys(range(len(metric.places)), "tie")
    said |= dict.fromkeys(told.won, "win") | dict.fromkeys(told.lost, "loss")
    return told.metric, {int(metric.places[at]): outcome_ for at, outcome_ in said.items()}


def _cards(run: str, outcome: Outcome, swapped: Sequence[bool]) -> list[sheet.Card]:
    """What the sheet shows of each sample; swapped: whether the tuned model's answer stands second."""
    about = {row["row_id"]: row for row in _places(run, outcome.row_ids)}
    cards = []
    asked = kept.turns(run, outcome)
    for at, (row_id, turns) in enumerate(zip(outcome.row_ids, asked, strict=True)):
        both = [outcome.tuned.answers[at], outcome.base.answers[at]]
        shown = zip(FORM.answers, reversed(both) if swapped[at] else both, strict=True)
        messages = [{"role": role, "content": text} for role, text in [*turns, *shown]]
        mark = xxhash.xxh3_64_hexdigest(json.dumps(messages).encode())
        known = about.get(row_id, {})
        where = f"{known.get('file')}, {known.get('place')}" if known else "held out"
        cards.append(sheet.card(row_id, mark, where, {"source": known.get("source")}, messages))
    return cards


def _places(run: str, row_ids: Sequence[int]) -> list[dict[str, Any]]:
    columns = [name for name in ("source", "file", "place") if name in stored.columns(run)]
    return stored.rows(run, row_ids, columns) if columns else []
