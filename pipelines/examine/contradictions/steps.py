"""The search for pairs over files: parts of the rows, of the keys and of the pairs, a task each.

What: rows are parted by the hash of their prompt, so that a task has all answers to its prompts (`prompts`);
keys by which prompts meet are parted anew by themselves (`meet`, `words`); pairs are united and told apart by
the words of their prompts, some at a time (`unite`, `said`, `agree`). Each part of the pairs names the nodes
whose texts are to be compared (`plan`). No result depends on how many parts there are.

Cost: a task holds `PART` bytes of rows and what is made of them, whatever the run holds in all.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from headrace.cluster import storage
from headrace.cluster.stores import parted
from headrace.pipelines import arrays
from headrace.pipelines.examine import rows
from headrace.pipelines.examine.contradictions import apart, bags, keys, near, pairs
from headrace.pipelines.examine.contradictions.config import Config
from headrace.pipelines.stages.dedup import candidates

PART = 2**26  # bytes of prepared files whose rows one task looks at
AT_ONCE = 1 << 23  # words of the prompts that one task tells apart
MEETING = 4  # parts of rows whose keys of one column make one part of keys
# What one task compares: so many pairs, or pairs of so many bytes; each reads a part of every file of texts.
CHUNK, BYTES = 100_000, 2**27


class Counted(NamedTuple):
    """What a part holds."""

    rows: int
    nodes: int
    prompts: int
    asked_again: int  # rows of prompts with several answers


class Plan(NamedTuple):
    """What of a part is to be compared: how many chunks of pairs, and the files that hold rows of them."""

    chunks: int
    files: set[int]


def parts(run: str) -> int:
    """How many parts the rows of a run make."""
    size = sum(entry.size for entry in storage.listing(storage.join(run, "prepared")))
    return 1 + int(size) // PART


def key(files: rows.Files, work: str, alike: bool, parts: int) -> str:
    """Keys of the rows of some files, and how often words stand in them."""
    return _keys(files.number, files.table["row_id"].to_numpy(), files.exchanges, work, alike, parts)


def nothing(work: str, alike: bool) -> str:
    """What `key` leaves where there is no row."""
    none = pa.table({name: pa.array([], pa.large_string()) for name in ("prompt", "answer")})
    return _keys(0, np.zeros(0, np.uint64), none, work, alike, 1)


def _keys(number: int, ids: keys.U64, exchanges: pa.Table, work: str, alike: bool, parts: int) -> str:
    found = keys.keys(ids, exchanges, alike)
    found = found.append_column("file", pa.array(np.full(found.num_rows, number, np.uint32)))
    target = storage.join(work, f"keys-{number}.arrow")
    parted.write(target, found, _part(found["prompt"].to_numpy(), parts))
    if alike:
        counts = bags.counted(near.said(found["words"]))
        parted.write(_counts(target), counts)
    return target


def _counts(path: str) -> str:
    return path.removesuffix(".arrow") + ".counts.arrow"


def _part(hashes: keys.U64, parts: int) -> NDArray[np.uint32]:
    """The part of each hash, ``uint32[N]``: ascending as they are."""
    return ((hashes >> np.uint64(32)) * np.uint64(parts) >> np.uint64(32)).astype(np.uint32)


def _rows(paths: Sequence[str], part: int, columns: Sequence[str]) -> pa.Table:
    """Columns of the rows of a part, file after file."""
    return pa.concat_tables([parted.read(path, part, columns) for path in paths]).combine_chunks()


def census(paths: Sequence[str], work: str) -> str:
    """Count the keys and words of all rows."""

    tables = (table for path in paths for table in parted.parts(path, keys.SHARED))
    counts = [parted.read(_counts(path)) for path in paths]
    found = keys.census(tables, counts, sum(parted.rows(path) for path in paths))
    words = np.flatnonzero(found.words)
    counted = pa.table({"slot": words, "count": found.words[words]})
    parted.write(storage.join(work, "words.arrow"), counted)
    target = storage.join(work, "shared.arrow")
    parted.write(target, pa.table({"bits": found.shared}))
    return target


def _census(work: str) -> keys.Census:
    counted = parted.read(storage.join(work, "words.arrow"))
    words = np.zeros(bags.SLOTS, np.int32)
    words[counted["slot"].to_numpy()] = counted["count"].to_numpy()
    shared = parted.read(storage.join(work, "shared.arrow"))["bits"].combine_chunks().to_numpy()
    return keys.Census(words, shared)


def prompts(part: int, paths: Sequence[str], work: str, alike: bool, parts: int) -> Counted:
    """Nodes and equal pairs of the prompts of a part; where they meet others."""
    columns = [*keys.OF_ROWS.names, "file", *([*near.NEEDED, "word_count"] if alike else [])]
    table = _rows(paths, part, list(dict.fromkeys(columns)))
    found = pairs.nodes(table)
    at = found.table["at"].to_numpy()
    nodes = found.table.append_column("file", table["file"].take(pa.array(at)))
    parted.write(storage.join(work, f"nodes-{part}.arrow"), nodes)
    answer = nodes.select(["answer", "short"])
    cut = _part(answer["answer"].to_numpy(), parts)
    parted.write(storage.join(work, f"answers-{part}.arrow"), answer, cut)
    some, swapped = pairs.equal(found, table)
    columns_of = {"a": some[:, 0], "b": some[:, 1], "swapped": swapped}
    parted.write(storage.join(work, f"equal-{part}.arrow"), pa.table(columns_of))
    first = at[found.first]
    of_prompts = {"first": found.first, "count": found.sizes, "at": first}
    if alike:
        of_prompts["words"] = table["word_count"].to_numpy()[first]
        made = near.meetings(table, first, _census(work))
        cut = _part(made.keys["key"].to_numpy(), _cuts(parts))
        parted.write(
            storage.join(work, f"met-{part}.arrow"),
            made.keys,
            _slot(made.keys["column"].to_numpy(), cut, parts),
        )
        cut = _part(made.postings["key"].to_numpy(), parts)
        parted.write(storage.join(work, f"postings-{part}.arrow"), made.postings, cut)
    parted.write(storage.join(work, f"prompts-{part}.arrow"), pa.table(of_prompts))
    again = int(found.table["rows"].to_numpy()[np.repeat(found.sizes, found.sizes) > 1].sum())
    return Counted(table.num_rows, len(at), len(first), again)


def _cuts(parts: int) -> int:
    """Parts of the keys of one column."""
    return -(-parts // MEETING)


def _slot(column: NDArray[Any], cut: NDArray[np.uint32], parts: int) -> NDArray[np.uint32]:
    return column.astype(np.uint32) * np.uint32(_cuts(parts)) + cut


def slots(parts: int) -> range:
    """Parts of the keys of all columns."""
    return range(near.BY * _cuts(parts))


def _met(work: str, name: str, slot: int, counted: Sequence[Counted]) -> pa.Table:
    """A part of what prompts left, under their numbers among all prompts, ascending by part."""
    base = arrays.offsets([c.prompts for c in counted])
    tables = []
    for part in range(len(counted)):
        table = parted.read(storage.join(work, f"{name}-{part}.arrow"), slot)
        numbers = pc.add(table["prompt"], int(base[part]))
        tables.append(table.set_column(table.column_names.index("prompt"), "prompt", numbers))
    return pa.concat_tables(tables).combine_chunks()


def meet(slot: int, work: str, counted: Sequence[Counted], config: Config) -> str:
    """Pairs of prompts under a part of the keys."""
    column = slot // _cuts(len(counted))
    found = near.met(_met(work, "met", slot, counted), column, near.least(config.near))
    return _pairs(work, f"met-by-{slot}", found)


def words(part: int, work: str, counted: Sequence[Counted]) -> str:
    """Pairs of prompts under a part of the rare words."""
    return _pairs(work, f"met-by-words-{part}", near.by_words(_met(work, "postings", part, counted)))


def _pairs(work: str, name: str, found: keys.U64) -> str:
    target = storage.join(work, f"{name}.arrow")
    parted.write(target, pa.table({"pair": found}))
    return target


def group(made: Sequence[str], work: str, counted: Sequence[Counted]) -> list[str]:
    """Part pairs so that prompts which hang together lie in one part: what is read of one is read once then.

    made: files of `meet` and `words`, one of which is held at a time, beside 8 bytes a prompt.
    """

    def found(path: str) -> keys.U64:
        pairs: keys.U64 = parted.read(path)["pair"].combine_chunks().to_numpy()
        return pairs

    groups = near.Groups(sum(c.prompts for c in counted))
    for path in made:
        groups.join(found(path))
    targets = [path.replace("met-by-", "grouped-by-") for path in made]
    for path, target in zip(made, targets, strict=True):
        some = found(path)
        roots = groups.of((some >> candidates.S32).astype(np.int64))
        part = arrays.finalised(roots.astype(np.uint64)) % np.uint64(len(counted))
        parted.write(target, pa.table({"pair": some}), part)
    return targets


def _part_of(prompt: NDArray[np.int64], counted: Sequence[Counted]) -> NDArray[np.int64]:
    """The part that a prompt lies in, by its number."""
    begin = arrays.offsets([c.prompts for c in counted])
    part: NDArray[np.int64] = np.searchsorted(begin, prompt, "right") - 1
    return part


def unite(part: int, made: Sequence[str], work: str, counted: Sequence[Counted]) -> int:
    """Pairs of prompts of a part, each once, in chunks whose words one task can hold; how many these are.

    made: files of `group`, by letters first.
    """
    found = [parted.read(path, part, ["pair"])["pair"].combine_chunks().to_numpy() for path in made]
    split = len(slots(len(counted))) // near.BY * (near.BY - 1)
    every = near.united(found[:split], found[split:])
    del found
    prompt, local = np.unique(every.prompts, return_inverse=True)
    of = _of_prompts(work, counted, prompt, ["words", "at"])
    chunk = apart.passes(of["words"].to_numpy(), local.reshape(-1, 2), AT_ONCE)
    columns = {"a": every.prompts[:, 0], "b": every.prompts[:, 1], "letters": every.letters}
    parted.write(storage.join(work, f"near-{part}.arrow"), pa.table(columns), chunk)
    wanted = candidates.unique([np.stack([np.repeat(chunk, 2), local.ravel()], axis=1)])
    place = wanted[:, 1]
    columns = {"chunk": wanted[:, 0], "prompt": prompt[place], "at": of["at"].to_numpy()[place]}
    path = storage.join(work, f"near-prompts-{part}.arrow")
    parted.write(path, pa.table(columns), _part_of(prompt[place], counted))
    return int(chunk.max(initial=-1)) + 1


def _of_prompts(
    work: str, counted: Sequence[Counted], prompt: NDArray[np.int64], columns: list[str]
) -> pa.Table:
    """Columns of some prompts by their numbers, ascending."""
    return _taken(work, "prompts", [c.prompts for c in counted], prompt, columns)


def _taken(
    work: str, name: str, counts: Sequence[int], places: NDArray[np.int64], columns: list[str] | None = None
) -> pa.Table:
    """Some rows, ascending, of files that stand one after the other, one of which is held at a time."""
    tables, begin = [], arrays.offsets(counts)
    cuts = np.searchsorted(places, begin)
    for part, (first, last) in enumerate(pairwise(cuts)):
        if first == last and part:
            continue
        table = parted.read(storage.join(work, f"{name}-{part}.arrow"), columns=columns)
        tables.append(table.take(pa.array(places[first:last] - begin[part])).combine_chunks())
    return pa.concat_tables(tables).combine_chunks()


def said(part: int, paths: Sequence[str], work: str, chunks: Sequence[int]) -> str:
    """Words of the prompts of a part that stand in pairs, by chunk.

    chunks: how many `unite` made of each part, counted one part after the other.
    """
    begin, wanted = arrays.offsets(chunks), []
    for other in range(len(chunks)):
        table = parted.read(
            storage.join(work, f"near-prompts-{other}.arrow"), part, ["chunk", "prompt", "at"]
        )
        wanted.append(table.set_column(0, "chunk", pc.add(table["chunk"], int(begin[other]))))
    some = pa.concat_tables(wanted).combine_chunks()
    held = _rows(paths, part, ["words"])["words"].combine_chunks()
    columns = {"prompt": some["prompt"], "words": held.take(some["at"].combine_chunks())}
    target = storage.join(work, f"said-{part}.arrow")
    parted.write(target, pa.table(columns), some["chunk"].to_numpy())
    return target


def agree(chunk: int, paths: Sequence[str], work: str, chunks: Sequence[int]) -> str:
    """Pairs of a chunk that may ask the same by all words of their prompts."""
    begin = arrays.offsets(chunks)
    part = int(np.searchsorted(begin, chunk, "right")) - 1
    some = parted.read(storage.join(work, f"near-{part}.arrow"), int(chunk - begin[part]))
    held = pa.concat_tables([parted.read(path, chunk) for path in paths]).combine_chunks()
    local = np.searchsorted(held["prompt"].to_numpy(), _ends(some))
    kept = bags.agreed(near.said(held["words"]), local, some["letters"].to_numpy(zero_copy_only=False))
    target = storage.join(work, f"agreed-{chunk}.arrow")
    parted.write(target, some.select(["a", "b"]).filter(pa.array(kept)))
    return target


def labels(part: int, work: str, counted: Sequence[Counted], config: Config) -> str:
    """Answers that are labels, of a part of all answers."""
    paths = [storage.join(work, f"answers-{other}.arrow") for other in range(len(counted))]
    nodes = _rows(paths, part, ["answer", "short"])
    answer, short = (nodes[name].to_numpy(zero_copy_only=False) for name in ("answer", "short"))
    found = pairs.labels(answer, short, config.label_rows)
    target = storage.join(work, f"labels-{part}.arrow")
    parted.write(target, pa.table({"answer": found}))
    return target


def plan(
    part: int,
    labelled: Sequence[str],
    agreed: Sequence[str],
    chunks: Sequence[int],
    work: str,
    counted: Sequence[Counted],
) -> Plan:
    """Write the pairs of nodes of a part to compare, in chunks, and the rows whose texts are wanted.

    labelled: files of `labels`; agreed: those of `agree`; chunks: how many of these are of each part.
    """
    first, last = arrays.offsets(chunks)[part : part + 2]
    equal = parted.read(storage.join(work, f"equal-{part}.arrow"))
    led = _ends(equal) + arrays.offsets([c.nodes for c in counted])[part]
    alike = _spread([_ends(parted.read(path)) for path in agreed[first:last]], work, counted)
    place, local = np.unique(np.concatenate([led, alike]), return_inverse=True)
    together = near.together(local.reshape(-1, 2))
    local = local.reshape(-1, 2)[together]
    held = of_nodes(work, counted, place, ["answer", "row_id", "file", "bytes"])
    chunk = _chunks(held["bytes"].to_numpy(), local)
    some, turned = place[local], equal["swapped"].to_numpy(zero_copy_only=False)
    columns = {"a": some[:, 0], "b": some[:, 1], "equal": together < len(led)}
    columns["swapped"] = np.concatenate([turned, np.zeros(len(alike), np.bool_)])[together]
    parted.write(storage.join(work, f"pairs-{part}.arrow"), pa.table(columns), chunk)
    wanted = candidates.unique([np.stack([np.repeat(chunk, 2), local.ravel()], axis=1)])
    known = np.sort(np.concatenate([parted.read(path)["answer"].to_numpy() for path in labelled]))
    label, of = arrays.among(held["answer"].to_numpy(), known), wanted[:, 1]
    texts = {"chunk": wanted[:, 0], "place": place[of], "label": label[of]}
    texts["row_id"], file = (held[name].to_numpy()[of] for name in ("row_id", "file"))
    parted.write(storage.join(work, f"wanted-{part}.arrow"), pa.table(texts), file)
    return Plan(int(chunk.max(initial=-1)) + 1, {int(f) for f in np.unique(file)})


def of_nodes(
    work: str, counted: Sequence[Counted], place: NDArray[np.int64], columns: list[str] | None = None
) -> pa.Table:
    """Columns of some nodes by their numbers, ascending."""
    return _taken(work, "nodes", [c.nodes for c in counted], place, columns)


def _ends(table: pa.Table) -> NDArray[np.int64]:
    """Pairs of a table, ``int64[M, 2]``."""
    return np.stack([table["a"].to_numpy(), table["b"].to_numpy()], axis=1)


def _spread(agreed: list[NDArray[np.int64]], work: str, counted: Sequence[Counted]) -> NDArray[np.int64]:
    """Pairs of nodes of pairs of prompts."""
    near_ones = np.concatenate([pairs.NO_PAIRS, *agreed])
    prompt, local = np.unique(near_ones, return_inverse=True)
    of = _of_prompts(work, counted, prompt, ["first", "count"])
    begin = arrays.offsets([c.nodes for c in counted])
    first = of["first"].to_numpy() + begin[_part_of(prompt, counted)]
    return pairs.spread(local.reshape(-1, 2), first, of["count"].to_numpy())


def _chunks(size: NDArray[np.int64], some: NDArray[np.int64]) -> NDArray[np.int64]:
    """The number of the task that compares each pair, ``int64[M]``, ascending by one at most."""
    full = np.cumsum(size[some].sum(axis=1) / BYTES + 1 / CHUNK)
    _, chunk = np.unique(full.astype(np.int64), return_inverse=True)
    return chunk.astype(np.int64)
