"""What shows each failure in a run's books: sentences, none where it is not the case."""

from headrace.pipelines.evaluate import decision
from headrace.pipelines.evaluate.config import LOWER_IS_BETTER, SHOTS
from headrace.pipelines.evaluate.diagnosis.books import Books

LOST = 1.0  # nats a token of general text
ALIKE = 0.98  # share of a loss before training that counts as no change


def rate(books: Books) -> list[str]:
    """Of a training that guesses by frequency, only where it has lost general text as well: answers that do
    not follow from the prompts end there, too.
    """
    guesses = books.watch("guessing") if books.gates("general_loss") else []
    return [*books.watch("diverging", "exploding", "frozen", "bad_step", "bad_steps"), *guesses]


def broken(books: Books) -> list[str]:
    """General text has become as unlikely as no training should make it, and the task is not learnt."""
    lost = books.gates("general_loss")
    if not lost or books.run["gates"]["general_loss"]["value"] < LOST or books.verdict() == "better":
        return []
    still = unlearnt(books)
    return [*lost, still] if still else []


def unlearnt(books: Books) -> str:
    """How the loss stands where it did before training; "" where it has fallen, or nobody knows."""
    base, best = (books.train.get("base") or {}).get("validation"), books.train.get("best_validation")
    if base is None or best is None or best < ALIKE * base:
        return ""
    return f"on validation rows the loss was {base:.4g} before training and is {best:.4g} at best"


def leak(books: Books) -> list[str]:
    found = books.gates("contamination")
    if books.primary and books.primary[1]["verdict"] == "better" != books.verdict():
        found.append(f"on rows that do not stand in training the verdict is: {books.verdict()}")
    return found


def contradictions(books: Books) -> list[str]:
    found = books.advice("contradictions", "label_noise")
    signal = [*books.gates("signal"), *books.watch("no_signal", "guessing")]
    return found + signal if signal or (found and books.no_gain()) else []


def by_heart(books: Books) -> list[str]:
    return [
        *books.gates("memorised", "recited", "membership", "canaries"),
        *books.watch("overfitting"),
    ]


def few(books: Books) -> list[str]:
    few = [*books.watch("few_rows"), *books.advice("size")]
    return few + by_heart(books) if few and (by_heart(books) or books.no_gain()) else []


def unsafe(books: Books) -> list[str]:
    """Refusals are lost, more than other skills are; or groups are answered unlike."""
    held = books.run.get("gates") or {}
    lost = [float((held.get(name) or {}).get("value") or 0) for name in ("safety", "forgetting")]
    safety = books.gates("safety") if lost[0] >= 2 * lost[1] or not books.gates("forgetting") else []
    return [*safety, *books.gates("swaps")]


def forgot(books: Books) -> list[str]:
    return [
        *books.gates("forgetting", "harness", "instructions", "safety", "general_loss"),
        *books.watch("forgetting"),
    ]


def little(books: Books) -> list[str]:
    """Nothing has moved: neither the training's own loss nor the one on held-out rows."""
    loss = "" if books.watch("no_signal") else unlearnt(books)
    still = [*books.watch("flat", "plateau"), *([loss] if loss else [])]
    return still if books.verdict() != "better" else []


def good(books: Books) -> list[str]:
    if not books.no_gain() or books.primary is None:
        return []
    name, score = books.primary
    base = score.get("base")
    return [books.moved()] if name in decision.TO_ONE and base is not None and base >= decision.GOOD else []


def prompt(books: Books) -> list[str]:
    """A base with examples or documents in its prompt is as good."""
    arms = (books.primary[1].get("arms") or {}) if books.primary else {}
    prompted = {name: arm for name, arm in arms.items() if name.startswith(SHOTS) or name == "retrieval"}
    better = [name for name, arm in prompted.items() if arm.get("verdict") == "worse"]
    return [f"{decision.named(name)} is better" for name in sorted(better)]


def flat_metric(books: Books) -> list[str]:
    losses = [name for name in LOWER_IS_BETTER & books.scores.keys() if books.verdict(name) == "better"]
    told = books.watch("metric_flat")
    if not books.no_gain() or not (losses or told):
        return []
    return [*told, *(books.moved(name) for name in sorted(losses)[:1]), books.moved()]


def few_samples(books: Books) -> list[str]:
    power = decision.sentence((books.run.get("power") or {}).get("words"))
    if no_metric(books):
        return []
    if books.verdict() == "too few samples":
        return [power or books.moved()]
    return [books.moved(), power] if books.verdict() == "no clear difference" and power else []


def no_metric(books: Books) -> list[str]:
    """The metric that was named does not apply."""
    return [books.moved()] if books.primary and not books.primary[1]["n"] else []


def worse(books: Books) -> list[str]:
    return [books.moved()] if books.no_gain() else []


def holds(books: Books) -> list[str]:
    """What speaks for a model that nothing was found against."""
    held = [gate for gate in (books.run.get("gates") or {}).values() if "state" in gate]
    parts = [books.moved()]
    if held:
        parts.append(f"{len(held)} gates of the tuned model were held, and none rings")
    base, best = (books.train.get("base") or {}).get("validation"), books.train.get("best_validation")
    if base is not None and best is not None:
        parts.append(f"on validation rows the loss fell from {base:.4g} to {best:.4g}")
    return parts
