"""What earlier runs hold: rows that a run's own are compared with, and that are never removed themselves.

`dedup.against` names run directories and fingerprint directories. Of a run, the rows that it kept as no
duplicates are compared, and verified from their texts. A fingerprint directory (`headrace fingerprints
RUN DIRECTORY`) holds the same rows without a text: their fingerprints and, for verification, a bottom-k
sketch of both parts; such removals go by rule `sketch`, with the standard error of their similarity.

Cost: what the rows' fingerprints cost in pass 2; a fingerprint directory takes 2 KB a row of 1 KB and more.
Source: `kernels.bottom`.
"""

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headrace import kernels
from headrace.cluster import ledger, storage
from headrace.cluster.errors import OutputError, RecipeError
from headrace.cluster.parquet import guarded
from headrace.pipelines import schema, yaml_text
from headrace.pipelines.stages.fingerprint import stage as fingerprint

FORMAT = 1
MANIFEST = "fingerprints.json"
K = 256  # features of a part that a bottom-k sketch holds at the most
COLUMNS = ("row_id", *(name for name, _ in fingerprint.COLUMNS))
SKETCHES = tuple(f"{part}_bottom" for part in fingerprint.PARTS)
Each = Callable[..., Iterator[Any]]


@dataclass(frozen=True)
class Corpus:
    """An earlier run, or fingerprints of one.

    name: as the recipe has it. files: Parquet files with row ids and fingerprints. mark: hash of
    what they hold. sketched: whether sketches stand for the texts.
    """

    name: str
    files: tuple[str, ...]
    mark: str
    sketched: bool


def opened(names: Sequence[str], output: str, ngram: int) -> list[Corpus]:
    """The corpora that a recipe names, in its order.

    Raises: RecipeError for a path that is neither a prepared run nor a fingerprint directory, is the
    run itself, or was sketched otherwise; StorageError.
    """
    return [_opened(name, f"dedup.against.{place}", output, ngram) for place, name in enumerate(names)]


def _opened(name: str, where: str, output: str, ngram: int) -> Corpus:
    storage.probe(name)
    if name.rstrip("/") == output.rstrip("/"):
        raise RecipeError(f"{where}: {name!r} is this run itself; name an earlier one")
    manifest = _json(storage.join(name, MANIFEST))
    if manifest is not None:
        made_with, version = manifest["ngram"], manifest["version"]
        files = [storage.join(name, f["path"]) for f in manifest["files"]]
        mark = ledger.key(manifest)
    else:
        held = ledger.load(name, "dedup").get("all")
        if held is None:
            raise RecipeError(
                f"{where}: {name!r} is neither a run that was prepared nor a fingerprint directory; run "
                "`headrace prepare` there first, or `headrace fingerprints RUN DIRECTORY`"
            )
        outputs = kept_files(name)
        made_with, version = ngram_of(name), fingerprint.COMPARABLE
        files = [storage.join(name, o["path"]) for o in outputs]
        mark = ledger.key(held["key"], [o["xxh3"] for o in outputs])
    if (made_with, version) != (ngram, fingerprint.COMPARABLE):
        raise RecipeError(
            f"{where}: {name!r} was fingerprinted with windows of {made_with} bytes, version {version}; this "
            f"run has {ngram} (fingerprint.ngram), version {fingerprint.COMPARABLE}: they cannot be compared"
        )
    return Corpus(name, tuple(files), mark, manifest is not None)


def _json(path: str) -> dict[str, Any] | None:
    try:
        return dict(json.loads(storage.read_bytes(path)))
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise RecipeError(f"{path} is not JSON: the fingerprint directory is damaged") from error


def require_decided(run: str) -> None:
    """Raises: OutputError where it is not decided yet which rows of a run stay."""
    if ledger.load(run, "dedup").get("all") is None:
        raise OutputError(f"nothing is prepared in {run!r}; run `headrace prepare` on its recipe first")


def kept_files(run: str) -> list[dict[str, Any]]:
    """Outputs of pass 1 of a run that hold a row, in the order of its parts."""
    records = sorted(ledger.load(run, "prepare").values(), key=lambda r: (r["ordinal"], r["part"]))
    return [r["outputs"][0] for r in records if r["rows"]["kept"]]


def ngram_of(run: str) -> int:
    """Bytes of a window that a run was fingerprinted with.

    Raises: RecipeError where its recipe cannot be read, FileNotFoundError, StorageError.
    """
    where = storage.join(run, "recipe.yaml")
    try:
        held = yaml_text.value(storage.read_bytes(where).decode(), where)
    except UnicodeDecodeError as error:
        raise RecipeError(f"{where} is not UTF-8 text") from error
    section = held.get("fingerprint", {}) if isinstance(held, dict) else None
    ngram = section.get("ngram", fingerprint.Config().ngram) if isinstance(section, dict) else None
    if type(ngram) is not int:
        raise RecipeError(
            f"{where}: it does not say fingerprint.ngram as a number: put the run's recipe back there"
        )
    return ngram


def rows(path: str, sketched: bool) -> pa.Table:
    """`COLUMNS` of the rows of one file of a corpus that its run did not remove as duplicates."""
    table = guarded.table(path, COLUMNS)
    return table if sketched else kept(table, _removed(path.rpartition("/prepared/")[0]))


def _removed(run: str) -> str:
    return storage.join(run, "duplicates/removed.parquet")


def kept(table: pa.Table, removed: str) -> pa.Table:
    """Rows of `table` that are not listed in the file `removed`; of that, only their range is read."""
    ids = table["row_id"].to_numpy()
    if not len(ids):
        return table
    least, most = (pa.scalar(int(i), pa.uint64()) for i in (ids.min(), ids.max()))
    span = [("removed", ">=", least), ("removed", "<=", most)]
    gone = storage.read_table(removed, ["removed"], filters=span)["removed"]
    return table.filter(pc.invert(pc.is_in(table["row_id"], gone.combine_chunks())))


def export(run: str, directory: str, each: Each) -> dict[str, int]:
    """Write the fingerprints of a run's kept rows as a directory of their own; returns rows and files.

    Raises: OutputError where the run is not prepared or the directory holds something else.
    """
    require_decided(run)
    names = [e.path.rsplit("/", 1)[-1] for e in storage.listing(directory)]
    if any(n != MANIFEST and not re.fullmatch(r"part-[\d-]+\.parquet", n) for n in names):
        raise OutputError(f"{directory!r} holds other things than fingerprints; name another directory")
    for name in sorted(names, key=lambda n: n != MANIFEST):
        storage.delete(storage.join(directory, name))
    ngram = ngram_of(run)
    paths = [storage.join(run, o["path"]) for o in kept_files(run)]
    work = partial(_exported, run=run, directory=directory, ngram=ngram)
    files = list(each(work, paths, name="fingerprints"))
    # The manifest comes last: a directory without one is not taken for fingerprints.
    manifest = {
        "format": FORMAT,
        "version": fingerprint.COMPARABLE,
        "ngram": ngram,
        "k": K,
        "rows": sum(f["rows"] for f in files),
        "files": files,
    }
    storage.put(storage.join(directory, MANIFEST), json.dumps(manifest, indent=1).encode())
    return {"rows": manifest["rows"], "files": len(files)}


def _exported(path: str, run: str, directory: str, ngram: int) -> dict[str, Any]:
    """Fingerprints and sketches of one prepared file, written; what the manifest says of them."""
    table = kept(storage.read_table(path, [*COLUMNS, "messages"]), _removed(run)).combine_chunks()
    roles, owners, texts = schema.contents(table)
    both = fingerprint.parts(roles, owners, texts, table.num_rows).both
    offsets, values = kernels.bottom_sketches(both, k=K, ngram=ngram)
    sketches = pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), pa.array(values))
    table = table.drop_columns(["messages"])
    for number, name in enumerate(SKETCHES):
        own = sketches.take(pa.array(np.arange(number, len(sketches), 2)))
        table = table.append_column(name, own)
    name = path.rsplit("/", 1)[-1]
    size, digest = storage.write_table(storage.join(directory, name), table)
    return {"path": name, "size": size, "xxh3": digest, "rows": table.num_rows}
