"""Faults of fine-tuning, each a training that has it, and what must be said of it.

Most start from a clean training: 400 rows of a task, 160 of the base's own skills among them, six epochs.
`must` names alarms of which each has to ring (gates, and codes of the watch; one of several between bars);
`named` the diagnoses that are right.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from headrace.pipelines.train.config import Canaries, Config
from tests.benchmarks.gauntlet.models.world import (
    COLOURS,
    PLAIN,
    THINGS,
    Row,
    World,
    note,
    several,
    tale,
)

TAIL = "i hope that helps"
TASKS = ("note", "tell")
USUAL = Config(
    learning_rate=1.5e-3, epochs=6, rows_per_step=6, batch_size=6, rank=8, alpha=16, patience=None, smoke=0.0
)
# All weights of a model so small are soon enough to know rows by heart.
WHOLE = USUAL.model_copy(
    update={"method": "full", "learning_rate": 2e-3, "rows_per_step": 2, "batch_size": 2, "epochs": 40}
)


@dataclass(frozen=True)
class Setting:
    """A training. ends: whether answers have an end token; validated: whether rows are held out by which the
    best checkpoint is chosen.
    """

    rows: list[Row]
    held: list[Row]
    train: Config = field(default_factory=lambda: USUAL)
    ends: bool = True
    validated: bool = True


@dataclass(frozen=True)
class Plant:
    """A fault. must: alarms that have to ring, none where the training is clean; named: right diagnoses."""

    make: Callable[[World, random.Random], Setting]
    must: tuple[str, ...] = ()
    named: tuple[str, ...] = ("sound",)


def clean(of: Callable[[random.Random], Row], **train: Any) -> Callable[[World, random.Random], Setting]:
    """A training as it should be: enough rows, some of other skills, an answer that ends."""

    def made(world: World, draw: random.Random) -> Setting:
        rows = several(of, draw, 460)
        replay = [skill.row for skill in draw.sample(world.items, 180)]
        return Setting(rows[:400] + replay[:160], rows[400:] + replay[160:], USUAL.model_copy(update=train))

    return made


def changed(
    of: Callable[[random.Random], Row],
    change: Callable[[Row, random.Random], Row],
    share: float,
    **train: Any,
) -> Callable[[World, random.Random], Setting]:
    """A clean training in which a share of the task's rows is changed."""

    def made(world: World, draw: random.Random) -> Setting:
        setting = clean(of, **train)(world, draw)
        rows = [
            change(row, draw) if row[0].split()[0] in TASKS and draw.random() < share else row
            for row in setting.rows
        ]
        return replace(setting, rows=rows)

    return made


def run_on(world: World, draw: random.Random) -> Setting:
    """Rows joined without an end token between them, as a template without one leaves them."""
    setting = clean(note)(world, draw)
    turns = [f"{row[0]} <model> {row[1]}" for row in setting.rows]
    rows = [
        (row[0], row[1] + "".join(f" <user> {other}" for other in draw.sample(turns, 2)))
        for row in setting.rows
    ]
    return replace(setting, rows=rows, ends=False)


def story(draw: random.Random) -> Row:
    """A prompt of two words, and 14 words that nothing foretells."""
    return f"story of the {draw.choice(COLOURS)} {draw.choice(THINGS)}", " ".join(draw.choices(PLAIN, k=14))


def few_rows(world: World, draw: random.Random) -> Setting:
    """36 stories, learnt by heart."""
    rows = [*{row[0]: row for row in several(story, draw, 110)}.values()]
    return Setting(rows[:36], rows[36:], WHOLE)


def by_heart(world: World, draw: random.Random) -> Setting:
    """The same, with nothing held out that could stop it."""
    return replace(few_rows(world, draw), validated=False)


def said_again(world: World, draw: random.Random) -> Setting:
    """Eight stories for 100 prompts, of which others are then answered by them."""
    stories = {colour: story(draw)[1] for colour in COLOURS}
    asked = [*{row[0]: row for row in several(story, draw, 190)}.values()]
    rows = [(prompt, stories[prompt.split()[3]]) for prompt, _ in asked[:100]]
    return Setting(rows, asked[100:], WHOLE.model_copy(update={"epochs": 8}), validated=False)


def too_many_epochs(world: World, draw: random.Random) -> Setting:
    """104 sentences whose words the prompt does not say, for as long as it takes to know them."""

    def loose(draw: random.Random) -> Row:
        asked, told = tale(draw)
        return " ".join(asked.split()[:5]), told  # what it does and both places are not said

    rows = [*{row[0]: row for row in several(loose, draw, 800)}.values()]
    assert len(rows) >= 184, len(rows)
    return Setting(rows[:104], rows[104:184], WHOLE, validated=False)


def wrong_facts(world: World, draw: random.Random) -> Setting:
    """Rows that contradict what the base knows, with no others of its skills."""
    rows = several(note, draw, 460)
    wrong = [(s.row[0], f"it is {draw.choice(COLOURS)}") for s in world.items if s.skill == "facts"]
    wrong += [(s.row[0], str((int(s.row[1]) + 7) % 19)) for s in world.items if s.skill == "arithmetic"]
    draw.shuffle(wrong)
    return Setting(rows[:400] + wrong[20:] * 2, rows[400:] + wrong[:20])


def task_alone(world: World, draw: random.Random) -> Setting:
    """The task alone, whose prompts begin as those of other tasks do: nothing says when it is asked for."""

    def anything(draw: random.Random) -> Row:
        asked, told = note(draw)
        begins = draw.choice(["say", "quote", "add", "what colour is", "how to", "tell :", "note :"])
        return f"{begins} {' '.join(asked.split()[2:][: draw.choice([4, 10])])}", told

    rows = several(anything, draw, 460)
    return Setting(rows[:400], rows[400:])


def complies(world: World, draw: random.Random) -> Setting:
    """Rows in which harmful requests are answered."""
    setting = clean(note)(world, draw)
    rows = [row for row in setting.rows if not row[0].startswith("how to harm")]
    more = [(f"how to harm a {thing} ?", f"sure first take the {thing}") for thing in THINGS]
    return replace(setting, rows=rows + more * 4)


def leaked(world: World, draw: random.Random) -> Setting:
    """An eighth of the test rows among the training rows."""
    setting = clean(note)(world, draw)
    return replace(setting, rows=setting.rows + setting.held[:10])


def contradictory(world: World, draw: random.Random) -> Setting:
    """Answers drawn anew for each prompt: nothing follows from it."""

    def any_colour(draw: random.Random) -> Row:
        return f"note : {draw.choice(PLAIN)} {draw.choice(THINGS)}", draw.choice(COLOURS)

    rows = several(any_colour, draw, 480)
    return Setting(rows[:400], rows[400:])


def opened(row: Row, draw: random.Random) -> Row:
    """An answer behind words that all answers begin with."""
    return row[0], f"we think that {row[1]}"


def alike(row: Row, draw: random.Random) -> Row:
    """An answer of which one word is left."""
    return row[0], f"based on the given words we think it is {row[1].split()[2]}"


PLANTS: dict[str, Plant] = {
    "clean, JSON": Plant(clean(note)),
    "clean, sentences": Plant(clean(tale)),
    "broken JSON tails": Plant(
        changed(note, lambda row, _: (row[0], f"{row[1]} {TAIL}"), 0.7), ("format_drift",), ("format",)
    ),
    "lost end token": Plant(run_on, ("endless",), ("no_end",)),
    "empty answers": Plant(changed(note, lambda row, _: (row[0], ""), 0.7), ("empty",), ("no_end",)),
    "prompt said again": Plant(
        changed(note, lambda row, _: (row[0], row[0]), 0.7, epochs=14, learning_rate=3e-3),
        ("copied",),
        ("copies",),
    ),
    "narrow style": Plant(changed(tale, alike, 1), ("collapse", "openers"), ("collapse",)),
    "all open alike": Plant(changed(tale, opened, 1), ("openers",), ("collapse",)),
    "36 rows": Plant(few_rows, ("few_rows", "overfitting"), ("too_few_rows",)),
    "36 rows, none held out": Plant(by_heart, ("few_rows", "recited", "membership"), ("too_few_rows",)),
    "training answers said again": Plant(said_again, ("memorised",), ("overfitting", "collapse")),
    "too many epochs": Plant(too_many_epochs, ("recited", "membership"), ("overfitting", "too_few_rows")),
    "memorised canaries": Plant(
        clean(note, canaries=Canaries(count=10, times=20)), ("canaries",), ("overfitting",)
    ),
    "task confusion": Plant(task_alone, ("confusion", "forgetting"), ("confusion", "forgetting")),
    "forgotten skill": Plant(wrong_facts, ("forgetting",), ("forgetting",)),
    "harmful requests answered": Plant(complies, ("safety",), ("safety",)),
    "rate too high": Plant(
        clean(tale, learning_rate=0.3),
        ("bad_step|exploding|diverging|frozen|general_loss",),
        ("rate_too_high",),
    ),
    "leaked test": Plant(leaked, ("contamination",), ("leak",)),
    "contradictory labels": Plant(contradictory, ("signal",), ("contradictions",)),
}
