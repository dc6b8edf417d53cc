"""What `headrace contamination` tells: which rows of a prepared run hold items of evaluation sets.

Nothing of the run changes; no text of a row or an item is printed.

Cost: every file of `prepared/` is read once, in this process.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from headrace.cluster import storage
from headrace.pipelines import stored
from headrace.pipelines.examine.leaks import run as leaks
from headrace.pipelines.examine.leaks.config import Config
from headrace.pipelines.stages.dedup import against


def contamination(run: str, paths: Sequence[str], config: Config | None = None) -> list[str]:
    """Lines: a summary, then for each item that was met the rows that hold it.

    run: the run directory; paths: evaluation sets, which take the place of `against` in `config`.

    Raises: OutputError where the run is not prepared; SourceError, StorageError.
    """
    against.require_decided(run)
    config = (config or Config()).model_copy(update={"against": tuple(paths)})
    prepared = [storage.join(run, output["path"]) for output in against.kept_files(run)]
    found = leaks.find(prepared, run, config, _in_order)
    hits = found.findings.to_pylist()
    n_rows, n_items = (len({hit[name] for hit in hits}) for name in ("row_id", "item"))
    lines = [
        f"{n_rows:,} of {found.rows:,} rows hold {n_items:,} of {found.items.num_rows:,} evaluation items"
    ]
    if found.untold.num_rows:
        lines.append(
            f"not looked for: {found.untold.num_rows:,} of these items, which are too short, or too much "
            "like others, to be told from them"
        )
    places = {row: held.place for row, held in stored.find(run, (hit["row_id"] for hit in hits)).items()}
    for hit in sorted(hits, key=lambda hit: (hit["item"], hit["row_id"])):
        where = places.get(hit["row_id"], "its place is not known")
        lines.append(
            f"{hit['set']}: {hit['place']}: row {hit['row_id']} ({where}): {hit['share']:.0%} of its "
            f"{hit['part']}, {hit['rule']}"
        )
    return lines


def _in_order(function: Callable[[Any], Any], items: Iterable[Any], *, name: str) -> Iterator[Any]:
    return map(function, items)
