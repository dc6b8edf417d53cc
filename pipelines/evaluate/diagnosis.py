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

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from headrace.pipelines.evaluate import decision, slices
from headrace.pipelines.evaluate.config import LOWER_IS_BETTER, SHOTS

MOST = 6  # sentences of evidence
PARTS = 3  # that are named where it is worse
LOST = 1.0  # nats a token of general text
ALIKE = 0.98  # share of a loss before training that counts as no change


class Rule(NamedTuple):
    """A failure: what is wrong and what mends it, and what shows it. found gives sentences, none where it is
    not the case.
    """

    code: str
    words: str
    found: Callable[["Books"], list[str]]


class Books:
    """What a run's books say, by what is asked of them."""

    def __init__(self, run: Mapping[str, Any]) -> None:
        self.run = run
        self.train: Mapping[str, Any] = run.get("train") or {}
        scores = run.get("evaluate") or {}
        self.primary = None if scores.get("stale") else decision.deciding(scores)
        # Over the samples that do not stand in training, where the evaluation tells them apart.
        told = {name: score for name, score in scores.items() if isinstance(score, Mapping)}
        self.scores = {name: {**score, **(score.get("clean") or {})} for name, score in told.items()}

    def gates(self, *names: str) -> list[str]:
        """What ringing gates of these names say."""
        held = self.run.get("gates") or {}
        rings = [held[name] for name in names if (held.get(name) or {}).get("state") in ("warn", "fail")]
        return [decision.sentence(gate.get("words")) for gate in rings]

    def watch(self, *codes: str) -> list[str]:
        """What training's watch has said under these codes."""
        said = [*(self.train.get("warnings") or ()), *self._stopped()]
        return [decision.sentence(one.get("words")) for one in said if one.get("code") in codes]

    def _stopped(self) -> Iterator[Mapping[str, Any]]:
        stopped = self.train.get("stopped")
        if stopped:
            yield {"code": stopped.get("reason"), **stopped}

    def advice(self, *codes: str) -> list[str]:
        """What the advice on the data says against training on it, under these codes."""
        reasons = (self.run.get("advice") or {}).get("reasons") or ()
        grave = [one for one in reasons if one.get("level") in ("stop", "mend")]
        return [decision.sentence(one.get("words")) for one in grave if one.get("code") in codes]

    def verdict(self, name: str | None = None) -> str:
        """The verdict on a metric, or on the one that decides; "" where there is none."""
        name = name or (self.primary[0] if self.primary else "")
        return str(self.scores.get(name, {}).get("verdict") or "")

    def moved(self, name: str | None = None) -> str:
        """How a metric, or the one that decides, moved, as a sentence."""
        if name is None:
            assert self.primary is not None, "asked of a run that was evaluated"
            name = self.primary[0]
        score = self.scores[name]
        if score.get("base") is None or score.get("tuned") is None:
            return f"{_told(name)} could not be measured"
        return f"{_told(name)} went from {score['base']:.4g} to {score['tuned']:.4g} ({score['verdict']})"

    def worse(self) -> list[str]:
        """The parts of the samples on which the metric that decides is worse than with the base."""
        if self.primary is None:
            return []
        found = [part for part in self.run.get("slices") or () if part["verdict"] == "worse"]
        return [slices.told(part, _told(self.primary[0])) for part in found[:PARTS]]

    def no_gain(self) -> bool:
        """Whether the metric that decides shows no gain, of samples enough to show one."""
        return self.verdict() in ("worse", "no clear difference")


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


def _rate(books: Books) -> list[str]:
    """Of a training that guesses by frequency, only where it has lost general text as well: answers that do
    not follow from the prompts end there, too.
    """
    guesses = books.watch("guessing") if books.gates("general_loss") else []
    return [*books.watch("diverging", "exploding", "frozen", "bad_step", "bad_steps"), *guesses]


def _broken(books: Books) -> list[str]:
    """General text has become as unlikely as no training should make it, and the task is not learnt."""
    lost = books.gates("general_loss")
    if not lost or books.run["gates"]["general_loss"]["value"] < LOST or books.verdict() == "better":
        return []
    unlearnt = _unlearnt(books)
    return [*lost, unlearnt] if unlearnt else []


def _unlearnt(books: Books) -> str:
    """How the loss stands where it did before training; "" where it has fallen, or nobody knows."""
    base, best = (books.train.get("base") or {}).get("validation"), books.train.get("best_validation")
    if base is None or best is None or best < ALIKE * base:
        return ""
    return f"on validation rows the loss was {base:.4g} before training and is {best:.4g} at best"


def _leak(books: Books) -> list[str]:
    found = books.gates("contamination")
    if books.primary and books.primary[1]["verdict"] == "better" != books.verdict():
        found.append(f"on rows that do not stand in training the verdict is: {books.verdict()}")
    return found


def _contradictions(books: Books) -> list[str]:
    found = books.advice("contradictions", "label_noise")
    signal = [*books.gates("signal"), *books.watch("no_signal", "guessing")]
    return found + signal if signal or (found and books.no_gain()) else []


def _by_heart(books: Books) -> list[str]:
    return [
        *books.gates("memorised", "recited", "membership", "canaries"),
        *books.watch("overfitting"),
    ]


def _few(books: Books) -> list[str]:
    few = [*books.watch("few_rows"), *books.advice("size")]
    return few + _by_heart(books) if few and (_by_heart(books) or books.no_gain()) else []


def _unsafe(books: Books) -> list[str]:
    """Refusals are lost, more than other skills are; or groups are answered unlike."""
    held = books.run.get("gates") or {}
    lost = [float((held.get(name) or {}).get("value") or 0) for name in ("safety", "forgetting")]
    safety = books.gates("safety") if lost[0] >= 2 * lost[1] or not books.gates("forgetting") else []
    return [*safety, *books.gates("swaps")]


def _forgot(books: Books) -> list[str]:
    return [
        *books.gates("forgetting", "harness", "instructions", "safety", "general_loss"),
        *books.watch("forgetting"),
    ]


def _little(books: Books) -> list[str]:
    """Nothing has moved: neither the training's own loss nor the one on held-out rows."""
    unlearnt = "" if books.watch("no_signal") else _unlearnt(books)
    still = [*books.watch("flat", "plateau"), *([unlearnt] if unlearnt else [])]
    return still if books.verdict() != "better" else []


def _good(books: Books) -> list[str]:
    if not books.no_gain() or books.primary is None:
        return []
    name, score = books.primary
    base = score.get("base")
    return [books.moved()] if name in decision.TO_ONE and base is not None and base >= decision.GOOD else []


def _prompt(books: Books) -> list[str]:
    """A base with examples or documents in its prompt is as good."""
    arms = (books.primary[1].get("arms") or {}) if books.primary else {}
    prompted = {name: arm for name, arm in arms.items() if name.startswith(SHOTS) or name == "retrieval"}
    better = [name for name, arm in prompted.items() if arm.get("verdict") == "worse"]
    return [f"{decision.named(name)} is better" for name in sorted(better)]


def _flat_metric(books: Books) -> list[str]:
    losses = [name for name in LOWER_IS_BETTER & books.scores.keys() if books.verdict(name) == "better"]
    told = books.watch("metric_flat")
    if not books.no_gain() or not (losses or told):
        return []
    return [*told, *(books.moved(name) for name in sorted(losses)[:1]), books.moved()]


def _few_samples(books: Books) -> list[str]:
    power = decision.sentence((books.run.get("power") or {}).get("words"))
    if _no_metric(books):
        return []
    if books.verdict() == "too few samples":
        return [power or books.moved()]
    return [books.moved(), power] if books.verdict() == "no clear difference" and power else []


def _no_metric(books: Books) -> list[str]:
    """The metric that was named does not apply."""
    return [books.moved()] if books.primary and not books.primary[1]["n"] else []


def _worse(books: Books) -> list[str]:
    return [books.moved()] if books.no_gain() else []


def _holds(books: Books) -> list[str]:
    """What speaks for a model that nothing was found against."""
    held = [gate for gate in (books.run.get("gates") or {}).values() if "state" in gate]
    parts = [books.moved()]
    if held:
        parts.append(f"{len(held)} gates of the tuned model were held, and none rings")
    base, best = (books.train.get("base") or {}).get("validation"), books.train.get("best_validation")
    if base is not None and best is not None:
        parts.append(f"on validation rows the loss fell from {base:.4g} to {best:.4g}")
    return parts


REPLAY = "mix general conversations into the training rows (`mix: {general: PATH, share: .1}`)"
RULES = (
    Rule(
        "rate_too_high",
        "The steps are too long: the training leaves what the base knew and does not find the task. "
        "Take a tenth of train.learning_rate before anything else is changed, with some warm-up.",
        lambda books: _rate(books) or _broken(books),
    ),
    Rule(
        "leak",
        "Evaluation rows stand in the training rows: the gain, or a part of it, is memory. Name the "
        "evaluation set under `decontaminate.against`, or split by what rows have in common "
        "(split.by), prepare and train again; until then trust the clean rows' figures alone.",
        _leak,
    ),
    Rule(
        "no_end",
        "Answers do not end, or say nothing: it is a fault of template or rows, and no setting of the"
        " training mends it. Look whether each training answer has loss on its end token and none is "
        "cut (`headrace explain`), and remove rows whose answers are cut or empty.",
        lambda books: books.gates("endless", "empty"),
    ),
    Rule(
        "copies",
        "Answers say the prompt again. Look for training rows whose answers repeat what is asked, and"
        " whether prompts carry no loss.",
        lambda books: books.gates("copied"),
    ),
    Rule(
        "format",
        "Answers leave the format of their references, as training answers do that go on in prose or "
        "break off. The examiner's check `formats` lists such rows: mend or remove them, and add rows"
        " of every length of the format.",
        lambda books: books.gates("format_drift"),
    ),
    Rule(
        "too_few_rows",
        "There are too few rows: they are learnt by heart before the task is. Gather more, and more "
        "varied ones; until then put some of them into the base's prompt as examples. Fewer epochs "
        "only stop it sooner.",
        _few,
    ),
    Rule(
        "collapse",
        "All answers have become one: the training answers are too alike, or were seen too often. "
        "Vary prompts, wordings and lengths of the answers; fewer epochs only after that.",
        lambda books: books.gates("collapse", "openers"),
    ),
    Rule(
        "contradictions",
        "The rows contradict each other, or their answers do not follow from the prompts: what is "
        "learnt of one is unlearnt by another. Mend the answers (`findings/` lists the rows; "
        "examine.contradictions.policy) before any setting of the training.",
        _contradictions,
    ),
    Rule(
        "overfitting",
        "It has learnt its rows by heart. That is a fault of the data first: more, and more varied, "
        "rows, and no repeated ones (dedup); then a lower rank or rate. Fewer epochs only stop it "
        "sooner. What must not be said again must not be trained on (pii).",
        _by_heart,
    ),
    Rule(
        "safety",
        "It answers what it should decline, or treats groups unlike. Remove rows that comply with "
        "harmful requests, add rows in which they are declined, and the exchanged rows of "
        "findings/bias.swaps.parquet with the same answers.",
        _unsafe,
    ),
    Rule(
        "confusion",
        f"It answers everything as the task. First {REPLAY}, and name the task in the system prompt of"
        " its rows, so that the model can tell when it is asked for; then fewer epochs.",
        lambda books: books.gates("confusion"),
    ),
    Rule(
        "forgetting",
        f"It has forgotten what the base could. First {REPLAY}; then fewer epochs, then a lower "
        "train.learning_rate.",
        _forgot,
    ),
    Rule(
        "calibration",
        "It is surer than it is right, or less sure. Fewer epochs or more rows; or fit a temperature "
        "on the validation rows before confidences are used.",
        lambda books: books.gates("calibration"),
    ),
    Rule(
        "slow",
        "It is slower than its base in every way that was measured. Merge the adapter (`headrace "
        "export --merge`), or tune by a method whose weights can be merged.",
        lambda books: books.gates("speed"),
    ),
    Rule(
        "base_good",
        "The base has the task right already: there is little to learn. Prompt it instead, and tune "
        "only for what a prompt cannot give, as length, cost or a smaller model.",
        _good,
    ),
    Rule(
        "prompt_instead",
        "The base with a better prompt does as well or better: use that. Tuning pays where the "
        "prompt's length or cost is what is to be saved.",
        _prompt,
    ),
    Rule(
        "nothing_learnt",
        "Nothing was learnt: the adapter is too small for it, the rate too low, or the answers do not"
        " follow from the prompts. Read some rows first (`headrace sample`); then try ten times "
        "train.learning_rate, more epochs, and at last a higher rank.",
        _little,
    ),
    Rule(
        "metric_flat",
        "The loss fell and the metric did not move: it learns how answers look, not what they say. "
        "Rows that show the task are missing, or the metric does not measure it: read wins and losses"
        " before another training.",
        _flat_metric,
    ),
    Rule(
        "no_metric",
        "The metric that is to decide does not apply to these answers, so nothing is decided. Name another "
        "under evaluate.primary, and evaluate again: no model is asked anew.",
        _no_metric,
    ),
    Rule(
        "too_few_samples",
        "Too few held-out samples to tell: whatever was learnt, this evaluation cannot show it. Hold "
        "out more rows (split.test), or raise evaluate.samples.",
        _few_samples,
    ),
    Rule(
        "no_gain",
        "The tuned model is no better than its base, and nothing here says why. Read wins and losses,"
        " then look at the rows; a sweep (`headrace sweep`) tells whether it is the settings.",
        _worse,
    ),
    Rule(
        "worse_in_part",
        "The gain is not everywhere. Add rows of the part on which it is worse, or leave that part to the "
        "base.",
        Books.worse,
    ),
)
SOUND = Rule("sound", "Nothing was found wrong with it: it is better, and kept what it could.", _holds)


def _told(name: str) -> str:
    return name.replace("_", " ")


def codes(rules: Iterable[Rule] = (*RULES, SOUND)) -> list[str]:
    """Every diagnosis there is, the cause before its effects."""
    return [rule.code for rule in rules]
