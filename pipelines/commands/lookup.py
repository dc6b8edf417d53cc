"""Is this text in the run already, or something like it? Looks a text up among the rows a run kept.

The text goes the way of a row first (clean, PII, fingerprint, with the run's own recipe), for what is
stored is masked. The index gives likely parts, their rows are read, and each is compared with the
text itself: what is shown is measured, not guessed. `within` goes by the SimHash of whole rows instead of
the sketches of parts.

Cost: every shard of the index is read and searched, 2 G sketches a second a core; then the files of
`prepared/` that hold the best hits. `within` reads two columns of every file of `prepared/`, 16 bytes a row;
for one text NumPy compares a million SimHashes in 3 ms, as long as Faiss takes to be given them.
"""

import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa

from headrace import kernels
from headrace.cluster import storage
from headrace.cluster.errors import OutputError
from headrace.pipelines import recipe, schema
from headrace.pipelines import stored as examples
from headrace.pipelines.commands import duplicates
from headrace.pipelines.console import Line
from headrace.pipelines.report.pairs import Piece, differences
from headrace.pipelines.stages.clean import stage as clean
from headrace.pipelines.stages.dedup import against, index
from headrace.pipelines.stages.fingerprint import stage as fingerprint
from headrace.pipelines.stages.pii import stage as pii

# One word with a slash in it, or a suffix at its end.
FILE_NAME = re.compile(r"(?:s3a?|file)://.*|\S*/\S*|\S*[^\s.]\.[A-Za-z][A-Za-z0-9]{0,7}")
GROUP = 16  # files of `prepared/` that one task looks through
NEAREST = 32  # parts of each shard that are looked at closer
ROLES = ("text", "user", "assistant")  # as which a stored message of one part may have been hashed
Each = Callable[..., Iterator[Any]]


@dataclass(frozen=True)
class Hit:
    """A kept row with a part like the text asked for.

    part: "prompt", "answer", or "row" for both together. similarity: Jaccard of hashed windows, 0 to 1.
    containment: share of the text asked for that the part holds. distance: bits of 64 in which the SimHashes
    of text and row differ, where that was asked for.
    """

    row_id: int
    part: str
    similarity: float
    containment: float
    row: examples.Stored
    pieces: tuple[Piece, ...]
    distance: int | None = None


def lookup(run: str, text: str, *, count: int, least: float, each: Each) -> list[Hit]:
    """Up to `count` rows of the run whose prompt or answer is like `text` by `least` or more, best first.

    Raises: OutputError where the run has no index; RecipeError where its `pii` needs a secret.
    """
    folder = storage.join(run, "duplicates", index.FOLDER)
    files = storage.listing(folder)
    shards = [e.path.removesuffix(".parquet") for e in files if e.path.endswith(".parquet")]
    if not shards:
        raise OutputError(f"nothing is indexed in {run!r}; run `headrace prepare` on its recipe first")
    config = _recipe(run)
    asked = _rows(text, config)
    if not asked.num_rows:
        return []
    ngram = config.fingerprint.ngram
    search = partial(_search, asked=asked)
    found = pa.concat_tables(each(search, shards, name="lookup", size=sum(e.size for e in files))).to_pylist()
    found.sort(key=lambda r: (r["distance"], r["row_id"], r["part"]))
    wanted = list(dict.fromkeys((r["row_id"], r["part"]) for r in found))[: max(NEAREST, 4 * count)]
    rows = examples.find(run, [row_id for row_id, _ in wanted])
    masked = str(schema.contents(asked)[2][0].as_py())
    hits = [
        _hit(row_id, fingerprint.PARTS[part], rows[row_id].parts[part], rows[row_id], masked, ngram)
        for row_id, part in wanted
        if row_id in rows
    ]
    best = sorted((h for h in hits if h.similarity >= least), key=lambda h: (-h.similarity, h.row_id, h.part))
    return best[:count]


def within(run: str, text: str, *, distance: int, count: int, each: Each) -> list[Hit]:
    """Up to `count` rows of the run whose SimHash differs from that of `text` in `distance` bits or fewer.

    The nearest come first.

    Raises: OutputError where the run holds no SimHashes, or the text is too short for one; RecipeError where
    its `pii` needs a secret.
    """
    against.require_decided(run)
    config = _recipe(run)
    asked = _rows(text, config)
    if not asked.num_rows:
        return []
    ngram = config.fingerprint.ngram
    if not asked["answer_features"][0].as_py():
        raise OutputError(f"the text has no SimHash: case and marks folded, it is shorter than {ngram} bytes")
    files = against.kept_files(run)
    paths, size = [storage.join(run, f["path"]) for f in files], sum(f["size"] for f in files)
    groups = [paths[at : at + GROUP] for at in range(0, len(paths), GROUP)]
    search = partial(_within, run=run, signature=asked["simhash"][0].as_py(), distance=distance, count=count)
    found = sorted(pair for pairs in each(search, groups, name="lookup", size=size) for pair in pairs)[:count]
    rows = examples.find(run, [row_id for _, row_id in found])
    masked = str(schema.contents(asked)[2][0].as_py())
    return [
        replace(_hit(row_id, "row", _whole(rows[row_id]), rows[row_id], masked, ngram), distance=bits)
        for bits, row_id in found
        if row_id in rows
    ]


def _within(
    paths: Sequence[str], run: str, signature: int, distance: int, count: int
) -> list[tuple[int, int]]:
    """The `count` nearest kept rows of some files within `distance`: (bits, row_id)."""
    found: list[tuple[int, int]] = []
    tables = ((path, t) for path in paths for t in storage.row_groups(path, ["row_id", "simhash"]))
    for path, table in tables:
        if "simhash" not in table.column_names:
            raise OutputError(f"{path!r} holds no SimHashes; run `headrace prepare` on its recipe again")
        bits = np.bitwise_count(table["simhash"].to_numpy() ^ np.uint64(signature))
        near = table.append_column("bits", pa.array(bits)).filter(pa.array(bits <= distance))
        near = against.kept(near, storage.join(run, "duplicates/removed.parquet"))
        found += zip(near["bits"].to_pylist(), near["row_id"].to_pylist(), strict=True)
    return sorted(found)[:count]


def _whole(row: examples.Stored) -> str:
    """Both parts of a row, as its SimHash is made of them."""
    return "\n".join(part for part in row.parts if part)


def _recipe(run: str) -> recipe.Recipe:
    """The recipe that a run was made with. Raises: OutputError, RecipeError where its secret is missing."""
    _, config = recipe.kept(run)
    if config is None:
        raise OutputError(f"{run!r} was written by another version of headrace")
    config.pii.require_key()
    return config


def _rows(text: str, config: recipe.Recipe) -> pa.Table:
    """The text as a run with this recipe would have kept it, once for each of `ROLES`; no row if dropped."""
    row = {"row_id": 0, "n_records": 1, "source": "asked", "file": "", "place": ""}
    table = schema.from_rows([{**row, "messages": [{"role": "text", "content": text}]}])
    table = pii.apply(clean.apply(table, config.clean), config.pii)
    table = table.filter(schema.live(table))
    if not table.num_rows:
        return table
    content = schema.contents(table)[2][0].as_py()
    rows = [{**row, "messages": [{"role": role, "content": content}]} for role in ROLES]
    return fingerprint.apply(schema.from_rows(rows), config.fingerprint)


def _search(shard: str, asked: pa.Table) -> pa.Table:
    """Parts of one shard that are near the text, as any of the roles."""
    sketches, keys = [], []
    for place, role in enumerate(ROLES):
        part = fingerprint.PARTS[role in fingerprint.ANSWERS]
        sketches.append(index.bits(asked.slice(place, 1), part))
        keys.append(asked[f"{part}_key"][place].as_py())
    return index.search(shard, np.concatenate(sketches), np.array(keys, np.uint64), NEAREST)


def _hit(row_id: int, part: str, text: str, row: examples.Stored, asked: str, ngram: int) -> Hit:
    """The row with what its part, `text`, has in common with the text asked for."""
    texts = kernels.fold(pa.array([asked, text], pa.large_string()))
    both = [[0, 1]]
    equal = float(texts[0].as_py() == texts[1].as_py())
    similarity = max(equal, float(kernels.jaccard(texts, both, ngram=ngram)[0]))
    containment = max(equal, float(kernels.containment(texts, both, ngram=ngram)[0]))
    pieces = differences(asked, text)[1]
    return Hit(row_id, part, similarity, containment, row, pieces)


def lines(hits: Sequence[Hit]) -> Iterator[Line]:
    """A line a hit and its text, with what differs from the text asked for marked `{+so+}`."""
    for hit in hits:
        where = f"{hit.part} of row {hit.row_id}" if hit.distance is None else f"row {hit.row_id}"
        bits = "" if hit.distance is None else f"{hit.distance} bits apart, "
        text = (
            f"{where}: {bits}similarity {hit.similarity:.3f}, holds {hit.containment:.1%} "
            f"of the text; {hit.row.source}: {hit.row.place}"
        )
        shown = duplicates.marked(hit.pieces, "{+", "+}")
        fields = {k: getattr(hit, k) for k in ("row_id", "part", "similarity", "containment")}
        if hit.distance is not None:
            fields["distance"] = hit.distance
        yield Line(text, {**fields, "source": hit.row.source, "place": hit.row.place, "shown": shown})
        yield Line(shown)


def read(text_or_file: str) -> str:
    """The text to look up: the content of a file where one has that name, else the argument itself.

    Raises: OutputError where there is no such file and the argument looks like the name of one: an answer to
    it would be an all-clear for a text that nobody looked at.
    """
    try:
        if storage.is_remote(text_or_file) or os.path.isfile(text_or_file):
            return storage.read_bytes(text_or_file).decode("utf-8", "replace")
    except (FileNotFoundError, ValueError):  # ValueError: a text with a null byte is no name
        pass
    if FILE_NAME.fullmatch(text_or_file):
        raise OutputError(
            f"there is no file {text_or_file!r}; give its name as it is, or --text to look for these "
            "very words"
        )
    return text_or_file
