"""Text to ids: the encoder of a Hugging Face tokenizer, by gigatoken where it gives the same ids.

Strings of special tokens are ordinary text here; whoever wants a special token puts its id. Two
engines give the same ids: gigatoken (over 100 MB/s a core) and `tokenizers` (4 MB/s a core); gigatoken
is held against the other on a sample when it is set up, and on rows of the run before pass 3 (`proof`).
Which one is used is settled then, once for all workers.
"""

import json
import random
import re
from collections.abc import Collection
from itertools import pairwise
from typing import Any

import numpy as np
import tokenizers
from numpy.typing import NDArray

from headrace.cluster.errors import ModelError
from headrace.pipelines import arrays
from headrace.pipelines.stages.tokenise.config import Engine as Engine

# A token of our own, ahead of a text that stands behind a special token, where that matters.
MARKER = "\ue002"
MIXED = 300  # made-up texts on which gigatoken must agree, besides `SAMPLES`
BYTE = re.compile("<0x[0-9A-F]{2}>")  # a byte that has no token of its own

# Texts on which engines, and cuts of a shape, must agree before they are used.
SAMPLES = (
    "Plain words, a number 1234567 and a date 2024-07-26.",
    "aB \"quoted\" \\ 'x' <b>&amp; {{ name }} {% if %}\n\ttabbed\r\n\r\nand   spaces",
    "Ünïcödé straße, e\u0301 combining, 漢字かな交じり文, Ελληνικά, العربية, हिन्दी, 👩‍👩‍👧 \u200b.",
    "def f(x):\n    return x ** 2  # don't\n\n\n\nif __name__ == '__main__':\n    print(f(3))",
    "a",
    "",
    "\n\nlines first",
    "don't won't I'LL we're   \t tail ",
)


class Encoder:
    """The encoder of `core` (a `tokenizers.Tokenizer`), without its special tokens.

    name: for messages; engine: "auto" takes gigatoken where it agrees on a sample; framing: added tokens that
    count as special, though nobody flagged them. `marker` is what must stand before a text that follows a
    special token (its one token is to be dropped), or empty.

    Raises: ModelError where gigatoken is asked for and does not agree.
    """

    def __init__(
        self, core: tokenizers.Tokenizer, name: str, engine: Engine, framing: Collection[str] = ()
    ) -> None:
        self.name = name
        self.state = json.loads(core.to_str())
        for token in self.state["added_tokens"]:
            token["special"] = token["special"] or token["content"] in framing
        self.state["truncation"] = self.state["padding"] = None
        self._core = self._neutral(marker=False)
        self.marker = b"" if self._same_everywhere(core) else MARKER.encode()
        if self.marker:
            self._core = self._neutral(marker=True)
        self.sizes, self.prefixed = self._sizes()
        self.warning: str | None = None
        self._fast: Any = None if engine == "tokenizers" else self._gigatoken()
        if engine == "gigatoken" and self._fast is None:
            raise ModelError(
                f"tokenise.engine is 'gigatoken', but for tokenizer {name!r} {self.warning}; use 'auto'"
            )

    @property
    def engine(self) -> str:
        """Which engine is in use."""
        return "tokenizers" if self._fast is None else "gigatoken"

    def encode(
        self, data: NDArray[np.uint8], offsets: NDArray[np.int64]
    ) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
        """Ids of UTF-8 texts that lie end to end: ``uint8[B], int64[N+1] -> uint32[T], int64[N+1]``.

        gigatoken reads and gives the arrays as they lie, on this thread.
        """
        if self._fast is not None:
            return _fast_encode(self._fast, data, offsets)
        raw = data.tobytes()
        texts = [raw[a:b].decode() for a, b in pairwise(offsets)]
        found = [e.ids for e in self._core.encode_batch_fast(texts, add_special_tokens=False)]
        ends = arrays.offsets([len(ids) for ids in found])
        return np.fromiter((i for ids in found for i in ids), np.uint32, int(ends[-1])), ends

    def ids_and_starts(self, text: str) -> tuple[list[int], list[int]]:
        """Ids of one text and the byte at which each starts, by `tokenizers`' own offsets."""
        encoding = self._core.encode(text, add_special_tokens=False)
        before = arrays.offsets([len(c.encode()) for c in text])
        return encoding.ids, [int(before[start]) for start, _ in encoding.offsets]

    def plain_ids(self, text: str) -> list[int]:
        """Ids of one text by `tokenizers`, whichever engine is in use."""
        ids: list[int] = self._core.encode(text, add_special_tokens=False).ids
        return ids

    def _neutral(self, marker: bool) -> tokenizers.Tokenizer:
        """The encoder that takes special tokens' strings as text, with `MARKER` as a token on demand."""
        core = tokenizers.Tokenizer.from_str(json.dumps(self.state))
        core.encode_special_tokens = True
        if marker:
            core.add_tokens([tokenizers.AddedToken(MARKER, normalized=False, special=False)])
        return core

    def _same_everywhere(self, core: tokenizers.Tokenizer) -> bool:
        """Whether a text behind a special token gives the ids that it gives alone."""
        added = self.state["added_tokens"]
        lead = next((t["content"] for t in added if t["special"] and not (t["lstrip"] or t["rstrip"])), None)
        core.encode_special_tokens = False
        return lead is None or all(
            core.encode(lead + t, add_special_tokens=False).ids[1:]
            == self._core.encode(t, add_special_tokens=False).ids
            for t in SAMPLES
        )

    def _sizes(self) -> tuple[NDArray[np.int32], bool]:
        """Bytes of text that each token stands for, and whether a text gets a space put before it."""
        vocabulary = self._core.get_vocab(with_added_tokens=True)
        added = {t["content"] for t in self.state["added_tokens"]} | {MARKER}
        byte_level = "ByteLevel" in json.dumps([self.state["pre_tokenizer"], self.state["decoder"]])
        sizes = np.zeros(max(vocabulary.values(), default=0) + 1, np.int32)
        for token, number in vocabulary.items():
            if token in added:
                sizes[number] = len(token.encode())
            elif byte_level:
                sizes[number] = len(token)
            else:
                sizes[number] = 1 if BYTE.fullmatch(token) else len(token.replace("\u2581", " ").encode())
        return sizes, int(sizes[self._core.encode("a", add_special_tokens=False).ids].sum()) == 2

    def _gigatoken(self) -> Any:
        """gigatoken's encoder; None, and `warning` set, where it does not give the same ids."""
        state = json.loads(self._core.to_str())
        special = [t["content"] for t in state["added_tokens"] if t["special"]]
        state["added_tokens"] = [t for t in state["added_tokens"] if not t["special"]]
        state["post_processor"] = None
        samples = (*SAMPLES, *_mixed(), *(f"x{t} {t}y" for t in special))
        texts = [self.marker.decode() + t for t in samples]
        raw = [t.encode() for t in texts]
        offsets = arrays.offsets([len(t) for t in raw])
        import gigatoken  # with awkward, which takes half a second

        try:
            fast = gigatoken.Tokenizer.from_json(json.dumps(state)).backend
            ids, ends = _fast_encode(fast, np.frombuffer(b"".join(raw), np.uint8), offsets)
        except Exception as error:  # noqa: BLE001  a beta library: whatever it raises, the other engine serves
            self.warning = f"gigatoken cannot take it ({type(error).__name__})"
            return None
        wanted = [e.ids for e in self._core.encode_batch(texts, add_special_tokens=False)]
        if [ids[a:b].tolist() for a, b in pairwise(ends)] != wanted:
            self.warning = "gigatoken gives other ids on a sample"
            return None
        return fast


def _mixed() -> list[str]:
    """Texts drawn from many scripts, signs and kinds of white space: the same ones always."""
    blocks = [(32, 127), (9, 14), (160, 384), (0x300, 0x370), (0x370, 0x530), (0x590, 0x700), (0x900, 0xA00)]
    blocks += [(0xE00, 0xE80), (0x1F00, 0x2000), (0x2000, 0x2070), (0x3000, 0x3100), (0x4E00, 0x5000)]
    blocks += [(0xAC00, 0xAD00), (0xFF00, 0xFFA0), (0x1F300, 0x1F700), (0x20000, 0x20100)]
    draw = random.Random(1)  # noqa: S311  nobody's secret
    texts = []
    for number in range(MIXED):
        few = [blocks[0], *draw.sample(blocks, 1 + number % 3)]
        texts.append("".join(chr(draw.randrange(*draw.choice(few))) for _ in range(number % 50)))
    return texts


def _fast_encode(
    fast: Any, data: NDArray[np.uint8], offsets: NDArray[np.int64]
) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
    import awkward as ak

    characters = ak.contents.NumpyArray(data, parameters={"__array__": "char"})
    strings = ak.contents.ListOffsetArray(
        ak.index.Index64(offsets), characters, parameters={"__array__": "string"}
    )
    layout = fast.encode_batch(ak.Array(strings), parallel=False).layout
    return np.asarray(layout.content.data), np.asarray(layout.offsets.data)
