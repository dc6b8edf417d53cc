"""Can two answers to one question both be right? By what they conclude, not by how they say it.

- *final*: both name a result (behind ####, in a box, after "the answer is", or a number alone): two numbers
  contradict each other, 1,000 and 1000.0 do not.
- *yes_no*: both begin with yes or no (true or false), in one of several languages, and not with the same.
- *option*: both choose a letter of what the prompt lists; one that spells it out chooses it as well.
- *label*: both are answers that many rows give.
- *number*: the same words but for their numbers.
- *short*: a few words each, none in common but what the prompt says already.
- *swapped*: of two answers one row prefers the one, another row the other.
- *unlike*: longer texts with next to no word in common: reported, and no row goes by it.
- *other*: another answer that may be right as well; always so where the prompt carries no question of its
  own (`talk`), where it asks to invent, to list or to recommend, where it asks for what the one who answers
  has to offer, where an answer asks back, and where both are calls of a tool, which can be worded in many
  ways.

Cost: some 30 us a pair.
"""

import re
from decimal import Decimal
from functools import lru_cache
from typing import NamedTuple

from headrace.pipelines.examine.contradictions import asking, talk
from headrace.pipelines.examine.contradictions.talk import IDLE
from headrace.pipelines.stages.dedup.results import NEGATED, NUMBER, marked, number, opening, words

CONFLICTS = ("final", "yes_no", "option", "label", "number", "short", "swapped")  # kinds by which rows go
KINDS = (*CONFLICTS, "unlike", "other", "same")
OPENED = ("short", "number")  # kinds that are *other* where the question leaves open what is asked about
SHORT = 6  # words that say something, of an answer that is compared as a whole
COMMON = 0.5  # share of the shorter answer's words from which on two answers are the same
CACHED = 1 << 12  # texts whose words and the like are kept: pairs of one text come together
LITTLE = 0.1  # under which they have next to nothing in common

OPEN = re.compile(
    r"\b(?:write|compose|generate|create|invent|imagine|suggest|brainstorm|come up with|make up|draft|design|"
    r"recommend|describe|pretend|act as|role ?play|rewrite|rephrase|paraphrase|summari[sz]e|summary|"
    r"tell (?:me |us )?(?:a|an|some) |give (?:me |us )?(?:a|an|some|any|\d+|two|three|four|five) |"
    r"name (?:a|an|some|any|one|two|three|four|five|\d+)|list|poem|story|essay|joke|slogan|example|examples|"
    r"ideas?|tips|advice|opinion|favou?rite|random|schreibe?|erfinde|écris|rédige|escribe|inventa|propose)\b"
    r"|写一|编一|推荐|建议|举例|想象|描述"
)
# Two shops, two answers; "I would like to know" is politeness.
OFFERED = re.compile(
    r"\b(?:do|did) you (?:have|sell|offer|serve|carry|stock)\b"
    r"|\b(?:what|which|how many) [^.?!\n]{1,60} you (?:have|sell|offer|serve|carry|stock)\b"
    r"|\bi(?: would|['’]d) like (?!to know)|\bi(?: will|['’]ll) (?:have|take)\b|\bi want (?!to know)"
    r"|\b(?:can|could|may) i (?:please )?(?:have|get|order|see)\b"
)
BACK = re.compile(r"\s\S*\?\s*$|？\s*$")  # a label may end so, as one word
CALL = re.compile(r"\b[^\W\d]\w*\(\s*[\"'“‘]")  # search('...'), with a text in quotes
DRESS = re.compile(r"\A[\s*_`\"'“”]+|[\s*_`\"'“”]+\Z")  # around an answer: emphasis, quotation marks
ALONE = re.compile(r"\s*[$€£¥]?\s*(-?\d[\d,]*(?:\.\d+)?)\s*(?:%|[^\W\d]{1,12})?\s*\.?\s*")
LETTER = re.compile(r"\s*\(?([A-Ha-h])\)?\s*(?:[.:)]\s*.*)?", re.DOTALL)


class Said(NamedTuple):
    """What an answer concludes."""

    final: str | None
    yes: bool | None
    letter: str | None


def kind_of(prompt: str, a: str, b: str, labels: bool) -> str:
    """What sets two answers to `prompt` apart: one of `KINDS`. labels: both are answers of many rows."""
    if _words(a) == _words(b):
        return "same"
    left, right = concluded(a), concluded(b)
    if left.final is not None and right.final is not None:
        return _finals(left.final, right.final)
    if left.yes is not None and right.yes is not None:
        return "same" if left.yes == right.yes else "yes_no"
    if left.letter or right.letter:
        chosen = left.letter or _spelt(prompt, a), right.letter or _spelt(prompt, b)
        if all(chosen):
            return "same" if chosen[0] == chosen[1] else "option"
    if talk.only(prompt):
        return "other"
    asks_back = BACK.search(a) or BACK.search(b)
    if labels and not asks_back:
        return "label"
    kind = "other" if _asks(OPEN, prompt) else _free(prompt, a, b)
    called = CALL.search(a) and CALL.search(b)
    if kind != "same" and (asks_back or called or _asks(OFFERED, prompt)):
        return "other"
    return "other" if kind in OPENED and talk.unnamed(prompt) else kind


@lru_cache(maxsize=CACHED)
def _words(text: str) -> list[str]:
    """Words of a text that is in several pairs."""
    return words(text)


@lru_cache(maxsize=CACHED)
def _numbers(text: str) -> list[Decimal]:
    """Numbers of a text that is in several pairs, sorted."""
    return sorted(number(found) for found in NUMBER.findall(text))


@lru_cache(maxsize=CACHED)
def _asks(pattern: re.Pattern[str], prompt: str) -> bool:
    """Whether a prompt asks what a pattern says."""
    return bool(pattern.search(prompt.casefold()))


@lru_cache(maxsize=CACHED)
def concluded(answer: str) -> Said:
    """The result, the yes or no, or the letter that an answer comes to."""
    answer = DRESS.sub("", answer)
    final = marked(answer)
    if final is None and (alone := ALONE.fullmatch(answer)):
        final = alone[1]
    yes = opening(final if final is not None else answer)
    chosen = LETTER.fullmatch(final if final is not None else answer)
    letter = chosen[1].casefold() if chosen else None
    plain = final is not None and yes is None and letter is None
    return Said(final if plain else None, yes, letter)


def _spelt(prompt: str, answer: str) -> str | None:
    """The letter whose option in the prompt an answer spells out; None for none, or several."""
    said = set(_words(answer))
    listed = {letter: set(words(text)) - IDLE for letter, text in asking.options(prompt).items()}
    spelt = [letter for letter, option in listed.items() if option and option <= said]
    return spelt[0] if len(spelt) == 1 else None


def _finals(a: str, b: str) -> str:
    """Compare results: as numbers where each holds one, else as words."""
    numbers = [NUMBER.findall(text) for text in (a, b)]
    if all(len(found) == 1 for found in numbers):
        if ("%" in a) != ("%" in b):
            return "other"
        return "same" if number(numbers[0][0]) == number(numbers[1][0]) else "final"
    if any(numbers):
        return "same" if sorted(map(number, numbers[0])) == sorted(map(number, numbers[1])) else "other"
    left, right = set(words(a)) - IDLE, set(words(b)) - IDLE
    return "same" if left <= right or right <= left else "final" if not left & right else "other"


def _free(prompt: str, a: str, b: str) -> str:
    """Compare answers in free words: less what the prompt says already."""
    left, right = _words(a), _words(b)
    numbers = _numbers(a), _numbers(b)
    if numbers[0] != numbers[1] and all(numbers):
        bare = [[w for w in said if not any(c.isdigit() for c in w)] for said in (left, right)]
        if bare[0] and bare[0] == bare[1]:
            return "number"
    known = {*_words(prompt), *IDLE}
    own, other = set(left) - known, set(right) - known
    if bool(own & NEGATED) != bool(other & NEGATED) and own - NEGATED == other - NEGATED:
        return "yes_no"
    if not own or not other:
        return "other"
    share = len(own & other) / min(len(own), len(other))
    if share >= COMMON:
        return "same"
    if not own & other and max(len(own), len(other)) <= SHORT:
        return "short"
    return "unlike" if share < LITTLE else "other"
