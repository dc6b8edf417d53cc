"""How good answers are: pure functions.

Every metric is a function of sums over samples (a mean: of values and ones; the loss: of nats and
targets; BLEU: of n-gram counts), so that one test and one interval serve them all (`statistics`).

ROUGE-1 and 2 by rouge-score over words of any script (its own tokenizer knows a to z and 0 to 9 alone),
ROUGE-L as it has it, BLEU by sacrebleu over the corpus, chrF by sacrebleu and METEOR by nltk as means of
their sentences. METEOR matches words and stems of English; without WordNet, which would have to be fetched,
it knows no synonyms.
Source: https://aclanthology.org/W04-1013, https://aclanthology.org/P02-1040,
https://aclanthology.org/W18-6319, https://aclanthology.org/W15-3049, https://aclanthology.org/W05-0909,
https://arxiv.org/abs/1606.05250 (token F1)

Cost: ~0.5 ms a sample for all of them. The three libraries take over a second to import, and are imported by
the function that asks one: every report of a run needs this module, most of them no such metric.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import NDArray

from headrace.pipelines.evaluate.config import Fold

Floats = NDArray[np.float64]

ORDER = 4  # longest n-gram of BLEU

# A word, or one character of a script that writes no spaces.
UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
WORD = re.compile(f"[{UNSPACED}]|[^\\W{UNSPACED}]+")


def normalise(text: str) -> str:
    """Text as exact match compares it: NFKC, folded case, one space for white space, none at the ends.

    Punctuation and articles stay: "-3" is not "3".
    """
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


NUMBER = re.compile(r"(?<![\w.,])[-+−]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?![\d,]*\d)")
UNITS = re.compile(r"(?<=\d)\s*(?:%|°\s?[cfk]?|[^\W\d_]{1,12}(?:[/²³]\w*)*)(?=\W|\Z)|[$€£¥₹]\s*(?=[-+]?\d)")
ARTICLES = re.compile(r"\b(?:a|an|the)\b")
BARE = re.compile(rf"(?P<number>{NUMBER.pattern})|[^\w\s]|_")


def folded(text: str, folds: Collection[Fold] = ()) -> str:
    """Text as exact match compares it, also folded as the recipe asks.

    numbers: "1,234.50" is "1234.5", "+3" is "3". units: "12 kg", "$12" and "12%" are "12". articles and
    punctuation go, but for what numbers hold.
    """
    text = normalise(text)
    if "numbers" in folds or "units" in folds or "punctuation" in folds:
        text = NUMBER.sub(lambda m: _plain(m[0]), text)
    if "units" in folds:
        text = UNITS.sub("", text)
    if "articles" in folds:
        text = ARTICLES.sub(" ", text)
    if "punctuation" in folds:
        text = BARE.sub(lambda m: m["number"] or " ", text)
    return " ".join(text.split())


def _plain(number: str) -> str:
    """A number without separators of thousands, plus and closing zeros."""
    plain = number.replace(",", "").replace("−", "-").removeprefix("+")
    if "." in plain:
        plain = plain.rstrip("0").rstrip(".")
    return plain


def exact_match(answers: Sequence[str], references: Sequence[str], folds: Collection[Fold] = ()) -> Floats:
    """1.0 where an answer equals its reference after `folded`: ``float64[N]``."""
    pairs = zip(answers, references, strict=True)
    return np.array([folded(a, folds) == folded(r, folds) for a, r in pairs], np.float64)


def token_f1(answers: Sequence[str], references: Sequence[str]) -> Floats:
    """F1 of the words that an answer shares with its reference, each as often as it stands: ``float64[N]``.

    1.0 where neither has a word.
    """
    scores = []
    for answer, reference in zip(answers, references, strict=True):
        said, wanted = (Counter(WORD.findall(normalise(text))) for text in (answer, reference))
        total = said.total() + wanted.total()
        scores.append(2 * (said & wanted).total() / total if total else 1.0)
    return np.array(scores, np.float64)


class _NoWordNet:
    """Synonyms as METEOR asks for them: none."""

    def synsets(self, _: str) -> list[str]:
        return []


def meteor(answers: Sequence[str], references: Sequence[str]) -> Floats:
    """METEOR of each answer over words and their English stems: ``float64[N]``."""
    from nltk.translate.meteor_score import single_meteor_score

    scores = []
    for answer, reference in zip(answers, references, strict=True):
        said, wanted = (WORD.findall(normalise(text)) for text in (answer, reference))
        scores.append(single_meteor_score(wanted, said, wordnet=_NoWordNet()) if said and wanted else 0.0)
    return np.array(scores, np.float64)


def chrf(answers: Sequence[str], references: Sequence[str]) -> Floats:
    """chrF of each answer, 0 to 1: ``float64[N]``."""
    from sacrebleu.metrics import CHRF

    scorer = CHRF()
    pairs = zip(answers, references, strict=True)
    return np.array([scorer.sentence_score(a, [r]).score / 100 for a, r in pairs], np.float64)


class _Words:
    """Words of any script, as rouge-score asks for them."""

    def tokenize(self, text: str) -> list[str]:
        return WORD.findall(normalise(text))


def rouge(answers: Sequence[str], references: Sequence[str]) -> dict[str, Floats]:
    """F-measures of one word, of two and of the longest common subsequence, by name: ``float64[N]`` each."""
    from rouge_score.rouge_scorer import RougeScorer

    names, words = ("rouge1", "rouge2"), _Words()
    scorer = RougeScorer(list(names), tokenizer=words)
    pairs = list(zip(answers, references, strict=True))
    scored = [scorer.score(r, a) for a, r in pairs]
    found = {name: np.array([s[name].fmeasure for s in scored], np.float64) for name in names}
    longest = [_rouge_l(words.tokenize(a), words.tokenize(r)) for a, r in pairs]
    return {**found, "rougeL": np.array(longest, np.float64)}


def _rouge_l(said: list[str], wanted: list[str]) -> float:
    """F-measure of the longest common subsequence."""
    if not said or not wanted:
        return 0.0
    common = subsequence(said, wanted)
    precision, recall = common / len(said), common / len(wanted)
    return 2 * precision * recall / (precision + recall) if common else 0.0


def subsequence(first: Sequence[str], second: Sequence[str]) -> int:
    """Length of the longest common subsequence, 64 places of `first` at a time: rouge-score's own takes 3.5 s
    for answers of 5,000 words. Source: Hyyro 2004, bit-parallel LCS-length computation revisited.
    """
    places: dict[str, int] = {}
    for at, word in enumerate(first):
        places[word] = places.get(word, 0) | 1 << at
    free = whole = (1 << len(first)) - 1
    for word in second:
        matched = free & places.get(word, 0)
        free = ((free + matched) | (free - matched)) & whole
    return len(first) - free.bit_count()


def bleu_counts(answers: Sequence[str], references: Sequence[str], tokenize: str = "13a") -> Floats:
    """What BLEU needs of each pair: matched and all n-grams by order, and both lengths, ``float64[N, 10]``.

    `tokenize` is sacrebleu's name of a tokenizer: 13a, intl, char, zh, ...
    """
    from sacrebleu.metrics import BLEU

    scorer = BLEU(tokenize=tokenize, max_ngram_order=ORDER)
    rows = []
    for answer, reference in zip(answers, references, strict=True):
        score = scorer.corpus_score([answer], [[reference]])
        rows.append([*score.counts, *score.totals, score.sys_len, score.ref_len])
    return np.array(rows, np.float64).reshape(-1, 2 * ORDER + 2)


def bleu_bounds(base: Floats, tuned: Floats) -> tuple[Floats, Floats]:
    """Counts of a sample as long as the mean of those given, with no n-gram right and with all."""
    mean = (base.mean(0) + tuned.mean(0)) / 2
    totals, length = mean[ORDER:-2], mean[-1:]
    worst, best = (np.concatenate([right, totals, length, length]) for right in (0 * totals, totals))
    return worst, best


def bleu(sums: Floats) -> Floats:
    """Corpus BLEU, 0 to 100, of summed counts, also weighted: ``float64[..., 10] -> float64[...]``."""
    from sacrebleu.metrics import BLEU

    whole = np.rint(sums.reshape(-1, 2 * ORDER + 2)).astype(np.int64)
    scores = [
        BLEU.compute_bleu(list(row[:ORDER]), list(row[ORDER:-2]), int(row[-2]), int(row[-1]), "exp").score
        for row in whole.tolist()
    ]
    return np.array(scores, np.float64).reshape(sums.shape[:-1])


def ratio(sums: Floats) -> Floats:
    """First sum over second: ``float64[..., 2] -> float64[...]``; nan where the second is 0."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(sums[..., 0] / sums[..., 1], np.float64)


def percent(sums: Floats) -> Floats:
    """`ratio`, of a hundred."""
    return 100 * ratio(sums)


def perplexity(sums: Floats) -> Floats:
    """exp of nats a token, of (nats, tokens): ``float64[..., 2] -> float64[...]``."""
    with np.errstate(over="ignore"):
        return np.exp(ratio(sums))


def mean_of(values: Floats) -> Floats:
    """Values as sums that `ratio` makes a mean of: ``float64[N] -> float64[N, 2]``."""
    return np.stack([values, np.ones_like(values)], axis=1)
