"""Do two prompts ask the same? Prompts that are alike often do not: "5 plus 3" and "5 plus 4".

Why words and not a threshold: under one passage stand many questions, at a similarity of .95, and one number
or name makes another of each. So the words of two prompts must be the same, sentence by sentence in any
order, but for words of politeness, articles, contractions, and slips of the pen (a letter more, fewer or
another inside a word of five or more; doubled, or exchanged with the next, inside one of four). Other words
for the same are taken for another question: nothing is said then, which is the safe side.

Cost: some 60 us a prompt, for those that a search by sketches found alike to another.
"""

import re
from collections.abc import Sequence
from functools import lru_cache

POLITE = re.compile(
    r"\b(?:(?:could|can|would|will) you (?:please |kindly )?(?:tell|answer|help|explain|show)(?: me| us)?"
    r"|(?:please |kindly )?(?:tell|answer|help) (?:me|us)(?: with| out)?(?: this| the following)?"
    r"(?: question)?"
    r"|i (?:would|d) (?:like|love) to know|i (?:wonder|was wondering|want to know|have a (?:quick )?question)"
    r"|please(?: answer)?(?: this| the following)?(?: question)?|kindly|quick question|(?:the )?following"
    r"|(?:many )?thanks(?: a lot)?(?: in advance)?|thank you(?: very much| so much| in advance)?|in advance"
    r"|(?:hi|hello|hey)(?: there)?|any help is appreciated|(?:be )?so kind as to(?: answer)?"
    r"|bitte|danke(?: schon)?|hallo|s il (?:vous|te) plait|merci|bonjour|por favor|gracias|hola"
    r"|per favore|grazie)\b"
    r"|请问|你好|谢谢|麻烦你?告诉我|劳驾|多谢|我想知道|请告诉我"
)
ASKED_FOR = re.compile(
    r"^(?:say|state|find out|work out|determine|calculate|compute|figure out"
    r"|give(?: me)?(?: the)? answer(?: to)?)\b"
)
ARTICLES = frozenset(["a", "an", "the", "to"])
APART = (
    (re.compile(r"\bwo n t\b|\bwon t\b"), "will not"),
    (re.compile(r"\bca n t\b|\bcan t\b|\bcannot\b"), "can not"),
    (re.compile(r"n t\b"), " not"),
    (re.compile(r"\b(what|who|where|it|he|she|that|there|how|here) s\b"), r"\1 is"),
    (re.compile(r"\b(i) m\b"), r"\1 am"),
    (re.compile(r"\b(you|they|we) re\b"), r"\1 are"),
)
APARTABLE = re.compile(r"n t\b| s\b| m\b| re\b|cannot")  # without it none of `APART` is there
NUMBERS = frozenset(
    [
        "one",
        "two",
        "three",
        "four",
        "five",
        "six",
        "seven",
        "eight",
        "nine",
        "ten",
        "eleven",
        "twelve",
        "twenty",
        "thirty",
        "forty",
        "fifty",
        "sixty",
        "seventy",
        "eighty",
        "ninety",
        "hundred",
        "thousand",
        "million",
        "half",
        "third",
        "quarter",
    ]
)
SENTENCE = re.compile(r"[.?!:;]+(?:\s|$)|[。？！；：\n]+")
APOSTROPHE, OTHERS = re.compile(r"['’`]"), re.compile(r"[^\w.,%$€£/*+=<>-]+|(?<!\d)[.,-]|[.,-](?!\d)")
SLIP = 5  # letters of a word that may hold a slip of the pen


def same_question(a: str, b: str) -> bool:
    """Whether two prompts ask the same, as the module says it."""
    left, right = _sentences(a), _sentences(b)
    if left == right:
        return True
    if len(left) != len(right):
        # Another mark between sentences: their words one after the other must do.
        left, right = ([[w for s in part for w in s]] for part in (left, right))
    rest = list(right)
    for sentence in left:
        if sentence in rest:
            rest.remove(sentence)
            continue
        slip = next((other for other in rest if _alike(sentence, other)), None)
        if slip is None:
            return False
        rest.remove(slip)
    return not rest


@lru_cache(maxsize=1 << 15)  # a prompt is in three pairs, which stand apart from each other
def _sentences(text: str) -> list[list[str]]:
    """Words of each sentence that say something."""
    whole = APOSTROPHE.sub(" ", text.casefold())
    for pattern, apart in APART if APARTABLE.search(whole) else ():
        whole = pattern.sub(apart, whole)
    found = []
    for sentence in SENTENCE.split(whole):
        folded = POLITE.sub(" ", " ".join(OTHERS.sub(" ", sentence).split())).strip()
        words = [word for word in ASKED_FOR.sub(" ", folded).split() if word not in ARTICLES]
        if words:
            found.append(words)
    return sorted(found)


def _alike(a: Sequence[str], b: Sequence[str]) -> bool:
    if len(a) != len(b):
        return False
    return all(x == y or is_slip(x, y) for x, y in zip(a, b, strict=True))


def is_slip(a: str, b: str) -> bool:
    """Whether two different words are one, but for a slip of the pen inside it."""
    longer, shorter = (a, b) if len(a) >= len(b) else (b, a)
    if len(shorter) < SLIP - 2 or len(longer) < SLIP - 1 or len(longer) - len(shorter) > 1 or a[0] != b[0]:
        return False
    if not (a.isalpha() and b.isalpha()) or a == a.upper() or a in NUMBERS or b in NUMBERS:
        return False  # a script without capitals writes whole words in a letter or two
    at = next((k for k, (x, y) in enumerate(zip(longer, shorter, strict=False)) if x != y), len(shorter))
    if at >= len(shorter):
        return False  # the ending alone: another form, as a plural is
    if len(longer) > len(shorter):
        more = longer[at + 1 :] == shorter[at:]
        return more and (len(longer) > SLIP or longer[at] == longer[at - 1])
    if longer[at + 2 :] == shorter[at + 2 :] and longer[at : at + 2] == shorter[at : at + 2][::-1]:
        return True
    return len(longer) >= SLIP and at < len(longer) - 1 and longer[at + 1 :] == shorter[at + 1 :]
