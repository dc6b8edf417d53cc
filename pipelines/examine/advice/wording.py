"""How the texts of a source are written: what many of them share that single ones would not show."""

import re
from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

SAME, LABEL = 0.5, 0.9
OFTEN = 0.01, 3  # share of rows, and rows, that give an answer which is one of few, as labels are
LONG = 80  # bytes of an answer that may be cut off
FULL = 30, 20  # characters, and words, of a text that a limit may have cut
AT_LIMIT = 0.02, 10  # share of texts, and different ones, that are as long as the longest
NEAR, SPIKE = 5, 4  # lengths below it; how many times as many texts it has as one of these
SHORTER = 0.8, 0.02  # part of the most words; share of texts that have no more, where a limit cuts words
WITHIN = 0.6  # share of these that end within a sentence
SHORT, AGAIN, LABELS = 4, 3, 0.8  # words of a label; rows that give it; share of rows whose answer is one
HARDLY, SEVERAL, MANY = 5, 3, 0.8  # rows of a rare label; how many of them; share of labels that may be such
PROSE = 5  # words of most answers beside which "None" is none
# What an answer says that finds nothing, where something was asked for; and what stands in a blank field.
NOTHING = re.compile(
    r"\W*(?:none|null|n/?a|nothing|no|unknown|not found|empty|keine?s?|rien|aucune?|nada)?\W*", re.I
)
BLANK = re.compile(r"\W*(?:none|null|n/?a|todo|tbd|unknown|empty|no answer|not available)?\W*", re.I)
DIGITS = re.compile(r"\d")
BROKEN = re.compile(r"[a-z,]\s*\Z")
SENTENCE = re.compile(r"[.!?][\"')\]]*\s")
TAG = re.compile(
    r"</?(?:p|br|div|span|b|i|u|strong|em|ul|ol|li|h[1-6])\s*/?>|&(?:nbsp|amp|lt|gt|quot|#\d{2,5});"
)
PAGE = re.compile(r"```|<html|<head|<body|<script|<style|<!doctype|\bclass=|\bdef |\bfunction\b", re.I)


def breaks_off(answer: str) -> bool:
    """Whether an answer of some sentences ends within one."""
    if len(answer) < LONG or not BROKEN.search(answer[-8:]):
        return False
    line = answer.rstrip().rpartition("\n")[2]
    return bool(SENTENCE.search(line) or (len(line) >= LONG and SENTENCE.search(answer)))


def one_answer(told: Sequence[str]) -> str | None:
    """The answer that too many rows give; None where there is none."""
    counts = Counter(told)
    common, times = counts.most_common(1)[0]
    least = max(OFTEN[0] * len(told), OFTEN[1])
    often = sum(n for answer, n in counts.items() if n >= least and answer != common)
    labels = often > LABEL * (len(told) - times)
    labels |= bool(NOTHING.fullmatch(common))
    return common if common.strip() and times > (LABEL if labels else SAME) * len(told) else None


def at_one_length(texts: Sequence[str]) -> NDArray[np.bool_]:
    """Which of N texts a limit cut, ``bool[N]``: many are as long as the longest, in characters or in words,
    and end within a sentence, each in another place."""
    words = np.array([len(text.split()) for text in texts])
    sizes = np.array([len(text) for text in texts])
    cut = _at_most(texts, np.where(words >= SHORT, sizes, 0), FULL[0])
    template = np.mean(words <= SHORTER[0] * words.max(initial=0)) < SHORTER[1]  # all are of as many words
    return cut if template else cut | _at_most(texts, words, FULL[1])


def _at_most(texts: Sequence[str], sizes: NDArray[np.int64], least: int) -> NDArray[np.bool_]:
    none = np.zeros(len(texts), np.bool_)
    longest = int(sizes.max(initial=0))
    full = sizes == longest
    different = {texts[at].rstrip() for at in np.flatnonzero(full).tolist()}
    below = np.count_nonzero((sizes < longest) & (sizes >= longest - NEAR)) / NEAR
    if longest < least or len(different) < max(AT_LIMIT[0] * len(texts), AT_LIMIT[1], SPIKE * below):
        return none
    lines = [text.rpartition("\n")[2].split() for text in different]
    within = [
        line[-1] for line in lines if len(line) >= SHORT and (line[-1][-1].isalnum() or line[-1][-1] == ",")
    ]
    ends = {DIGITS.sub("0", word) for word in within}  # a template ends in one of few words, or in a number
    return full if min(len(within), 2 * len(ends)) >= WITHIN * len(different) else none


def spelled(told: Sequence[str]) -> NDArray[np.bool_]:
    """Which of N answers are labels that most rows write in another way (``Refund.``): ``bool[N]``."""
    none = np.zeros(len(told), np.bool_)
    short = [len(text.split()) <= SHORT for text in told]
    if np.mean(short) < LABELS:
        return none
    keys = ["".join(c for c in text.casefold() if c.isalnum()) for text in told]
    counts = Counter(keys)
    label = [counts[key] >= AGAIN and few for key, few in zip(keys, short, strict=True)]
    if np.mean(label) < LABELS:
        return none
    written: dict[str, Counter[str]] = {}
    for key, text in zip(keys, told, strict=True):
        written.setdefault(key, Counter())[text.strip()] += 1
    common = {key: max(own, key=lambda text: (own[text], text)) for key, own in written.items()}
    odd = [at and text.strip() != common[k] for k, text, at in zip(keys, told, label, strict=True)]
    return np.array(odd, np.bool_)


def rare_label(told: Sequence[str]) -> NDArray[np.bool_]:
    """Which of N answers are one of several labels that hardly a row gives, where answers are labels."""
    keys = [text.strip() for text in told]
    counts = Counter(keys)
    own = [counts[key] for key in keys]
    short = np.mean([len(key.split()) <= SHORT for key in keys])
    few = {key for key, n in counts.items() if n < HARDLY}
    labels = len(few) < MANY * len(counts) and len(few) >= SEVERAL
    labelled = short >= LABELS and np.mean(np.array(own) >= HARDLY) >= LABELS and labels
    return np.array([key in few for key in keys] if labelled else [False] * len(told), np.bool_)


def blank(told: Sequence[str]) -> NDArray[np.bool_]:
    """Which of N answers say that there is none ("None", "N/A") where the others are texts: ``bool[N]``."""
    found = np.array([bool(text.strip()) and bool(BLANK.fullmatch(text)) for text in told], np.bool_)
    others = [len(text.split()) for text, none in zip(told, found, strict=True) if not none]
    return found if others and np.median(others) >= PROSE else np.zeros(len(told), np.bool_)


def tagged(told: Sequence[str]) -> NDArray[np.bool_]:
    """Which of N answers hold tags of HTML and are no code, where others hold none: ``bool[N]``."""
    found = [bool(TAG.search(text)) and not PAGE.search(text) for text in told]
    return np.array(found if not all(found) else [False] * len(told), np.bool_)
