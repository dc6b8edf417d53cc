"""Faults, planted into rows by a seed: each function gives rows, the places of the planted ones, the truth.

The truth of a place is what has to be said of it; where there is none, it is enough that the row is flagged.
Words and values that are planted are ours.
"""

import random
import string
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from tests.benchmarks import leak_plants, rewording
from tests.benchmarks.gauntlet.sets import Row, answer, asked, prompt

SHARE = 0.05
PER_SET = 40  # leaks of each evaluation set
LONG = 13  # words of an item from which on it is no short one
Draw = np.random.Generator


class Planted(NamedTuple):
    """Rows with faults: their places, and what has to be said of some (see the alarms)."""

    rows: list[Row]
    places: list[int]
    truth: dict[int, object]


Plant = Callable[[list[Row], Draw], Planted]


def chosen(rows: list[Row], draw: Draw, share: float = SHARE) -> list[int]:
    """Places of a share of rows, one at least."""
    return sorted(draw.choice(len(rows), max(1, int(share * len(rows))), replace=False).tolist())


def changed(rows: list[Row], places: list[int], change: Callable[[int, Row], Row]) -> list[Row]:
    """Rows with some of them changed."""
    at = set(places)
    return [change(n, row) if n in at else row for n, row in enumerate(rows)]


def ending(row: Row, said: str) -> Row:
    """A row with another answer."""
    return [*row[:-1], ("assistant", said)]


def leaks(
    items: Callable[[], pa.Table], dress: Callable[[str, random.Random], str], least: int, most: int
) -> Plant:
    """Evaluation items of `least` to `most` words among the rows, each in a row of its own."""

    def plant(rows: list[Row], draw: Draw) -> Planted:
        own = random.Random(int(draw.integers(2**32)))
        planted: list[tuple[int, str]] = []
        by_set: dict[str, list[dict[str, object]]] = {}
        for item in items().to_pylist():
            if least <= len(item["prompt"].split()) <= most and "dummy" not in item["place"]:
                by_set.setdefault(item["set"], []).append(item)
        for of_set in by_set.values():
            some = own.sample(of_set, min(PER_SET, len(of_set)))
            planted += [(int(str(item["item"])), dress(str(item["prompt"]), own)) for item in some]
        told = [asked(said, "See above.") for _, said in planted]
        truth = {len(rows) + n: item for n, (item, _) in enumerate(planted)}
        return Planted([*rows, *told], sorted(truth), dict(truth))

    return plant


def in_prose(dress: Callable[[str, random.Random], str]) -> Callable[[str, random.Random], str]:
    """A dress, within a long text."""
    return lambda said, draw: leak_plants.embedded(dress(said, draw), draw)


# Rewordings that ask what was asked. Other names and numbers ask something else.
ASKING = tuple(kind for kind in rewording.KINDS if kind != "names and numbers")


def contradictions(kinds: tuple[str, ...]) -> Plant:
    """A second row for some prompts, said in one of `kinds` ways, with another answer of the same form.

    "several": one to four of `ASKING`. Numbers behind a mark are changed; any other answer is that of another
    row.
    """

    def plant(rows: list[Row], draw: Draw) -> Planted:
        more = []
        for at in chosen(rows, draw):
            said = _said_so(prompt(rows[at]), kinds[int(draw.integers(len(kinds)))], draw)
            more.append([*rows[at][:-2], ("user", said), ("assistant", _otherwise(rows, at, draw))])
        return Planted([*rows, *more], list(range(len(rows), len(rows) + len(more))), {})

    return plant


def consistent(kinds: tuple[str, ...]) -> Plant:
    """Rows as they are, and second ones that contradict none: some prompts said otherwise with the same
    answer, and some with other names and numbers and another answer."""

    def plant(rows: list[Row], draw: Draw) -> Planted:
        more = []
        for at in chosen(rows, draw):
            said = _said_so(prompt(rows[at]), kinds[int(draw.integers(len(kinds)))], draw)
            more.append([*rows[at][:-2], ("user", said), rows[at][-1]])
        for at in chosen(rows, draw):
            said = rewording.swapped(prompt(rows[at]), draw)
            if said != prompt(rows[at]):
                more.append([*rows[at][:-2], ("user", said), ("assistant", _otherwise(rows, at, draw))])
        return Planted([*rows, *more], [], {})

    return plant


def _said_so(said: str, kind: str, draw: Draw) -> str:
    """A prompt in other words, by a kind of `rewording`, by several of them, or as it is."""
    some = [kind] if kind not in ("as it is", "several") else []
    if kind == "several":
        some = [ASKING[at] for at in sorted(draw.choice(len(ASKING), int(draw.integers(1, 5)), False))]
        some.sort(key=lambda name: name == "case")  # last: other rules look at capitals
    for name in some:
        said = rewording.KINDS[name](said, draw)
    return said


def _otherwise(rows: list[Row], at: int, draw: Draw) -> str:
    work, mark, result = answer(rows[at]).partition("####")
    if mark:
        number = int(result.strip().replace(",", "").split(".")[0])
        return f"{work}#### {number + int(draw.integers(1, 20))}"
    said = answer(rows[at])
    like = said.split()[:-1]  # a choice or a label stays one of the same question's
    for _ in range(1000):
        other = answer(rows[int(draw.integers(len(rows)))])
        if other != said and (len(like) < 3 or other.split()[:-1] == like or _ > 500):
            return other
    raise AssertionError("all answers are the same")


def wrong_labels(rows: list[Row], draw: Draw) -> Planted:
    """Labels of some rows exchanged for others."""
    labels = sorted({answer(row) for row in rows})
    places = chosen(rows, draw)

    def other(row: Row) -> Row:
        at = labels.index(answer(row)) + int(draw.integers(1, len(labels)))
        return ending(row, labels[at % len(labels)])

    return Planted(changed(rows, places, lambda _, row: other(row)), places, {})


def reworded(rows: list[Row], draw: Draw) -> Planted:
    """100 of the questions, reworded to 10,000 rows, with their answers."""
    some = [rows[at] for at in draw.choice(len(rows), 100, replace=False)]
    seed = int(draw.integers(2**31))
    made = [
        asked(rewording.reworded(prompt(some[k % 100]), seed + k), answer(some[k % 100]))
        for k in range(10_000)
    ]
    return Planted(made, list(range(len(made))), {})


def drift(rows: list[Row], draw: Draw) -> Planted:
    """Structured answers that end in prose, or break off."""
    places = chosen(rows, draw)

    def tailed(at: int, row: Row) -> Row:
        said, kind = answer(row), int(draw.integers(len(rewording.TAILS) + 1))
        if kind == len(rewording.TAILS):
            return ending(row, said[: 2 * len(said) // 3] + "...")
        return ending(row, said + rewording.TAILS[kind])

    return Planted(changed(rows, places, tailed), places, {})


def too_long(count: Callable[[Row], int], limit: int) -> Plant:
    """Answers that words are added to until the row has 1 to 60 tokens too many; others are short enough."""

    def plant(rows: list[Row], draw: Draw) -> Planted:
        rows = [row for row in rows if count(row) <= limit]
        places = chosen(rows, draw)

        def longer(at: int, row: Row) -> Row:
            more = limit + int(draw.integers(1, 61))
            while (size := count(row)) < more:
                row = ending(row, answer(row) + " and so on" * max(1, (more - size) // 4))
            return row

        return Planted(changed(rows, places, longer), places, {})

    return plant


def joined(rows: list[Row], draw: Draw) -> Planted:
    """Two conversations as one, so that a turn of the assistant's stands before the last: all of them."""
    made = [[*a, *b] for a, b in zip(rows[::2], rows[1::2], strict=False)]
    return Planted(made, list(range(len(made))), {})


def traceless(rows: list[Row], draw: Draw) -> Planted:
    """Reasoning left out, emptied, or not closed."""
    places = chosen(rows, draw)

    def without(at: int, row: Row) -> Row:
        work, _, said = answer(row).partition("</think>")
        kind = int(draw.integers(3))
        return ending(row, (said.strip(), f"<think>\n\n</think>{said}", f"{work}\n{said.strip()}")[kind])

    return Planted(changed(rows, places, without), places, {})


def _luhn(draw: Draw) -> str:
    digits = [4, *draw.integers(0, 10, 14).tolist()]
    twice = [d if n % 2 else 2 * d - 9 * (d > 4) for n, d in enumerate(digits)]
    whole = "".join(map(str, [*digits, -sum(twice) % 10]))
    return " ".join(whole[at : at + 4] for at in range(0, 16, 4)) if draw.random() < 0.5 else whole


def _iban(draw: Draw) -> str:
    account = "37040044" + "".join(map(str, draw.integers(0, 10, 10)))
    check = 98 - int(account + "131400") % 97
    return f"DE{check:02}{account}"


def _mail(draw: Draw) -> str:
    letters = "".join(draw.choice(list(string.ascii_lowercase), 6))
    return f"{letters}.{int(draw.integers(10, 99))}@{''.join(draw.choice(list('aeioulmnrst'), 7))}.com"


def _phone(draw: Draw) -> str:
    area, last = draw.choice(["212", "425", "312", "617", "303"]), int(draw.integers(1000, 9999))
    middle = int(draw.integers(220, 989))
    return (f"({area}) {middle}-{last}", f"+1 {area} {middle} {last}", f"{area}-{middle}-{last}")[
        draw.integers(3)
    ]


def _ssn(draw: Draw) -> str:
    return f"{draw.integers(101, 665)}-{draw.integers(10, 99)}-{draw.integers(1000, 9999)}"


def _ip(draw: Draw) -> str:
    return ".".join(str(part) for part in [81, *draw.integers(1, 255, 3).tolist()])


NAMES = ("Marlene Ostrander", "Tobias Wexford", "Ayodele Bankole", "Ingrid Solheim", "Ravi Deshpande")
Values = tuple[tuple[Callable[[Draw], str], tuple[str, ...]], ...]
VALUES: Values = (
    (_mail, ("You can write to {}.", "{}", "Reply to {} please, not to this address.")),
    (_phone, ("Call me at {} after six.", "My phone number is {}.", "Text {} when you are there.")),
    (_luhn, ("My card is {}.", "Please charge {} for it.", "The credit card number was {}.")),
    (_iban, ("Send it to {}.", "The IBAN is {}.")),
    (_ssn, ("My social security number is {}.", "SSN: {}")),
    (_ip, ("It came from {}.", "The server's IP address is {}.")),
)
NAMED: Values = (
    (lambda draw: NAMES[draw.integers(len(NAMES))], ("My name is {}.", "Hi, this is {}.", "Regards, {}")),
)


def personal(values: Values) -> Plant:
    """A value of somebody's behind what is asked; the truth is the value."""

    def plant(rows: list[Row], draw: Draw) -> Planted:
        places = chosen(rows, draw)
        truth: dict[int, object] = {}

        def told(at: int, row: Row) -> Row:
            make, frames = values[int(draw.integers(len(values)))]
            truth[at] = make(draw)
            said = frames[int(draw.integers(len(frames)))].format(truth[at])
            return [*row[:-2], ("user", f"{prompt(row)} {said}"), row[-1]]

        return Planted(changed(rows, places, told), places, truth)

    return plant


CODECS = ("cp1252", "latin-1")


def mojibake(rows: list[Row], draw: Draw) -> Planted:
    """UTF-8 read as Windows-1252 or Latin-1, now and then twice; the truth is the text as it was."""
    able = [at for at, row in enumerate(rows) if _broken(prompt(row), "cp1252", 1)]
    places = sorted(draw.choice(able, min(len(able), max(1, int(SHARE * len(rows)))), replace=False).tolist())
    truth: dict[int, object] = {}

    def broken(at: int, row: Row) -> Row:
        truth[at] = prompt(row)
        codec, times = CODECS[int(draw.integers(2))], 2 if draw.random() < 0.2 else 1
        said = _broken(prompt(row), codec, times) or _broken(prompt(row), "cp1252", 1)
        return [*row[:-2], ("user", str(said)), row[-1]]

    return Planted(changed(rows, places, broken), places, truth)


def _broken(said: str, codec: str, times: int) -> str | None:
    """A text decoded wrongly; None where the codec cannot, or nothing in it would break."""
    if said.isascii():
        return None
    try:
        for _ in range(times):
            said = said.encode().decode(codec)
    except UnicodeDecodeError:
        return None
    return said
