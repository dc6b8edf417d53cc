"""The failures that are told apart, the cause before its effects, and what mends each."""

from collections.abc import Callable, Iterable
from typing import NamedTuple

from headrace.pipelines.evaluate.diagnosis import signs
from headrace.pipelines.evaluate.diagnosis.books import Books


class Rule(NamedTuple):
    """A failure: what is wrong and what mends it, and what shows it. found gives sentences, none where it is
    not the case.
    """

    code: str
    words: str
    found: Callable[[Books], list[str]]


REPLAY = "mix general conversations into the training rows (`mix: {general: PATH, share: .1}`)"
RULES = (
    Rule(
        "rate_too_high",
        "The steps are too long: the training leaves what the base knew and does not find the task. "
        "Take a tenth of train.learning_rate before anything else is changed, with some warm-up.",
        lambda books: signs.rate(books) or signs.broken(books),
    ),
    Rule(
        "leak",
        "Evaluation rows stand in the training rows: the gain, or a part of it, is memory. Name the "
        "evaluation set under `decontaminate.against`, or split by what rows have in common "
        "(split.by), prepare and train again; until then trust the clean rows' figures alone.",
        signs.leak,
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
        signs.few,
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
        signs.contradictions,
    ),
    Rule(
        "overfitting",
        "It has learnt its rows by heart. That is a fault of the data first: more, and more varied, "
        "rows, and no repeated ones (dedup); then a lower rank or rate. Fewer epochs only stop it "
        "sooner. What must not be said again must not be trained on (pii).",
        signs.by_heart,
    ),
    Rule(
        "safety",
        "It answers what it should decline, or treats groups unlike. Remove rows that comply with "
        "harmful requests, add rows in which they are declined, and the exchanged rows of "
        "findings/bias.swaps.parquet with the same answers.",
        signs.unsafe,
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
        signs.forgot,
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
        signs.good,
    ),
    Rule(
        "prompt_instead",
        "The base with a better prompt does as well or better: use that. Tuning pays where the "
        "prompt's length or cost is what is to be saved.",
        signs.prompt,
    ),
    Rule(
        "nothing_learnt",
        "Nothing was learnt: the adapter is too small for it, the rate too low, or the answers do not"
        " follow from the prompts. Read some rows first (`headrace sample`); then try ten times "
        "train.learning_rate, more epochs, and at last a higher rank.",
        signs.little,
    ),
    Rule(
        "metric_flat",
        "The loss fell and the metric did not move: it learns how answers look, not what they say. "
        "Rows that show the task are missing, or the metric does not measure it: read wins and losses"
        " before another training.",
        signs.flat_metric,
    ),
    Rule(
        "no_metric",
        "The metric that is to decide does not apply to these answers, so nothing is decided. Name another "
        "under evaluate.primary, and evaluate again: no model is asked anew.",
        signs.no_metric,
    ),
    Rule(
        "too_few_samples",
        "Too few held-out samples to tell: whatever was learnt, this evaluation cannot show it. Hold "
        "out more rows (split.test), or raise evaluate.samples.",
        signs.few_samples,
    ),
    Rule(
        "no_gain",
        "The tuned model is no better than its base, and nothing here says why. Read wins and losses,"
        " then look at the rows; a sweep (`headrace sweep`) tells whether it is the settings.",
        signs.worse,
    ),
    Rule(
        "worse_in_part",
        "The gain is not everywhere. Add rows of the part on which it is worse, or leave that part to the "
        "base.",
        Books.worse,
    ),
)
SOUND = Rule("sound", "Nothing was found wrong with it: it is better, and kept what it could.", signs.holds)


def codes(rules: Iterable[Rule] = (*RULES, SOUND)) -> list[str]:
    """Every diagnosis there is, the cause before its effects."""
    return [rule.code for rule in rules]
