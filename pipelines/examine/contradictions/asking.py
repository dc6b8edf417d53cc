"""Do two prompts ask the same? Prompts that are alike often do not: "5 plus 3" and "5 plus 4".

Why words and not a threshold: under one passage stand many questions, at a similarity of .95, and one number
or name makes another of each. So the words of two prompts must be the same, but for words of politeness,
articles, contractions, words that mean the same in any question (`synonyms`), and slips of the pen (a letter
more, fewer or another inside a word of five or more; doubled, or exchanged with the next, inside one of
four), one word in four at most. And they must stand in the same order, sentence by sentence in any order,
but for a clause that changed its place: of words beside each other in a sentence all but `MOVED` must be so
in the other as well, and half of them. Where a prompt lists answers to choose from, the same must stand at
each label. Other words are taken for another question: nothing is said then,
which is the safe side.

Cost: some 40 us a prompt, for those that `bags` or a search by sketches found alike to another.
"""

import re
from collections import Counter
from functools import lru_cache
from itertools import chain, pairwise

from headrace.pipelines.examine.contradictions import synonyms

Sentences = list[list[str]]

POLITE = re.compile(
    r"\b(?:(?:could|can|would|will) you (?:please |kindly )?(?:tell|answer|help|assist|explain|show)"
    r"(?: me| us)?"
    r"|(?:please |kindly )?(?:tell|answer|help|assist|aid) (?:me|us)(?: with| out)?(?: this| the following)?"
    r"(?: question)?"
    r"|i (?:would|d) (?:like|love) to know|i (?:wonder|was wondering|want to know|have a (?:quick )?question)"
    r"|please(?: answer)?(?: this| the following)?(?: question)?|kindly|quick question|(?:the )?following"
    r"|(?:many )?thanks(?: a lot)?(?: in advance)?|thank you(?: very much| so much| in advance)?|in advance"
    r"|(?:hi|hello|hey)(?: there)?|any help is appreciated|(?:be )?so kind as to(?: answer)?"
    r"|bitte|danke(?: schon)?|hallo|s il (?:vous|te) plait|merci|bonjour|por favor|gracias|hola"
    r"|per favore|grazie)\b"
    r"|请问|你好|谢谢|麻烦你?告诉我|劳驾|多谢|我想知道|请告诉我"
)
MANNERS = sorted(set(re.findall(r"[a-z]{4,}", POLITE.pattern)))
ASKED_FOR = re.compile(
    r"\A *(?:say|state|find out|work out|determine|calculate|compute|figure out"
    r"|give(?: me)?(?: the)? answer(?: to)?)\b"
)
# Without one of these, or with nothing that joins words, there is nothing polite in ASCII.
COURTEOUS = frozenset(
    word
    for line in (
        "tell answer help assist explain show aid know wonder wondering question please kindly quick",
        "following thanks thank advance hi hello hey appreciated kind bitte danke hallo plait merci bonjour",
        "por gracias hola per grazie",
    )
    for word in line.split()
)
JOINED = re.compile(r"[/*+=<>%$]")
ARTICLES = frozenset(["a", "an", "the", "to"])
# What stands for a contraction; before it what must be there, which is found sooner.
APART = (
    (re.compile(r"n t\b"), re.compile(r"\bwo n t\b|\bwon t\b"), "will not"),
    (re.compile(r"n t\b|cannot"), re.compile(r"\bca n t\b|\bcan t\b|\bcannot\b"), "can not"),
    (re.compile(r"n t\b"), re.compile(r"n t\b"), " not"),
    (
        re.compile(r" s\b"),
        re.compile(r"\b(what|who|where|it|he|she|that|there|how|here) s\b"),
        r"\1 is",
    ),
    (re.compile(r"i m\b"), re.compile(r"\b(i) m\b"), r"\1 am"),
    (re.compile(r" re\b"), re.compile(r"\b(you|they|we) re\b"), r"\1 are"),
)
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
CONTRACTED = re.compile(r"n t\b|cannot| (?:s|re)\b|i m\b")  # any sign of `APART`
SENTENCE = re.compile(r"[.?!:;]+(?:\s|$)|[。？！；：\n]+")
APOSTROPHE, OTHERS = re.compile(r"['’`]"), re.compile(r"[^\w.,%$€£/*+=<>\n -]+|(?<!\d)[.,-]|[.,-](?!\d)")
OPTION = re.compile(
    r"(?:^|(?<=\s))\(?(?:[A-Ha-h]|\d|(?:answer|option|choice|solution|ending|statement) ?\d)[).:](?=\s)", re.I
)
SLIP = 5  # letters of a word that may hold a slip of the pen
VOWEL = re.compile(r"[aeiouy]|[^a-z]")
LONG = 12  # words of a long prompt
PASSAGE = 200  # characters of a prompt that may share whole sentences with another
ENDS = (". ", "? ", "! ", ": ", "; ", "\n")  # of sentences, as `SENTENCE` has them
ALONE = 1  # words beside politeness that say nothing: "hi Ann" and "thank you, Ann" are what they are by it
MOVED = 1  # pairs of words that no longer stand beside each other where a clause has changed its place


@lru_cache(maxsize=1 << 14)  # prompts that are equal when folded come with the same others
def same_question(a: str, b: str) -> bool:
    """Whether two prompts ask the same, as the module says it."""
    if min(len(a), len(b)) >= PASSAGE and _other_rest(*_unshared(a, b)):
        return False
    left, right = _sentences(a), _sentences(b)
    size = sum(map(len, left))
    if a.isascii() and size <= ALONE and _spoken(a) != _spoken(b):
        return False
    if left == right:
        return _same_options(options(a), options(b), {})
    if size != sum(map(len, right)):
        return False
    named = _named(_counted(a), _counted(b))
    if named is None:
        return False
    if not _same_options(options(a), options(b), named):
        return False
    own, other = (_beside([[named.get(w, w) for w in words] for words in side]) for side in (left, right))
    # Where a mark between sentences is another, or none, there are more pairs or fewer.
    most = MOVED + abs(len(left) - len(right))
    lost, more = (own - other).total(), (other - own).total()
    return max(lost, more) <= min(most, max(own.total(), other.total()) / 2)


def _unshared(a: str, b: str) -> tuple[str, str]:
    """What is left of two prompts without the sentences that both begin with, and that both end with."""
    begin = _ended(a, _common(a, b))
    a, b = a[begin:], b[begin:]
    same = _common(a[::-1], b[::-1])
    ends = [at + len(end) for end in ENDS if (at := a.find(end, len(a) - same)) >= 0]
    more = len(a) - min(ends, default=len(a))
    return a[: len(a) - more], b[: len(b) - more]


def _common(a: str, b: str) -> int:
    """How many characters two texts begin with alike: by halves, as comparing slices costs little."""
    least, most = 0, min(len(a), len(b))
    while least < most:
        middle = (least + most + 1) // 2
        if a[least:middle] == b[least:middle]:
            least = middle
        else:
            most = middle - 1
    return least


def _ended(text: str, most: int) -> int:
    """Where the last sentence ends that lies in the first `most` characters, 0 where none does."""
    return max(0, *(at + len(end) for end in ENDS if (at := text.rfind(end, 0, most)) >= 0), 0)


def _other_rest(a: str, b: str) -> bool:
    """Whether two prompts that share all other sentences ask something else: what both have cancels out."""
    left, right = _sentences(a), _sentences(b)
    if sum(map(len, left)) != sum(map(len, right)):
        return True
    own, other = _counted(a), _counted(b)
    rest = _beyond(own, other)
    return any(not any(_is_word(word, w, True) for w in rest) for word in _beyond(other, own))


def _spoken(text: str) -> list[str]:
    """All words of a prompt, politeness among them."""
    return sorted(OTHERS.sub(" ", APOSTROPHE.sub(" ", text.casefold())).split())


@lru_cache(maxsize=4096)
def options(text: str) -> dict[str, str]:
    """Each of the answers to choose from, by its label; none where a prompt lists none."""
    marks = list(OPTION.finditer(text))
    ends = [*(mark.start() for mark in marks), len(text)][1:]
    found = {
        mark[0].strip(" \n().:").casefold(): text[mark.end() : end]
        for mark, end in zip(marks, ends, strict=True)
    }
    return found if len(found) > 1 else {}


def _same_options(a: dict[str, str], b: dict[str, str], named: dict[str, str]) -> bool:
    """Whether the same stands at each label: in another order the answer to the same question is another."""
    left, right = ({k: text.strip().partition("\n")[0].strip() for k, text in o.items()} for o in (a, b))
    if left == right or sorted(left.values()) == sorted(right.values()):
        return left == right  # "5 + (2 x 3)" and "(5 + 2) x 3" have the same words
    words = [
        {k: sorted(named.get(w, w) for line in _sentences(o[k]) for w in line) for k in list(o)[:-1]}
        for o in (a, b)
    ]
    return a.keys() == b.keys() and all(words[0][k] == words[1][k] for k in words[0].keys() & words[1].keys())


@lru_cache(maxsize=1 << 15)
def _counted(text: str) -> Counter[str]:
    """How often each word stands in a prompt."""
    return Counter(chain.from_iterable(_sentences(text)))


def _named(own: Counter[str], other: Counter[str]) -> dict[str, str] | None:
    """One name for words of either side that are each other but for a slip of the pen; None where words
    differ otherwise."""
    size, names = own.total(), dict[str, str]()
    if size != other.total():
        return None
    rest = _beyond(own, other)
    if len(rest) > max(2, size / 4):
        return None
    long, more = size >= LONG, _beyond(other, own)
    for word in more:
        same = next((w for w in rest if _is_word(word, w, long)), None)
        if same is None:
            return None
        name = min(names.get(word, word), names.get(same, same))
        names |= {word: name, same: name}
        rest.remove(same)
    return names


def _beyond(own: Counter[str], other: Counter[str]) -> list[str]:
    """Words of one side, as often as the other has them less often: quicker than counters' own difference."""
    return [w for w, n in own.items() if n > other.get(w, 0) for _ in range(n - other.get(w, 0))]


def _is_word(a: str, b: str, long: bool) -> bool:
    """Whether one is the other with a slip of the pen, or a word that may stand for the other with one."""
    return is_slip(a, b, long) or any(
        is_slip(x, word, long) for x, y in ((a, b), (b, a)) for word in synonyms.WORDS.get(y, ())
    )


def _beside(sentences: Sentences) -> Counter[tuple[str, str]]:
    """Pairs of words that stand beside each other."""
    return Counter(pair for words in sentences for pair in pairwise(words))


@lru_cache(maxsize=1 << 15)  # a prompt is in three pairs, which stand apart from each other
def _sentences(text: str) -> Sentences:
    """Words of each sentence that say something, in a fixed order of sentences."""
    whole = APOSTROPHE.sub(" ", text.casefold())
    if CONTRACTED.search(whole):
        for sign, pattern, apart in APART:
            if sign.search(whole):
                whole = pattern.sub(apart, whole)
    return sorted(filter(None, map(_sentence, SENTENCE.sub("\n", whole).split("\n"))))


def size(text: str) -> int:
    """How many words of a prompt say something: as many as in any other that asks the same."""
    return sum(map(len, _sentences(text)))


@lru_cache(maxsize=1 << 16)  # one passage stands in many prompts
def _sentence(line: str) -> list[str]:
    """Words of a sentence that say something."""
    plain = line if line.replace(" ", "").isalnum() else OTHERS.sub(" ", line)
    words = list(map(_mended, plain.split()))
    said = " ".join(words)
    if not (line.isascii() and COURTEOUS.isdisjoint(words)) or JOINED.search(line):
        said = POLITE.sub(" ", said)
    asked_for = ASKED_FOR.match(said)
    words = said[asked_for.end() :].split() if asked_for else said.split()
    return [word for word in synonyms.put(words) if word not in ARTICLES]


@lru_cache(maxsize=1 << 16)
def _mended(word: str) -> str:
    """A word of politeness, where `word` is one with a slip of the pen."""
    if word in MANNERS:
        return word
    # A slip is inside a word: it begins as it should.
    return next((polite for polite in MANNERS if polite[0] == word[0] and is_slip(word, polite)), word)


def slips(word: str) -> list[str]:
    """All that `word` may be with a slip of the pen: what `is_slip` says of it in a long prompt."""
    if len(word) < SLIP - 2 or not word.isalpha() or word in NUMBERS:
        return []
    inside, letters = range(1, len(word)), "abcdefghijklmnopqrstuvwxyz"
    found = {
        more for at in inside for c in letters if not (more := word[:at] + c + word[at:]).startswith(word)
    }
    if len(word) >= SLIP - 1:
        found |= {less for at in inside if not word.startswith(less := word[:at] + word[at + 1 :])}
        found |= {word[:at] + word[at + 1] + word[at] + word[at + 2 :] for at in inside[:-1]}
    if len(word) >= SLIP:
        found |= {word[:at] + c + word[at + 1 :] for at in inside[:-1] for c in letters}
    return sorted(found - {word} - NUMBERS)


def is_slip(a: str, b: str, long: bool = False) -> bool:
    """Whether two different words are one, but for a slip of the pen inside it. long: they stand in long
    prompts whose other words are the same, where a letter left out of a short word counts too."""
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
        doubled, unspoken = longer[at] == longer[at - 1], not VOWEL.search(shorter)
        return more and (long or doubled or unspoken or len(longer) > SLIP)
    if longer[at + 2 :] == shorter[at + 2 :] and longer[at : at + 2] == shorter[at : at + 2][::-1]:
        return True
    return len(longer) >= SLIP and at < len(longer) - 1 and longer[at + 1 :] == shorter[at + 1 :]
