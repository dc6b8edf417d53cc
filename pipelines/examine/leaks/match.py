"""Which texts hold which evaluation items.

An n-gram that is evidence (`index`) and stands in a text makes a candidate; the stretch of the text around
those of one item is then compared with the item word by word. A text holds an item by one of six rules:

- `whole`: all of a short item, of fewer than 13 words, in one piece;
- `ngram_13`: two n-grams of 13 words with evidence in them, as in GPT-3's and lm-evaluation-harness's
  definition, and `covered` of the item in runs of 3 words or more;
- `ngram_8`: two of 8 words, and as much of the item in such runs as `near` asks for;
- `near_short`, for what is asked in fewer than `SHORT` words, by a text that says little else: the longest
  common subsequence holds so much of both, of the item and of the text, that the harmonic mean of the shares
  is `BOTH`, or for the shortest `SHORTEST` + `SHORTEST_SHORTAGE` / words of the item; one n-gram that is
  evidence, under `ALONE` words two, or a mean of `SINGLE`. Where one of both alone denies what it asks
  (`DENIALS`), they ask the opposite;
- `near`, for items of 13 words and more: the longest common subsequence holds `alike` + `SHORTAGE` / words
  of the item: of a short one nearly all;
- `near_rare`, for what is asked in `RARE_WORDS` to `SHORT` words, also within a long text: an n-gram that is
  evidence stands in `FEW` rows of the corpus at most, and the longest common subsequence holds `alike` +
  `RARE` of the item, and `RAREST` + 1 / weight of what it holds: four ordinary words are no sign of an item,
  two rare ones are. Or a text that says little else is as much alike as `RARE_BOTH`, and what both hold
  weighs `HEAVY`. Not where one of both alone denies.

Shares are of the item's weight, to which rare words add more (`Index.weights`). The n-grams that are evidence
must cover `EVIDENCE` words, which takes two of them side by side (but where both are short: see above); what
many rows hold is none. An answer has to be longer than what is asked, and more of it must be there
(`ANSWER`): others come to the same.

Cost: see tests/benchmarks/leaks.csv; most texts hold no candidate and are only looked up.
Source: Brown et al. 2020, appendix C, https://arxiv.org/abs/2005.14165.
"""

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from headrace import kernels
from headrace.kernels import grams
from headrace.pipelines import arrays
from headrace.pipelines.examine.leaks.config import Config
from headrace.pipelines.examine.leaks.index import LONG, NEVER, PARTS, Index
from headrace.pipelines.examine.leaks.regions import FEW, Regions, blocks, by_itself, regions

RULES = ("whole", "ngram_13", "ngram_8", "near_short", "near", "near_rare")
NONE = len(RULES)
RUN = 3  # words in a row that an item and a text must share to count as covered
EVIDENCE = 6  # words
SHORTAGE = 3.6  # by words: how much more of a short item is asked for
ANSWER = 0.16  # how much more of an answer
BOTH, SHORTEST, SHORTEST_SHORTAGE = 0.61, 0.42, 2.5
ALONE = 16  # words of an item from which on one n-gram is enough where the whole text is alike
SINGLE = 0.72  # how much alike they must be where one is enough for a shorter item
RARE, RAREST, RARE_WORDS = (
    0.15,
    0.4,
    6,
)  # how much more than `alike`, and how much at least, of how many words
RARE_BOTH, HEAVY = 0.71, 1.5  # how much alike wholes must be where few rows hold an n-gram, and what weight
DENIALS = "not non no never without except nicht kein nie pas jamais sin nunca"
VERBATIM = 0.8  # share of a long entry that is a leak, however many rows hold its n-grams
RARELY = 2000  # an n-gram is common where more than one row in so many holds it

FOUND = pa.schema(
    [
        ("row", pa.int64()),
        ("entry", pa.int32()),
        ("share", pa.float64()),
        ("rule", pa.int8()),
        ("certain", pa.bool_()),  # whatever other rows hold
        ("rare", pa.float64()),  # share by which it is one if few rows hold an n-gram of it
        ("keys", pa.list_(pa.int32())),  # n-grams that are evidence
        ("places", pa.list_(pa.int32())),  # and at which of the item's words they begin
        ("sizes", pa.list_(pa.int32())),
    ]
)
HITS = pa.schema(
    [
        ("row", pa.int64()),
        ("item", pa.uint32()),
        ("share", pa.float64()),
        ("rule", pa.string()),
        ("part", pa.string()),
    ]
)


class Found(NamedTuple):
    """What texts hold, before it is known what many rows hold: `FOUND`, and rows by n-gram (key, rows)."""

    pairs: pa.Table
    counts: pa.Table


class Measured(NamedTuple):
    """M candidates: their text and entry int64[M], rule int8[M], share float64[M]; rare float64[M]: the share
    that makes it one by `near_rare`, or 0; which of the entry's words begin an n-gram that is evidence and
    stands in the text: pair int64[P] (which of the M), word int64[P]."""

    text: NDArray[np.int64]
    entry: NDArray[np.int64]
    rule: NDArray[np.int8]
    share: NDArray[np.float64]
    rare: NDArray[np.float64]
    pair: NDArray[np.int64]
    word: NDArray[np.int64]


def find(prompts: pa.Array, answers: pa.Array, index: Index, config: Config) -> pa.Table:
    """Which rows hold which items: `HITS`, sorted by row and item.

    prompts, answers: two sides of the same rows, strings; both parts of an item are looked for in both.
    share: how much of the item's part stands in the row, as its rule counts it.
    """
    texts = pa.concat_arrays([side.cast(pa.large_string()).fill_null("") for side in (prompts, answers)])
    found = search(grams.words(kernels.fold(texts)), np.tile(np.arange(len(prompts)), 2), index, config)
    held = np.zeros(len(index.table.keys), np.int64)
    add(held, found.counts)
    return hits(settled(found.pairs, held, len(prompts), index, config), index)


def search(words: grams.Words, rows: NDArray[np.int64], index: Index, config: Config) -> Found:
    """Pairs of rows and entries, and how many rows hold each n-gram.

    words: of N texts, folded; rows int64[N]: the row of each, of which several texts may be one row's.
    """
    seen = grams.lookup(words, index.table)
    span = int(rows.max(initial=0)) + 1
    held = np.sort(seen.key * span + rows[seen.row])
    held = held[np.append(True, np.diff(held) != 0)[: len(held)]] // span  # each n-gram of a row once
    first = np.flatnonzero(np.append(True, np.diff(held) != 0)[: len(held)])
    counts = np.diff(np.append(first, len(held)))
    by_key = pa.table({"key": pa.array(held[first], pa.int32()), "rows": pa.array(counts, pa.int64())})
    few = np.ones(len(index.table.keys), np.bool_)
    few[held[first[counts > FEW]]] = False
    parts = blocks(regions(words, seen, few, index), index)
    promising = (_promising(words, part, index, config) for part in parts)
    pairs = (_pairs(verify(words, part, index, config), rows, index) for part in promising)
    return Found(pa.concat_tables([FOUND.empty_table(), *pairs]), by_key)


def _promising(words: grams.Words, regions: Regions, index: Index, config: Config) -> Regions:
    """`regions` without those of a single n-gram that hold too little of their entry: nearly all of these."""
    lonely = np.flatnonzero(regions.lonely)
    keep = np.ones(len(regions.text), np.bool_)
    keep[lonely] = _aligned(words, regions.of(lonely), index).alike >= min(config.alike + RARE, 1.0)
    return regions.of(keep)


def _aligned(words: grams.Words, regions: Regions, index: Index) -> grams.Aligned:
    base = words.offsets[regions.text]
    begin, end = base + regions.begin, base + regions.end
    return grams.alignment(index.words, index.weights, words, regions.entry, begin, end)


def verify(words: grams.Words, regions: Regions, index: Index, config: Config) -> Measured:
    """Candidates compared with their entries word by word; those that no rule fits have rule `NONE`."""
    text, entry = regions.text, regions.entry
    aligned = _aligned(words, regions, index)
    lengths = index.lengths[entry]
    ends = arrays.offsets(lengths)
    owner = np.repeat(np.arange(len(entry)), lengths)
    word = np.repeat(index.words.offsets[entry] - ends[:-1], lengths) + np.arange(ends[-1])
    reach = aligned.reach.astype(np.int64)
    held = np.flatnonzero(reach >= index.rare[word])  # NEVER is longer than what counts
    held = held[index.rare[word[held]] != NEVER]

    def count(of_words: NDArray[Any]) -> NDArray[np.float64]:
        counted: NDArray[np.float64] = np.bincount(owner, of_words, minlength=len(entry)).astype(np.float64)
        return counted

    # An n-gram is evidence where it has a shorter one in it that is.
    ends_of = _next(held, held + index.rare[word[held]], len(reach))
    at = np.arange(len(reach))
    runs = {size: count((reach >= size) & (ends_of <= at + size)) for size in (8, LONG)}
    weight = index.weights[word].astype(np.float64)
    inside = _covered(np.flatnonzero(reach >= RUN), reach[reach >= RUN], len(reach))
    covered = count(inside * weight) / np.maximum(count(weight), 1e-9)
    alike = ~_opposite(words, text, entry, index)
    shares = {
        "covered": covered,
        "near": aligned.alike * alike,
        "near_short": _of_both(words, text, aligned, index, entry) * alike,
    }
    rule, share = _ruled(aligned, runs, shares, index, entry, config)
    rare = _rare(words, regions, aligned.alike, shares["near_short"], count(weight), index, config)
    return Measured(text, entry, rule, share, rare, owner[held], word[held])


def _rare(
    words: grams.Words,
    regions: Regions,
    alike: NDArray[np.float64],
    both: NDArray[np.float64],
    weight: NDArray[np.float64],
    index: Index,
    config: Config,
) -> NDArray[np.float64]:
    """Share of a short item that each region holds if few rows have what they share; 0 where that is no leak.

    both: harmonic mean where item and text are compared as wholes, weight: of the item, float64[M].
    """
    held = np.maximum(alike * weight, 1e-9)
    within: NDArray[np.bool_] = index.asked[regions.entry] & (index.lengths[regions.entry] >= RARE_WORDS)
    within &= alike >= np.maximum(min(config.alike + RARE, 1.0), RAREST + 1 / held)
    likely = regions.of(np.flatnonzero(within))
    base, own = words.offsets[likely.text], index.words.offsets
    theirs = _denying(words.hashes, base + likely.begin, base + likely.end)
    within[within] = theirs == _denying(index.words.hashes, own[likely.entry], own[likely.entry + 1])
    alone = (both >= RARE_BOTH) & (held >= HEAVY)
    return np.where(within, alike, np.where(alone, both, 0.0))


def _of_both(
    words: grams.Words,
    text: NDArray[np.int64],
    aligned: grams.Aligned,
    index: Index,
    entry: NDArray[np.int64],
) -> NDArray[np.float64]:
    """Harmonic mean of the shares of short items and of the texts that they stand in; 0 for all others."""
    lengths, sizes = index.lengths[entry], np.diff(words.offsets)[text]
    short = np.flatnonzero(by_itself(words, text, entry, index) & (aligned.alike > 0))
    ends = arrays.offsets(sizes[short])
    places = np.repeat(words.offsets[text[short]] - ends[:-1], sizes[short]) + np.arange(ends[-1])
    own = grams.Words(ends, words.hashes[places])
    begin = index.words.offsets[entry[short]]
    numbers = np.arange(len(short))
    weights = _weights_of(own.hashes, index)
    back = grams.alignment(own, weights, index.words, numbers, begin, begin + lengths[short])
    both = np.zeros(len(entry))
    one, other = aligned.alike[short], back.alike
    both[short] = 2 * one * other / np.maximum(one + other, 1e-9)
    return both


def _opposite(
    words: grams.Words, text: NDArray[np.int64], entry: NDArray[np.int64], index: Index
) -> NDArray[np.bool_]:
    """Whether a text and a short item that is all it asks differ by a word of `DENIALS`, ``bool[M]``."""
    opposite = by_itself(words, text, entry, index)
    short = np.flatnonzero(opposite)
    sides = ((words, text[short]), (index.words, entry[short]))
    asked, own = (_denying(w.hashes, w.offsets[of], w.offsets[of + 1]) for w, of in sides)
    opposite[short] = asked != own
    return opposite


@lru_cache(maxsize=1)
def _denials() -> NDArray[np.uint32]:
    """Hashes of words that make the opposite of what is asked."""
    return grams.words(kernels.fold(pa.array([DENIALS], pa.large_string()))).hashes


def _denying(
    hashes: NDArray[np.uint32], begin: NDArray[np.int64], end: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Which of M stretches of words hold one of `DENIALS`, ``bool[M]``."""
    sizes = end - begin
    denials = np.isin(hashes[arrays.ranges(begin, sizes)], _denials())
    return np.bincount(np.repeat(np.arange(len(begin)), sizes), denials, minlength=len(begin)) > 0


def _weights_of(hashes: NDArray[np.uint32], index: Index) -> NDArray[np.float32]:
    """Weights of words by their hashes: 1 for one that no item has."""
    if not len(index.known):
        return np.ones(len(hashes), np.float32)
    at = np.minimum(np.searchsorted(index.known, hashes), len(index.known) - 1)
    return np.where(index.known[at] == hashes, index.worth[at], np.float32(1))


def _next(begin: NDArray[np.int64], end: NDArray[np.int64], n: int) -> NDArray[np.int64]:
    """The least end of all n-grams that begin at each of n words or behind it, int64[n]."""
    least = np.full(n, np.iinfo(np.int64).max)
    least[begin] = end
    nearest: NDArray[np.int64] = np.minimum.accumulate(least[::-1])[::-1]
    return nearest


def _covered(begin: NDArray[np.int64], sizes: NDArray[np.int64], n: int) -> NDArray[np.bool_]:
    """Which of n words lie in a run of ``sizes`` words from ``begin`` on."""
    steps = np.bincount(begin, minlength=n + 1) - np.bincount(begin + sizes, minlength=n + 1)
    covered: NDArray[np.bool_] = np.cumsum(steps[:n]) > 0
    return covered


def _ruled(
    aligned: grams.Aligned,
    runs: dict[int, NDArray[np.float64]],
    shares: dict[str, NDArray[np.float64]],
    index: Index,
    entry: NDArray[np.int64],
    config: Config,
) -> tuple[NDArray[np.int8], NDArray[np.float64]]:
    """The first rule that fits each candidate, and the share of the item that it counts."""
    lengths, covered = index.lengths[entry], shares["covered"]
    answer = index.part[index.owned[entry]] == PARTS.index("answer")
    least = config.alike + SHORTAGE / np.maximum(index.telling[entry], 1) + np.where(answer, ANSWER, 0.0)
    least = np.minimum(least, 1.0)
    whole = (lengths < LONG) & (aligned.run >= lengths)
    long = (lengths >= LONG) & (runs[LONG] >= 2) & (covered >= np.where(answer, least, config.covered))
    quoted = (runs[8] >= 2) & (covered >= least)
    short = shares["near_short"] >= np.maximum(BOTH, SHORTEST + SHORTEST_SHORTAGE / np.maximum(lengths, 1))
    near = (lengths >= LONG) & (shares["near"] >= least)
    rules = [whole, long, quoted, short, near]
    rule = np.select(rules, range(len(rules)), NONE).astype(np.int8)
    counted = [rule == RULES.index(name) for name in ("near_short", "near")]
    return rule, np.select(counted, [shares["near_short"], shares["near"]], covered)


def _pairs(measured: Measured, rows: NDArray[np.int64], index: Index) -> pa.Table:
    """What fits a rule as `FOUND`."""
    fits = (measured.rule < NONE) | (measured.rare > 0)
    number = np.cumsum(fits) - 1
    held = fits[measured.pair]
    pair, word = number[measured.pair[held]], measured.word[held]
    entry = measured.entry[fits]
    offsets = pa.array(arrays.offsets(np.bincount(pair, minlength=len(entry))), pa.int32())
    lists = (index.key[word], word - index.words.offsets[entry][pair], index.rare[word])
    certain = (index.lengths[entry] >= LONG) & (measured.share[fits] >= VERBATIM)
    certain &= measured.rule[fits] < NONE
    columns = [rows[measured.text[fits]], entry, measured.share[fits], measured.rule[fits], certain]
    columns.append(measured.rare[fits])
    flat = [pa.ListArray.from_arrays(offsets, pa.array(values, pa.int32())) for values in lists]
    return pa.table([*columns, *flat], schema=FOUND)


def add(held: NDArray[np.int64], counts: pa.Table) -> None:
    """Add the counts of some texts (key, rows) to `held`, rows by n-gram, int64[K]."""
    held[counts["key"].to_numpy()] += counts["rows"].to_numpy()


def settled(pairs: pa.Table, held: NDArray[np.int64], rows: int, index: Index, config: Config) -> pa.Table:
    """`pairs` with evidence enough beside what many of the `rows` rows hold (`held`: rows by n-gram)."""
    common = held > max(config.common, rows // RARELY)
    entry = pairs["entry"].to_numpy()
    lengths = index.lengths[entry]
    keys, places, sizes = (
        pairs[name].combine_chunks().flatten().to_numpy() for name in ("keys", "places", "sizes")
    )
    owner = np.repeat(np.arange(len(entry)), _list_sizes(pairs["keys"]))
    good = ~common[keys]
    begin = arrays.offsets(lengths)[:-1][owner] + places
    n = int(lengths.sum())
    covered = _covered(begin[good], sizes[good].astype(np.int64), n)
    evidence = np.bincount(np.repeat(np.arange(len(entry)), lengths), covered, minlength=len(entry))
    rule = pairs["rule"].to_numpy()
    enough = evidence >= np.where(rule == RULES.index("whole"), 1, EVIDENCE)
    alone = (lengths >= ALONE) | (pairs["share"].to_numpy() >= SINGLE)
    several = np.bincount(owner[good], minlength=len(entry)) >= np.where(alone, 1, 2)
    enough = np.where(rule == RULES.index("near_short"), several, enough)
    enough |= pairs["certain"].to_numpy()
    enough &= rule < NONE
    few = np.bincount(owner[good & (held[keys] <= FEW)], minlength=len(entry)) > 0
    rare = pairs["rare"].to_numpy()
    by_rare = ~enough & few & (rare > 0)
    share = np.where(by_rare, rare, pairs["share"].to_numpy())
    told = np.where(by_rare, RULES.index("near_rare"), rule).astype(np.int8)
    pairs = pairs.set_column(2, "share", pa.array(share)).set_column(3, "rule", pa.array(told))
    return pairs.filter(pa.array(enough | by_rare))


def _list_sizes(lists: pa.ChunkedArray) -> NDArray[np.int64]:
    sizes: NDArray[np.int64] = np.diff(lists.combine_chunks().offsets.to_numpy()).astype(np.int64)
    return sizes


def hits(pairs: pa.Table, index: Index) -> pa.Table:
    """`pairs` as `HITS`: each row and item once, by the best rule."""
    entry = pairs["entry"].to_numpy()
    copies = np.diff(index.owned)[entry]
    at = np.repeat(index.owned[entry] - arrays.offsets(copies)[:-1], copies) + np.arange(copies.sum())
    spread = np.repeat(np.arange(len(entry)), copies)
    flat = pl.DataFrame(
        {
            "row": pairs["row"].to_numpy()[spread],
            "item": index.item[at],
            "share": pairs["share"].to_numpy()[spread],
            "rule": pairs["rule"].to_numpy()[spread],
            "part": index.part[at],
        }
    )
    best = flat.sort(
        ["row", "item", "rule", "part", "share"], descending=[False, False, False, False, True]
    ).unique(["row", "item"], keep="first", maintain_order=True)
    names = [
        pa.array(kinds).take(pa.array(best[c].to_numpy())) for c, kinds in (("rule", RULES), ("part", PARTS))
    ]
    return pa.table(
        [best["row"].to_numpy(), best["item"].to_numpy(), best["share"].to_numpy(), *names], schema=HITS
    )
