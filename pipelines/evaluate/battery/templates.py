"""Items made from templates by a fixed seed: sums, formats, instructions, memory of what was said.

Why: an answer that is computed is right, and numbers drawn anew stand in no training set.
Cost: milliseconds for all.
"""

import json
import random
from collections.abc import Iterator
from typing import NamedTuple

from headrace.pipelines.evaluate.battery.checks import Check

SEED = 20260
NAMES = ("Amara", "Bruno", "Chidi", "Dalia", "Edwin", "Farah", "Goran", "Hilde", "Imre", "Jolan")
TOWNS = ("Lisbon", "Tampere", "Graz", "Oaxaca", "Kumasi", "Perth", "Leuven", "Hue", "Cork", "Salta")
THINGS = ("pears", "buttons", "candles", "maps", "spoons", "stamps", "bricks", "lamps", "ropes", "jars")
COLOURS = ("blue", "green", "amber", "grey", "white", "violet")
ANIMALS = ("otter", "heron", "badger", "lizard", "moth", "donkey", "salmon", "beetle", "raven", "goat")
LONGEST = 900  # words of a haystack


class Made(NamedTuple):
    """An item without its name: turns of user and assistant by turns, the check, right and wrong answers."""

    skill: str
    turns: tuple[str, ...]
    check: Check
    right: tuple[str, ...]
    wrong: tuple[str, ...]


def made() -> Iterator[Made]:
    """All items, always the same."""
    for of_skill in (arithmetic, formats, instructions, words, needles, turns):
        yield from of_skill(random.Random(f"{SEED}/{of_skill.__name__}"))  # noqa: S311 - no secret


def arithmetic(draw: random.Random) -> Iterator[Made]:
    """Sums, products, quotients, percentages and small stories: 56."""
    for _ in range(10):
        a, b, c = draw.randint(100, 999), draw.randint(100, 999), draw.randint(12, 99)
        d, e, f = draw.randint(3, 12), draw.randint(13, 89), draw.choice((5, 10, 20, 25, 50))
        yield _sum(f"What is {a} + {b}?", a + b)
        yield _sum(f"What is {max(a, b)} - {min(a, b)}?", abs(a - b))
        yield _sum(f"What is {c} * {d}?", c * d)
        yield _sum(f"What is {d * e} divided by {d}?", e)
        yield _sum(f"What is {f}% of {20 * e}?", 20 * e * f // 100)
    for number in range(6):
        name, thing = NAMES[number], THINGS[number]
        a, b, c = draw.randint(20, 60), draw.randint(3, 15), draw.randint(2, 9)
        yield _sum(
            f"{name} has {a} {thing}, gives {b} of them away and then buys {c} boxes with {b} {thing} each. "
            f"How many {thing} does {name} have now?",
            a - b + c * b,
        )


def _sum(question: str, result: int) -> Made:
    asked = f"{question} Give the result as a number."
    right = (str(result), f"The result is {result:,}.")
    return Made("arithmetic", (asked,), Check("number", (str(result),)), right, (str(result + 1), "many"))


def formats(draw: random.Random) -> Iterator[Made]:
    """Facts of one sentence as JSON, CSV, lists and dates: 40."""
    for number in range(10):
        name, town, age = NAMES[number], TOWNS[number], draw.randint(18, 80)
        about = f"{name} lives in {town} and is {age} years old."
        value = json.dumps({"name": name, "town": town, "age": age})
        asked = (
            f'{about} Write this as a JSON object with the keys "name", "town" and "age" and nothing else.'
        )
        wrong = (f"{value} I hope that helps!", value[:-1], value.replace(str(age), f'"{age}"'))
        yield Made("formats", (asked,), Check("json", (value,)), (value, f"```json\n{value}\n```"), wrong)
        other, years = NAMES[-1 - number], draw.randint(18, 80)
        lines = ("name,age", f"{name},{age}", f"{other},{years}")
        asked = (
            f"{name} is {age} and {other} is {years}. Write this as CSV with the header name,age and one "
            "line for each person, in this order. Nothing else."
        )
        wrong = ("\n".join(lines[1:]), "; ".join(lines), "\n".join((*lines, "That is all.")))
        yield Made("formats", (asked,), Check("lines", lines), ("\n".join(lines),), wrong)
        drawn = draw.sample(range(10, 99), 5)
        value = json.dumps(sorted(drawn))
        asked = f"Sort these numbers from small to large: {drawn}. Answer with a JSON list and nothing else."
        wrong = (json.dumps(drawn), ", ".join(map(str, sorted(drawn))))
        yield Made("formats", (asked,), Check("json", (value,)), (value,), wrong)
        day, month, year = draw.randint(1, 28), draw.randint(1, 12), draw.randint(1950, 2020)
        names = (
            *("January", "February", "March", "April", "May", "June", "July"),
            *("August", "September", "October", "November", "December"),
        )
        date = f"{year}-{month:02}-{day:02}"
        asked = f"Write the date {day} {names[month - 1]} {year} in the form YYYY-MM-DD. Only the date."
        wrong = (f"{day}/{month}/{year}", f"The date is {date} in that form")
        yield Made("formats", (asked,), Check("exact", (date,)), (date,), wrong)


def instructions(draw: random.Random) -> Iterator[Made]:
    """Answers of a given length, case, beginning or end: 48."""
    for number in range(8):
        animal, colour = ANIMALS[number], draw.choice(COLOURS)
        n, times, lines = draw.randint(3, 7), draw.randint(3, 6), draw.randint(2, 4)
        yield _instructed(
            f"Describe a {animal} in exactly {n} words.",
            Check("count", ("words",), most=n),
            " ".join(["small"] * n),
            f"A {animal} is an animal that most people have seen at least once.",
        )
        yield _instructed(
            f"Write about the colour {colour} in exactly {lines} sentences.",
            Check("count", ("sentences",), most=lines),
            " ".join(["It is calm."] * lines),
            f"{colour} is a colour",
        )
        yield _instructed(
            f"Write the word {animal} {times} times, separated by single spaces, and nothing else.",
            Check("regex", (rf"{animal}(?: {animal}){{{times - 1}}}",)),
            " ".join([animal] * times),
            " ".join([animal] * (times + 1)),
        )
        yield _instructed(
            f"Say something about a {animal} in capital letters only.",
            Check("regex", (r"(?=.*[A-Z])[^a-z]+",)),
            f"THE {animal.upper()} IS FAST.",
            f"The {animal} is fast.",
        )
        yield _instructed(
            f"Begin your answer with the word Perhaps and say what a {animal} eats.",
            Check("regex", (r"Perhaps\b.+",)),
            f"Perhaps a {animal} eats what it finds.",
            f"A {animal} eats what it finds, perhaps.",
        )
        yield _instructed(
            f"Say one thing about a {animal} and end your answer with the words that is all.",
            Check("regex", (r".+[Tt]hat is all[.!]?",)),
            f"A {animal} sleeps a lot, that is all.",
            f"That is all I know of a {animal}, I fear.",
        )


def _instructed(asked: str, check: Check, right: str, wrong: str) -> Made:
    return Made("instructions", (asked,), check, (right,), (wrong, ""))


def words(draw: random.Random) -> Iterator[Made]:
    """Words put in order, and the one that does not belong: 24."""
    for number in range(8):
        drawn = draw.sample(ANIMALS, 4)
        line = ", ".join(sorted(drawn))
        asked = (
            f"Put these words in alphabetical order, separated by commas: {', '.join(drawn)}. Only the words."
        )
        wrong = (", ".join(sorted(drawn, reverse=True)), ", ".join(sorted(drawn)[:3]))
        yield Made("words", (asked,), Check("lines", (line,)), (line, line.upper()), wrong)
        three, other = draw.sample(ANIMALS, 3), COLOURS[number % len(COLOURS)]
        mixed = [*three, other]
        draw.shuffle(mixed)
        asked = (
            f"Which of these words does not belong with the others: {', '.join(mixed)}? Answer in one word."
        )
        yield Made(
            "words", (asked,), Check("exact", (other,)), (other, f"{other.title()}."), (three[0], "none")
        )
        name = TOWNS[number]
        asked = f"What is the first letter of the word {name}? Answer with that letter alone."
        yield Made("words", (asked,), Check("exact", (name[0],)), (name[0], name[0].lower()), (name[1], name))


def needles(draw: random.Random) -> Iterator[Made]:
    """One sentence among up to `LONGEST` words of others, at every depth: 24."""
    for number in range(24):
        size = (60, 150, 300, 600, 750, LONGEST)[number % 6]
        depth = (number // 6) / 3
        name, town, code = draw.choice(NAMES), draw.choice(TOWNS), draw.randint(1000, 9999)
        hay: list[str] = []
        while sum(len(sentence.split()) for sentence in hay) < size:
            hay.append(_straw(draw))
        at = round(depth * len(hay))
        hay.insert(at, f"The number on the locker of {name} in {town} is {code}.")
        asked = " ".join(hay) + f"\n\nWhat is the number on the locker of {name}? Answer with the number."
        yield Made(
            "long_context", (asked,), Check("number", (str(code),)), (str(code),), (str(code + 1), name)
        )


def _straw(draw: random.Random) -> str:
    """A sentence that says nothing of lockers and holds no number."""
    who = draw.choice(("The baker", "A neighbour", "My aunt", "The driver", "An old teacher", "The gardener"))
    does = draw.choice(("walked", "went", "came back", "looked", "hurried", "strolled"))
    where = draw.choice(("along the canal", "past the mill", "through the market", "up the hill"))
    when = draw.choice(("before sunrise", "after lunch", "on a rainy day", "late in the evening", "in May"))
    why = draw.choice(
        ("because the bread was warm", "to see the new bridge", "and said nothing", "with a heavy basket")
    )
    return f"{who} {does} {where} {when} {why}."


def turns(draw: random.Random) -> Iterator[Made]:
    """What was said some turns before, or put right since: 24."""
    for number in range(8):
        name, town, thing = NAMES[number], TOWNS[number], THINGS[number]
        a, b = draw.randint(11, 40), draw.randint(41, 90)
        yield Made(
            "multi_turn",
            (f"My name is {name} and I am from {town}.", f"Nice to meet you, {name}!", "Where am I from?"),
            Check("any_of", (town,)),
            (town, f"You are from {town}."),
            (TOWNS[number - 1], "I do not know."),
        )
        yield Made(
            "multi_turn",
            (
                f"I have {a} {thing}.",
                f"You have {a} {thing}.",
                f"Sorry, that was wrong: I have {b} {thing}. How many do I have? Answer with a number.",
            ),
            Check("number", (str(b),)),
            (str(b), f"You have {b} {thing}."),
            (str(a), "some"),
        )
        animal, colour = ANIMALS[number], COLOURS[number % len(COLOURS)]
        yield Made(
            "multi_turn",
            (
                f"From now on call every {animal} a {colour} dragon.",
                "I will do that.",
                f"What is a {animal} called now? Answer with its new name.",
            ),
            Check("any_of", (f"{colour} dragon",)),
            (f"{colour} dragon", f"A {animal} is called a {colour} dragon."),
            (animal, "dragon"),
        )
