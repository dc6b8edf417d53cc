"""Texts from a seed whose near-duplicates are known by measurement.

A text is an array of word numbers (`Words`) in a vocabulary that is used by Zipf's law; an edit changes so
many of its places. `pairs_of` steers each pair to a similarity from .70 to .99, in turn by 8-byte windows and
by word 3-grams; what counts afterwards is the measured similarity of *all* pairs of rows, never what was
planted. `make_documents` is the large corpus for timing: documents of 1 to 2 KB, a tenth of them edits.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from headrace import kernels

Words = NDArray[np.int64]
Generator = np.random.Generator

LETTERS = {
    "latin": "etaoinshrdlucmfwypvbgkjqxz",
    "chinese": "".join(map(chr, range(0x4E00, 0x5200))),
    "arabic": "".join(map(chr, range(0x0627, 0x063B))),
    "hindi": "".join(map(chr, range(0x0915, 0x093A))),
}
VOCABULARY = 20_000
SPECIAL = 400  # the last words of a vocabulary: capitalised names, then dates


def vocabulary(seed: int, script: str) -> pa.Array:
    """``large_string[VOCABULARY]`` of distinct words by falling frequency, the short ones first."""
    rng = np.random.default_rng(seed)
    letters = np.array(list(LETTERS[script]))
    words: dict[str, None] = {}
    longest = 3 if script == "chinese" else 11
    while len(words) < VOCABULARY - 2 * SPECIAL:
        length = 1 + int(rng.integers(1, longest) * min(1, 0.2 + len(words) / 500))
        words["".join(rng.choice(letters, length))] = None
    while len(words) < VOCABULARY - SPECIAL:
        words["".join(rng.choice(letters, 2 if script == "chinese" else 7)).capitalize()] = None
    while len(words) < VOCABULARY:
        words[f"{rng.integers(1, 29)}.{rng.integers(1, 13)}.{rng.integers(1900, 2100)}"] = None
    return pa.array(list(words), pa.large_string())


def draw(rng: Generator, count: int) -> Words:
    """`count` words, the r-th most frequent about 1 / r as often as the first."""
    plain: Words = ((VOCABULARY - 2 * SPECIAL) ** rng.random(count)).astype(np.int64) - 1
    return plain


def write(rng: Generator, count: int) -> Words:
    """A text of `count` words, every ninth of them a date or one of the text's few names."""
    text = draw(rng, count)
    names = rng.integers(VOCABULARY - 2 * SPECIAL, VOCABULARY - SPECIAL, 5)
    places = np.flatnonzero(rng.random(count) < 0.12)
    dates = rng.integers(VOCABULARY - SPECIAL, VOCABULARY, len(places))
    text[places] = np.where(rng.random(len(places)) < 0.4, dates, rng.choice(names, len(places)))
    return text


def change_words(rng: Generator, text: Words, amount: int) -> Words:
    out = text.copy()
    places = rng.permutation(len(text))
    fresh = draw(rng, len(text))
    out[places[:amount]] = fresh[:amount]
    return out


def insert(rng: Generator, text: Words, amount: int) -> Words:
    """Up to four passages of new words."""
    places = np.sort(rng.integers(0, len(text) + 1, 4))
    return np.insert(text, np.resize(places, amount), draw(rng, 4 * len(text))[:amount])


def reorder(rng: Generator, text: Words, amount: int) -> Words:
    """`amount` passages of the text, in another order."""
    cuts = np.sort(rng.permutation(len(text) - 1)[:amount] + 1)
    pieces = np.split(text, cuts)
    return np.concatenate([pieces[place] for place in rng.permutation(len(pieces))])


def truncate(rng: Generator, text: Words, amount: int) -> Words:
    return text[: max(1, len(text) - amount)]


def change_dates(rng: Generator, text: Words, amount: int) -> Words:
    """Other dates, and where they do not suffice, dates where there were words."""
    out = text.copy()
    dates = rng.permutation(np.flatnonzero(text >= VOCABULARY - SPECIAL))
    places = np.concatenate([dates, np.setdiff1d(rng.permutation(len(text)), dates)])
    out[places[:amount]] = rng.integers(VOCABULARY - SPECIAL, VOCABULARY, len(text))[:amount]
    return out


def change_names(rng: Generator, text: Words, amount: int) -> Words:
    """Another name for a name, at all its places, then for the next; then names where there were words."""
    first, last = VOCABULARY - 2 * SPECIAL, VOCABULARY - SPECIAL
    to = np.concatenate(
        [np.arange(first), rng.permutation(np.arange(first, last)), np.arange(last, VOCABULARY)]
    )
    is_name = (text >= first) & (text < last)
    places = np.concatenate([np.argsort(np.where(is_name, text, VOCABULARY), kind="stable")])
    out = text.copy()
    chosen = places[:amount]
    out[chosen] = np.where(is_name[chosen], to[text[chosen]], rng.integers(first, last, len(chosen)))
    return out


Edit = Callable[[Generator, Words, int], Words]


class Kind(NamedTuple):
    script: str
    least: int  # words of a text
    most: int
    edits: tuple[Edit, ...]


PLAIN = (change_words, insert, truncate, reorder)
KINDS: dict[str, Kind] = {
    "word edits": Kind("latin", 150, 300, (change_words,)),
    "insertions": Kind("latin", 150, 300, (insert,)),
    "reordering": Kind("latin", 150, 300, (reorder,)),
    "truncation": Kind("latin", 150, 300, (truncate,)),
    "changed dates": Kind("latin", 150, 300, (change_dates,)),
    "changed names": Kind("latin", 150, 300, (change_names,)),
    "chains": Kind("latin", 150, 300, PLAIN),
    "chinese": Kind("chinese", 100, 300, PLAIN),
    "arabic": Kind("arabic", 80, 200, PLAIN),
    "hindi": Kind("hindi", 80, 200, PLAIN),
    "code": Kind("latin", 100, 250, PLAIN),
    "short": Kind("latin", 8, 40, PLAIN),
}
LANGUAGE = {"chinese": "zh", "arabic": "ar", "hindi": "hin_Deva"}  # else "en"; for tools that ask
CODE = (
    "def {}({}, {}):",
    "    {} = {}.{}(x)",
    "    if {} != {}[{}]:",
    "        return {} + {} * {}",
    "    for {} in {}({}):",
    "        {}({}, {}=True)",
)


def render(kind: str, words: pa.Array, text: Words) -> str:
    """The text of word numbers: sentences, Chinese clauses without spaces, or lines of code."""
    found = words.take(pa.array(text)).to_pylist()
    if kind == "code":
        lines = [found[at : at + 3] for at in range(0, len(found) - 2, 3)]
        return "\n".join(
            CODE[int(first) % len(CODE)].format(*line) for first, line in zip(text[::3], lines, strict=False)
        )
    # A word's number says where a clause ends, so that an edit moves no punctuation that it does not touch.
    space, comma, stop = ("", "，", "。") if kind == "chinese" else (" ", ", ", ". ")
    return "".join(
        word + (stop if number % 17 == 0 else comma if number % 11 == 0 else space)
        for word, number in zip(found, text, strict=True)
    ).strip()


def windows(text: str) -> set[bytes]:
    """The verifier's features: 8-byte windows of the folded text and the space behind it."""
    folded = (kernels.fold([text])[0].as_py() + " ").encode()
    return {folded[at : at + 8] for at in range(len(folded) - 7)}


def word_3grams(text: str) -> set[tuple[str, ...]]:
    """3-grams of words after folding; of characters where the words are Chinese."""
    folded = kernels.fold([text])[0].as_py()
    units = (
        [c for c in folded if c != " "]
        if any("\u4e00" <= c < "\u9fff" for c in folded)
        else folded.split(" ")
    )
    return {tuple(units[at : at + 3]) for at in range(max(1, len(units) - 2))}


def similarity(a: set[Any], b: set[Any]) -> float:
    return len(a & b) / max(1, len(a | b))


def steer(seed: int, text: Words, edit: Edit, target: float, features: Callable[[Words], set[Any]]) -> Words:
    """The least edited form of `text` whose similarity is at most `target`; edits are nested by amount."""
    original = features(text)
    least, most = 1, len(text) - 1
    while least < most:
        middle = (least + most) // 2
        if similarity(original, features(edit(np.random.default_rng(seed), text, middle))) <= target:
            most = middle
        else:
            least = middle + 1
    return edit(np.random.default_rng(seed), text, least)


def pairs_of(kind: str, pairs: int, seed: int) -> list[str]:
    """Rows of one kind: `pairs` texts with an edit of each, half as many that stand alone, some copies.

    For chains: every text with an edit of it, an edit of that, and an edit of that one.
    """
    script, least, most, edits = KINDS[kind]
    rng = np.random.default_rng(seed)
    words = vocabulary(seed, script)
    found: list[Words] = []
    for number in range(pairs):
        text = write(rng, int(rng.integers(least, most)))
        found.append(text)
        space = windows if number % 2 else word_3grams
        for _ in range(3 if kind == "chains" else 1):
            target = float(rng.uniform(0.86, 0.94) if kind == "chains" else rng.uniform(0.70, 0.99))
            edit = edits[int(rng.integers(len(edits)))]
            text = steer(
                int(rng.integers(2**32)), text, edit, target, lambda t, s=space: s(render(kind, words, t))
            )
            found.append(text)
    found += [write(rng, int(rng.integers(least, most))) for _ in range(pairs // 2)]
    found += [found[place] for place in rng.choice(len(found), pairs // 20, replace=False)]
    return [render(kind, words, found[place]) for place in rng.permutation(len(found))]


def templates(rows: int, seed: int) -> list[str]:
    """One form letter with one slot of one to three words."""
    rng = np.random.default_rng(seed)
    words = vocabulary(seed, "latin")
    head, tail = write(rng, 40), write(rng, 40)
    slots = [draw(rng, int(rng.integers(1, 4))) for _ in range(rows)]
    return [render("templates", words, np.concatenate([head, slot, tail])) for slot in slots]


def make_documents(count: int, seed: int, block: int = 20_000) -> tuple[pa.Array, NDArray[np.int64]]:
    """Texts of 1 to 2 KB, a tenth of them edits of another; and (original, edit) of those, ``int64[M, 2]``.

    Made by blocks of documents, so that memory stays at the texts themselves, twice.
    """
    words = vocabulary(seed, "latin")
    pieces, planted, done = [], [], 0
    while done < count:
        size = min(block, count - done)
        texts, pairs = _block(np.random.default_rng((seed, done)), words, size)
        pieces.append(texts)
        planted.append(pairs + done)
        done += size
    order = np.random.default_rng(seed).permutation(count)
    place = np.empty(count, np.int64)
    place[order] = np.arange(count)
    mixed = pa.concat_arrays(pieces).take(pa.array(order))
    return mixed, place[np.concatenate(planted)]


def _block(rng: Generator, words: pa.Array, count: int) -> tuple[pa.Array, NDArray[np.int64]]:
    edits = (change_words, insert, reorder, truncate, change_dates, change_names)
    near = count // 10
    lengths = rng.integers(190, 350, count - near)
    texts = np.split(write(rng, int(lengths.sum())), np.cumsum(lengths)[:-1])
    chosen = rng.choice(len(texts), near, replace=False)
    for original in chosen:
        amount = max(1, int(0.02 * len(texts[original])))
        texts.append(edits[int(rng.integers(len(edits)))](rng, texts[original], amount))
    ends = np.cumsum([0, *map(len, texts)])
    lists = pa.LargeListArray.from_arrays(ends, words.take(pa.array(np.concatenate(texts))))
    return pc.binary_join(lists, pa.scalar(" ", pa.large_string())), np.stack(
        [chosen, np.arange(count - near, count)], axis=1
    )
