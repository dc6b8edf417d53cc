"""Conversations that are not as they were held: in pieces, turn by turn, or with the last turn first."""

import re
from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

SAID, STOCK = 4, 3  # words of an answer that is told from a phrase; rows that give one
SPEAKER = re.compile(r"\A\W{0,4}\w{1,12}\W{0,3}[:>：]\W{0,3}(?=\w+\W+\w+\W+\w+\W+\w)")  # before four words
TURNS = 4  # of a conversation that has a beginning and an end
BACKWARDS = (
    0.1,
    3,
)  # share of conversations that end with a greeting or begin with a farewell; times the others
GREETING = re.compile(
    r"\W*(?:hi|hello|hey|greetings|welcome|good (?:morning|afternoon|evening|day)|thank(?:s| you) for"
    r" (?:calling|contacting)|hola|buen[oa]s (?:d[ií]as|tardes|noches)|bonjour|bonsoir|salut|hallo"
    r"|guten (?:tag|morgen|abend)|ciao|buongiorno|ol[aá]|bom dia|привет|здравствуйте|добрый день)\b"
    r"|\s*(?:您好|你好|こんにちは|안녕하세요)",
    re.I,
)
FAREWELL = re.compile(
    r"\b(?:good ?bye|bye|see you|take care|that(?:['’]s| is| will be) all|you(?:['’]re| are)(?: \w+)? welcome"
    r"|have a (?:nice|great|good|wonderful|lovely) (?:day|one|evening|weekend|time|trip)|adi[oó]s|hasta luego"
    r"|au revoir|bonne journ[ée]e|auf wiedersehen|tsch[uü]ss|arrivederci|tchau|до свидания)\b"
    r"|再见|不客气|さようなら|안녕히",
    re.I,
)


def backwards(talks: Sequence[Sequence[str]]) -> NDArray[np.bool_]:
    """Which of N conversations, their turns in order, stand with the last turn first, where many do."""
    ends = [(talk[0], talk[-1]) if len(talk) >= TURNS else ("", "") for talk in talks]
    back = np.array([bool(FAREWELL.search(a) or GREETING.match(z)) for a, z in ends], np.bool_)
    right = np.array([bool(FAREWELL.search(z) or GREETING.match(a)) for a, z in ends], np.bool_)
    long = sum(len(talk) >= TURNS for talk in talks)
    there = int((back & ~right).sum())
    many = there >= max(BACKWARDS[0] * long, TURNS) and there > BACKWARDS[1] * int((right & ~back).sum())
    return back & ~right if many else np.zeros(len(talks), np.bool_)


def begun(before: Sequence[Sequence[str]], told: Sequence[str]) -> NDArray[np.bool_]:
    """Which of N rows another row goes on: the turns before its last answer begin with all of the row.

    before: turns before each answer; told: the answers, empty where there is none.
    """
    begins, whole = set[int](), list[int]()
    for turns, answer in zip(before, told, strict=True):
        key = 0
        for turn in turns:
            begins.add(key)
            key = hash((key, turn))
        begins.add(key)
        whole.append(hash((key, answer)))
    return np.array([bool(a) and key in begins for a, key in zip(told, whole, strict=True)], np.bool_)


def pieces(before: Sequence[Sequence[str]], told: Sequence[str]) -> NDArray[np.bool_]:
    """Which of N answers, of `SAID` words and more, are a line or a turn of another row's prompt, and not of
    their own; before, told: as `begun` takes them. What `STOCK` rows and more answer is a phrase."""
    held = [lines(turns) for turns in before]
    every, counts = frozenset().union(*held), Counter(told)
    known = [a not in lines and a in every for a, lines in zip(told, held, strict=True)]
    long = [len(a.split()) >= SAID and counts[a] < STOCK for a in told]
    return np.array(known, np.bool_) & np.array(long, np.bool_)


def lines(turns: Sequence[str]) -> frozenset[str]:
    """Turns and their lines, with and without who speaks."""
    lines = {line for turn in turns for line in (turn, *turn.split("\n"))}
    return frozenset(lines | {SPEAKER.sub("", line) for line in lines})
