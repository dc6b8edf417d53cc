"""Whether answers have become all alike: few different words, one way to begin.

What: answers beside the references of the same prompts, which say how alike answers of this task should be
(labels are alike, and that is right), and beside those of the base. Each answer and its reference are cut to
the length of the shorter one, because longer texts have fewer different words. The interval of distinct-2
is the jackknife's over answers.

Source: Li et al. 2016, https://arxiv.org/abs/1510.03055 (distinct-n); Zhu et al. 2018,
https://arxiv.org/abs/1802.01886 (self-BLEU); Efron and Stein 1981 (jackknife).
Cost: 0.1 ms an answer.
"""

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np

from headrace.pipelines.evaluate import metrics
from headrace.pipelines.evaluate.gates.gate import (
    LEAST,
    Bools,
    Gate,
    Interval,
    Outcome,
    Unmeasured,
    of_pairs,
    too_few,
)

ORDER = 4  # longest n-gram
OPENING = 3  # words
FIX = (
    "More varied rows: other prompts, other wordings and lengths of the answers; fewer epochs only after that"
)
Words = list[str]


def words_of(texts: Sequence[str]) -> list[Words]:
    """The words of texts, folded."""
    return [metrics.WORD.findall(metrics.normalise(text)) for text in texts]


def grams(words: Words, n: int) -> list[tuple[str, ...]]:
    """All n-grams of a text's words."""
    return list(zip(*(words[k:] for k in range(n)), strict=False))


def distinct(answers: Sequence[Words], n: int) -> float:
    """Different n-grams of all answers, as a share of all n-grams; nan of none."""
    seen = [gram for words in answers for gram in grams(words, n)]
    return len(set(seen)) / len(seen) if seen else math.nan


def self_bleu(answers: Sequence[Words]) -> float:
    """Mean BLEU of each answer against all others, 0 (nothing alike) to 1; nan of fewer than two.

    An n-gram counts as often as the one other answer that has it most.
    """
    answers = [words for words in answers if words]
    if len(answers) < 2:
        return math.nan
    logs = np.zeros(len(answers))
    for n in range(1, ORDER + 1):
        counts = [Counter(grams(words, n)) for words in answers]
        most: dict[tuple[str, ...], list[int]] = {}
        for of_answer in counts:
            for gram, count in of_answer.items():
                most[gram] = sorted([*most.get(gram, (0, 0)), count])[-2:]
        for at, of_answer in enumerate(counts):
            elsewhere = ((c, most[g][0] if most[g][1] == c else most[g][1]) for g, c in of_answer.items())
            clipped = sum(min(count, other) for count, other in elsewhere)
            total = sum(of_answer.values())
            # Half a match where there is none; orders that a text is too short for say nothing.
            logs[at] += math.log(max(clipped, 0.5) / total) / ORDER if total else 0.0
    return float(np.exp(logs).mean())


def entropy(answers: Sequence[Words]) -> float:
    """Entropy of the first words, in bits; an empty answer begins with nothing, which counts as a word."""
    counts = np.array(list(Counter(words[0] if words else "" for words in answers).values()), np.float64)
    shares = counts / counts.sum()
    return float(-(shares * np.log2(shares)).sum())


def collapse(answers: Sequence[str], references: Sequence[str], base: Sequence[str]) -> Outcome:
    """Different word pairs of the answers for each one of the references; base: its answers, to be told."""
    if len(answers) < LEAST:
        return too_few(len(answers))
    tuned, wanted = words_of(answers), words_of(references)
    cut = [min(len(t), len(w)) for t, w in zip(tuned, wanted, strict=True)]
    short = [words[:n] for words, n in zip(tuned, cut, strict=True)]
    like = [words[:n] for words, n in zip(wanted, cut, strict=True)]
    n = 2 if sum(length >= 2 for length in cut) >= LEAST else 1
    found = _ratio(short, like, n)
    if found is None:
        return Unmeasured("the answers have too few words to be compared with their references")
    ratio, interval = found
    sides = {"tuned": tuned, "references": wanted, "base": words_of(base)}
    facts = {
        name: {
            **{f"distinct_{k}": _number(distinct(side, k)) for k in range(1, ORDER + 1)},
            "self_bleu": _number(self_bleu(side)),
            "first_word_entropy": _number(entropy(side)) if side else None,
        }
        for name, side in sides.items()
    }
    words = (
        f"the answers hold {ratio:.0%} as many different {'word pairs' if n == 2 else 'words'} as the "
        f"references (95% interval {interval[0]:.0%} to {interval[1]:.0%})"
    )
    return Gate(ratio, interval, words, FIX, _repeated(answers), facts)


def _ratio(answers: Sequence[Words], references: Sequence[Words], n: int) -> tuple[float, Interval] | None:
    """Different n-grams of answers over those of references, and the jackknife's interval of it."""
    counts, alone = [], []
    for side in (answers, references):
        own = [set(grams(words, n)) for words in side]
        held = Counter(gram for grams_of in own for gram in grams_of)
        counts.append(len(held))
        alone.append(np.array([sum(held[gram] == 1 for gram in grams_of) for grams_of in own], np.float64))
    if min(counts) == 0:
        return None
    size = len(answers)
    left = np.log(np.maximum(counts[0] - alone[0], 0.5) / np.maximum(counts[1] - alone[1], 0.5))
    error = math.sqrt((size - 1) / size * ((left - left.mean()) ** 2).sum())
    ratio = counts[0] / counts[1]
    return ratio, (ratio * math.exp(-1.96 * error), ratio * math.exp(1.96 * error))


def _repeated(answers: Sequence[str]) -> tuple[int, ...]:
    """Numbers of answers that stand there more than once, most frequent first."""
    folded = [metrics.normalise(answer) for answer in answers]
    counts = Counter(folded)
    order = sorted(range(len(folded)), key=lambda at: (-counts[folded[at]], at))
    return tuple(at for at in order[:20] if counts[folded[at]] > 1)


def _number(value: float) -> float | None:
    return round(value, 4) if math.isfinite(value) else None


def openers(answers: Sequence[str], references: Sequence[str]) -> Outcome:
    """Share of answers that begin with the most frequent three words, over the same share of references."""
    tuned, wanted = (_opens_alike(words_of(texts)) for texts in (answers, references))
    return of_pairs(
        wanted[0], tuned[0],
        "answers begin with the same words", "of the references", FIX,
        {"different_openers": tuned[1], "different_openers_of_references": wanted[1]},
    )  # fmt: skip


def _opens_alike(texts: Sequence[Words]) -> tuple[Bools, int]:
    """Which texts begin with the most frequent opening of `OPENING` words or more, and how many there are."""
    openings = [tuple(words[:OPENING]) if len(words) > OPENING else None for words in texts]
    counts = Counter(opening for opening in openings if opening)
    most = min(counts, key=lambda opening: (-counts[opening], opening), default=None)
    return np.array([most is not None and opening == most for opening in openings], np.bool_), len(counts)
