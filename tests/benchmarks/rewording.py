"""Questions said otherwise: eight kinds of rewording by seeded rules, and slips of the pen.

What: `reworded(question, seed)` gives the question in other words; `KINDS` are the single rules. Each leaves
what is asked as it was, but for `swapped`, which exchanges names and numbers and keeps the question's form.
"""

import re
from collections.abc import Callable

import numpy as np

Draw = np.random.Generator
SYNONYMS = {
    "how many": ("what number of", "what is the count of"),
    "how much": ("what amount", "what sum"),
    "what is": ("what's", "tell me"),
    "which": ("what",),
    "total": ("overall", "combined"),
    "left": ("remaining",),
    "buys": ("purchases", "gets"),
    "bought": ("purchased", "got"),
    "makes": ("produces", "earns"),
    "made": ("produced", "earned"),
    "each": ("every", "every single"),
    "needs": ("requires",),
    "wants": ("would like", "wishes"),
    "begin": ("start",),
    "big": ("large",),
    "large": ("big",),
    "small": ("little",),
    "quickly": ("fast",),
    "people": ("persons",),
    "children": ("kids",),
    "gave": ("handed",),
    "has": ("owns", "possesses"),
    "twice": ("two times",),
    "half": ("50%",),
    "find": ("work out", "determine"),
    "explain": ("describe", "clarify"),
    "money": ("cash",),
    "car": ("automobile",),
    "also": ("too", "as well"),
    "because": ("since", "as"),
    "if": ("supposing", "provided that"),
    "often": ("frequently",),
    "help": ("assist",),
    "show": ("display",),
    "near": ("close to",),
    "job": ("work",),
}
FRAMES = (
    ("Could you please tell me: ", ""),
    ("Hi there! ", " Thanks in advance."),
    ("I would like to know the following. ", ""),
    ("Please answer this question. ", ""),
    ("", " Please be so kind as to answer."),
    ("Hello, I have a question: ", " Thank you!"),
    ("Quick question - ", ""),
    ("I wonder: ", " Any help is appreciated."),
)
CHINESE = {
    "推荐": ("介绍", "找"),
    "什么": ("啥", "哪些"),
    "怎么": ("如何",),
    "附近": ("周边", "旁边"),
    "酒店": ("宾馆",),
    "餐馆": ("饭馆", "餐厅"),
    "好的": ("行", "嗯"),
    "多少": ("几多",),
    "想": ("要",),
    "帮我": ("给我", "替我"),
}
CHINESE_FRAMES = (
    ("请问，", ""),
    ("你好，", ""),
    ("麻烦你告诉我：", ""),
    ("", "谢谢！"),
    ("我想知道，", ""),
    ("劳驾，", "多谢。"),
)
COMMANDS = ("Tell me ", "Say ", "Give me the answer: ", "State ", "Find out ", "Work out ")
CONTRACTIONS = {
    "what is": "what's",
    "do not": "don't",
    "does not": "doesn't",
    "did not": "didn't",
    "is not": "isn't",
    "it is": "it's",
    "cannot": "can't",
    "he is": "he's",
    "she is": "she's",
    "i am": "i'm",
    "they are": "they're",
    "who is": "who's",
    "that is": "that's",
    "there is": "there's",
    "will not": "won't",
}
NAMES = ("Anna", "Boris", "Clara", "Deniz", "Elif", "Farid", "Greta", "Hugo", "Irma", "Jonas", "Kofi", "Lena")
# What an answer in a format may end in that is not of it.
TAILS = (
    " I hope this helps!",
    "\n\nThis is what you asked for, with everything filled in.",
    "\nNote that some of the values may have to be changed.",
    " and then the rest of it",
    "\n\nLet me know if you need anything else.",
)


def is_chinese(text: str) -> bool:
    """Whether a text holds Chinese letters."""
    return any("\u4e00" <= letter <= "\u9fff" for letter in text)


def synonyms(text: str, draw: Draw) -> str:
    """Some words by words that mean the same."""
    for word, others in CHINESE.items() if is_chinese(text) else ():
        if draw.random() < 0.7:
            text = text.replace(word, others[int(draw.integers(len(others)))])
    for word, others in SYNONYMS.items():
        if draw.random() < 0.7:
            other = others[int(draw.integers(len(others)))]
            text = re.sub(rf"\b{word}\b", other, text, flags=re.IGNORECASE)
    return text


def order(text: str, draw: Draw) -> str:
    """The last clause first, or two sentences before the last one exchanged."""
    sentences = re.split(r"(?<=[.?!])\s+|(?<=[。？！])\s*", text.strip())
    sentences = [s for s in sentences if s]
    if len(sentences) > 1:
        at = int(draw.integers(len(sentences) - 1))
        sentences[at], sentences[at + 1] = sentences[at + 1], sentences[at]
        return " ".join(sentences)
    head, comma, tail = text.partition(", ")
    if comma:
        return f"{tail.rstrip('?.')}, {head}?"
    words = text.split()
    cut = int(draw.integers(1, max(2, len(words) // 2)))
    return " ".join([*words[-cut:], *words[:-cut]]) if len(words) > 3 else text


def frame(text: str, draw: Draw) -> str:
    """A word of politeness before or behind."""
    frames = CHINESE_FRAMES if is_chinese(text) else FRAMES
    before, behind = frames[int(draw.integers(len(frames)))]
    return f"{before}{text}{behind}"


def typos(text: str, draw: Draw) -> str:
    """A letter in some 5 of 100 words left out, doubled or exchanged with the next."""
    words = text.split(" ")
    for at, word in enumerate(words):
        if len(word) > 3 and word.isalpha() and draw.random() < 0.07:
            place, kind = int(draw.integers(1, len(word) - 1)), int(draw.integers(3))
            a, b = word[place], word[place + 1]
            words[at] = word[:place] + ("", a + a + b, b + a)[kind] + word[place + (1 if kind == 0 else 2) :]
    return " ".join(words)


def contractions(text: str, draw: Draw) -> str:
    """Written together or apart."""
    for long, short in CONTRACTIONS.items():
        if draw.random() < 0.5:
            text = re.sub(rf"\b{long}\b", short, text, flags=re.IGNORECASE)
        else:
            text = re.sub(rf"\b{short}\b", long, text, flags=re.IGNORECASE)
    return text


def case(text: str, draw: Draw) -> str:
    """Small letters, capitals, or capitals at the beginning of words."""
    return (text.lower(), text.upper(), text.title())[int(draw.integers(3))]


def command(text: str, draw: Draw) -> str:
    """What was asked, demanded."""
    if is_chinese(text):
        return ("请告诉我", "说说", "回答：")[int(draw.integers(3))] + text.rstrip("?？。")
    sentences = re.split(r"(?<=[.?!])\s+", text.strip())
    last = sentences[-1].rstrip("?")
    sentences[-1] = COMMANDS[int(draw.integers(len(COMMANDS)))] + last[:1].lower() + last[1:] + "."
    return " ".join(sentences)


def swapped(text: str, draw: Draw) -> str:
    """Other names and numbers in the same question."""
    found = sorted(set(re.findall(r"(?<=[a-z,] )[A-Z][a-z]{2,}", text)))
    for name in found:
        text = re.sub(rf"\b{name}\b", NAMES[int(draw.integers(len(NAMES)))], text)
    return re.sub(r"\d+", lambda m: str(int(draw.integers(2, 90))), text)


KINDS: dict[str, Callable[[str, Draw], str]] = {
    "synonyms": synonyms,
    "word order": order,
    "politeness": frame,
    "typos": typos,
    "contractions": contractions,
    "case": case,
    "question to command": command,
    "names and numbers": swapped,
}


def reworded(text: str, seed: int) -> str:
    """`text` by one to four kinds of rewording, drawn by `seed`."""
    draw = np.random.default_rng(seed)
    names = [*KINDS]
    chosen = sorted(draw.choice(len(names), int(draw.integers(1, 5)), replace=False))
    # Case last: other rules look at capitals.
    for at in sorted(chosen, key=lambda k: (names[k] == "case", k)):
        text = KINDS[names[at]](text, draw)
    return text
