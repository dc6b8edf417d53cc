"""What is wrong with a tuned model, and what mends it: one paragraph, as the field has it.

What: rules over what a run's books say (the metric that decides, gates, training's watch, the advice on the
data, power, parts of the samples), the cause before its effects: an adapter of a rate that is far too high
forgets and overfits as well. The first that holds is the diagnosis, with what it was seen by; others that
hold are named beside it. A part of the samples (a source, a language, a label, ...) on which it is worse
than the base is named with its interval, by a p-value that is corrected for the number of parts looked at:
none is named by chance alone. Nothing is measured here.

Source: overfitting as a fault of the data: https://arxiv.org/abs/2305.11206 (few varied rows over many
alike); forgetting and replay: Luo et al. 2023, https://arxiv.org/abs/2308.08747, Scialom et al. 2022,
https://arxiv.org/abs/2205.12393; rate before rank: https://arxiv.org/abs/2405.09673; form before knowledge:
https://arxiv.org/abs/2405.05904; prompt first: https://arxiv.org/abs/2005.14165.
"""

from collections.abc import Mapping
from typing import Any

from headrace.pipelines.evaluate.diagnosis.books import Books
from headrace.pipelines.evaluate.diagnosis.rules import RULES, SOUND, Rule

MOST = 6  # sentences of evidence


def diagnose(run: Mapping[str, Any]) -> dict[str, Any] | None:
    """`diagnosis` of run.json: code, words (one paragraph), evidence (sentences), beside (codes that hold
    too); None where nothing was evaluated, and no training was stopped by what it showed.

    run: run.json with evaluate, slices, gates, train, advice and power, each as far as it is there.
    """
    books = Books(run)
    held = [(rule, evidence) for rule in RULES if (evidence := rule.found(books))]
    if not held and books.primary is not None:
        held = [(SOUND, SOUND.found(books))]
    if not held:
        return None
    (first, evidence), *others = held
    return {
        "code": first.code,
        "words": _whole(first, books),
        "evidence": list(dict.fromkeys(evidence))[:MOST],
        "beside": [rule.code for rule, _ in others],
    }


def _whole(rule: Rule, books: Books) -> str:
    """The paragraph, with the parts on which it is worse."""
    worse = books.worse()
    return f"{rule.words} It is worse than the base in a part: {'; '.join(worse)}." if worse else rule.words
