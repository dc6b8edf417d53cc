"""What prompts and answers of a source are to each other: whether the one belongs to the other.

Cost: their terms once, some 20 us a row, and a product of `SOME` prompts with all of them.
"""

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from headrace.pipelines.examine import vectors
from headrace.pipelines.examine.advice.pieces import lines

REACH = 3
BETTER = 1.5, 0.02  # how much more the words of prompts stand in other answers: times, and share of words
LEAST = 300  # rows of a source below which chance may look like anything
DIFFERENT = 10, 0.9  # answers, numbers apart, below which it may; share of rows that half as many may have
NUMBER = re.compile(r"[\d.,]+")
CHANCE = (
    4.0  # standard errors above chance: real sets have 10 and more by one of two measures, shuffled ones 3
)
SOME = 1000  # prompts whose nearest other one is looked for
BEHIND = 0.9  # share of rows whose prompt holds the answer behind the same words
LETTERS, WORDS = 3, 2  # of an answer that is looked for in its prompt; before it there
ASKS = 0.5, 0.1  # share of answers that ask, at least, and of prompts, at most
ASKING = re.compile(
    r"\W*(?:please\s+)?(?:write|create|make|generate|explain|describe|list|give|find|design|develop|construct"
    r"|convert|translate|summari[sz]e|rewrite|classify|compute|calculate|implement|build|compare|identify"
    r"|suggest|provide|edit|analy[sz]e|discuss|determine|propose|what|how|why|who|when|where|which|can you"
    r"|could you)\b",
    re.I,
)


def matrix(before: Sequence[Sequence[str]], told: Sequence[str]) -> Any:
    """Terms of N last turns, and behind them of the N answers, by weight: a scipy CSR matrix ``[2N, K]``.

    before: turns before each answer; told: the answers, empty where there is none.
    """
    asked = [turns[-1] if turns else "" for turns in before]
    return vectors.weighted(vectors.terms(pa.array([*asked, *told], pa.large_string())), alone=False)


def exchanged(before: Sequence[Sequence[str]], told: Sequence[str]) -> bool:
    """Whether answers ask and prompts tell: by question marks, and by the words that they begin with."""
    asked = [turns[-1] if turns else "" for turns in before]
    ask = [np.mean([_asks(text) for text in side]) for side in (told, asked)]
    return bool(ask[0] >= ASKS[0] and ask[1] <= ASKS[1])


def _asks(text: str) -> bool:
    return text.rstrip().endswith(("?", "？")) or bool(ASKING.match(text))


def unrelated(told: Sequence[str], both: Any) -> bool:
    """Whether answers have no more to do with their prompts than with any other one.

    told: N answers; both: their `matrix`. Of a set whose rows belong together, a prompt shares words with its
    answer, or prompts that are like each other have answers that are. Neither is more than chance here.
    """
    n = len(told)
    if n < LEAST or not _differ(told):
        return False
    draw = np.random.default_rng(0)
    asked, answers = both[:n], both[n:]
    other = np.roll(draw.permutation(n), 1)
    other[other == np.arange(n)] = (other[other == np.arange(n)] + 1) % n
    some = np.sort(draw.choice(n, min(n, SOME), replace=False))
    like = (asked[some] @ asked.T).toarray()
    like[np.arange(len(some)), some] = -1
    nearest = like.argmax(1)
    return (
        max(
            _above(_beside(asked, answers), _beside(asked, answers[other])),
            _above(_beside(answers[some], answers[nearest]), _beside(answers[some], answers[other[some]])),
        )
        < CHANCE
    )


def _differ(told: Sequence[str]) -> bool:
    """Whether answers differ in more than numbers, so that words can tell them apart."""
    counts = Counter(NUMBER.sub("0", answer).casefold().strip() for answer in told)
    common = sum(n for _, n in counts.most_common(DIFFERENT[0] // 2))
    return len(counts) >= DIFFERENT[0] and common <= DIFFERENT[1] * len(told)


def _beside(one: Any, two: Any) -> NDArray[np.float64]:
    """Likeness of the rows of two matrices, ``[N]``."""
    return np.asarray(one.multiply(two).sum(1), np.float64).ravel()


def _above(one: NDArray[np.float64], two: NDArray[np.float64]) -> float:
    """By how many standard errors `one` is more than `two`."""
    apart = one - two
    return float(apart.mean() / max(apart.std() / len(apart) ** 0.5, 1e-9))


def given(before: Sequence[Sequence[str]], told: Sequence[str]) -> NDArray[np.bool_]:
    """Which of N prompts hold their answer, where nearly all do, behind the same words: ``bool[N]``.

    A column that the model will not have was left in, as in "intent: refund". before, told: as in `matrix`.
    """
    behind = [_words_before(turns, answer) for turns, answer in zip(before, told, strict=True)]
    counts = Counter(words for words in behind if words)
    none = np.zeros(len(told), np.bool_)
    if not counts:
        return none
    common, n = counts.most_common(1)[0]
    found = np.array([words == common for words in behind], np.bool_)
    answers = {answer for answer, at in zip(told, found, strict=True) if at}
    return found if n >= BEHIND * len(told) and len(answers) > 1 else none


def _words_before(turns: Sequence[str], answer: str) -> str:
    """The words of its line before an answer, where a turn holds it, as a whole; else nothing."""
    answer = answer.strip().casefold()
    if len(answer) < LETTERS:
        return ""
    for turn in turns:
        text = turn.casefold()
        at = text.find(answer)
        while at >= 0:
            end = at + len(answer)
            whole = not (at and text[at - 1].isalnum()) and not text[end : end + 1].isalnum()
            words = text[text.rfind("\n", 0, at) + 1 : at].split()[-WORDS:] if whole else []
            if words:
                return " ".join(words)
            at = text.find(answer, end)
    return ""


def shift(before: Sequence[Sequence[str]], told: Sequence[str], both: Any) -> int:
    """By how many rows the answers stand away from their prompts, as far as words tell it; 0: by none.

    before: turns before each answer; told: the answers; both: their `matrix`. How many of a last turn's
    words, the rarer the heavier, stand in an answer is told for the answers of the same rows and of those up
    to `REACH` before or behind, less the rows of which one goes on where the other ended: there the words of
    an answer come again.
    """
    n = len(told)
    inside = range(REACH, n - REACH)
    if not len(inside):
        return 0
    asked = [turns[-1] if turns else "" for turns in before]
    own = both[inside.start : inside.stop]
    held = [lines(turns) for turns in before]

    def goes_on(a: int, b: int) -> bool:
        echoed = told[a] in held[b] or (told[a] in asked[b] and 2 * len(told[a]) >= len(asked[b]))
        return bool(told[a]) and (echoed or (bool(asked[a]) and asked[b].startswith(asked[a])))

    like = {}
    for by in range(-REACH, REACH + 1):
        apart = np.array([not by or not (goes_on(k, k + by) or goes_on(k + by, k)) for k in inside])
        other = both[n + inside.start + by : n + inside.stop + by]
        like[by] = float(_beside(own, other)[apart].sum()) / len(inside)
    best = max(like, key=lambda by: (like[by], -abs(by)))
    return best if like[best] > BETTER[0] * like[0] + BETTER[1] else 0
