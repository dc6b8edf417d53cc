"""Passages in the prompt: what the base does when it is given documents to look in instead of being tuned.

What: documents are cut into passages of so many words; the ones most like what is asked (BM25) stand before
it, with a sentence that says what they are. A document is a line of JSONL with a `text`, or a .txt or .md
file. Passages that have no room in the context beside the answer are left out, the least alike first, and
counted. Documents are taken as they are: what is asked of rows is masked, these are not.

Source: Lewis et al. 2020, https://arxiv.org/abs/2005.11401 (passages before the question), with BM25.
Cost: all documents are held in memory, `MOST` bytes at the most.
"""

import json
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import xxhash

from headrace.cluster import storage
from headrace.cluster.errors import RecipeError
from headrace.pipelines.evaluate.arms import likeness, prompts
from headrace.pipelines.evaluate.arms.prompts import Helped, Ids, Room
from headrace.pipelines.train.watch.samples import Sample

KEY = "evaluate.documents.path"
SUFFIXES = (".jsonl", ".txt", ".md")
MOST = 2**28
LEAD, PASSAGE = "Use these passages where they help:\n\n", "[{number}] {text}\n\n"


def digest(path: str) -> str:
    """Hash of the documents. Raises: RecipeError, StorageError."""
    whole = xxhash.xxh3_128()
    for entry in _files(path):
        data = storage.read_bytes(entry.path)
        whole.update(f"{entry.path.rpartition('/')[2]} {len(data)} ".encode())
        whole.update(data)
    return whole.hexdigest()


def passages(path: str, words: int) -> list[str]:
    """Passages of at most `words` words, in the order of files. Raises: RecipeError, StorageError."""
    every = re.compile(rf"(?:\S+\s*){{1,{words}}}")
    found = [m[0].strip() for text in _texts(path) for m in every.finditer(text)]
    if not found:
        raise RecipeError(f"{KEY}: {path!r} holds no text")
    return found


def helped(
    samples: Sequence[Sample],
    asked: Sequence[str],
    texts: Sequence[str],
    tokenizer: Any,
    room: Room,
    top: int,
) -> Helped:
    """Samples with the `top` passages of `texts` that are most like what is asked before it.

    asked: what each sample asks last, without its template, "" where it has no prompt.
    """
    found, fewer = list(samples), 0
    for at, near in enumerate(likeness.nearest(asked, texts, top)):
        if asked[at]:
            found[at], used = _set_before(samples[at], asked[at], [texts[n] for n in near], tokenizer, room)
            fewer += used < min(top, len(texts))
    return Helped(found, fewer)


def _set_before(
    sample: Sample, asked: str, near: Sequence[str], tokenizer: Any, room: Room
) -> tuple[Sample, int]:
    """A sample with as many of the passages as have room, and how many these are."""
    for used in range(len(near), 0, -1):
        text = LEAD + "".join(PASSAGE.format(number=n, text=t) for n, t in enumerate(near[:used], 1))
        ids = np.array(tokenizer(text, add_special_tokens=False).input_ids, np.int64)
        if room.fits(sample, len(ids)):
            return prompts.with_more(sample, _place(sample, asked, tokenizer), ids), used
    return sample, 0


def _place(sample: Sample, asked: str, tokenizer: Any) -> int:
    """The token at which what is asked begins; behind the start token where it is not found."""
    prompt: Ids = sample.ids[: sample.span()[0]]
    character = _text(prompt, tokenizer).rfind(asked)
    if character <= 0:
        return prompts.start(sample, tokenizer)
    low, high = 0, len(prompt)  # the most tokens whose text ends no later than there
    while low < high:
        middle = (low + high + 1) // 2
        if len(_text(prompt[:middle], tokenizer)) <= character:
            low = middle
        else:
            high = middle - 1
    return low


def _text(ids: Ids, tokenizer: Any) -> str:
    return str(tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False))


def _files(path: str) -> list[storage.Entry]:
    """The files that documents are in. Raises: RecipeError, StorageError."""
    if not storage.is_directory(path):
        if not storage.exists(path):
            raise RecipeError(f"{KEY}: there is no {path!r}")
        if not path.endswith(SUFFIXES):
            raise RecipeError(f"{KEY}: {path!r} is none of {', '.join(SUFFIXES)}, and no directory of these")
        return [storage.entry(path)]
    found = [entry for entry in storage.listing(path) if entry.path.endswith(SUFFIXES)]
    if not found:
        raise RecipeError(f"{KEY}: no file below {path!r} is one of {', '.join(SUFFIXES)}")
    size = sum(entry.size for entry in found)
    if size > MOST:
        raise RecipeError(f"{KEY}: {path!r} holds {size:,} bytes of documents, and {MOST:,} are the most")
    return found


def _texts(path: str) -> list[str]:
    found = []
    for entry in _files(path):
        text = storage.read_bytes(entry.path).decode(errors="replace")
        if not entry.path.endswith(".jsonl"):
            found.append(text)
            continue
        for number, line in enumerate(text.split("\n"), 1):
            if line.strip():
                found.append(_of_line(line, entry.path, number))
    return found


def _of_line(line: str, path: str, number: int) -> str:
    """The `text` of a line of JSON. Raises: RecipeError."""
    try:
        held = json.loads(line)
    except ValueError as error:
        raise RecipeError(f"{KEY}: line {number} of {path!r} is no JSON") from error
    if not isinstance(held, dict) or not isinstance(held.get("text"), str):
        raise RecipeError(f"{KEY}: line {number} of {path!r} has no `text`")
    return str(held["text"])
