"""Lists of duplicates as pass 2 writes them, for the tests of the report."""

import pyarrow as pa

from headrace.cluster import storage
from headrace.pipelines.report import pairs


def write_pairs(path: str, name: str, listed: list[tuple[int, int, int, float, str]]) -> None:
    """A list of `duplicates/`: (removed, kept, distance, similarity, rule), all of this run."""
    types = [pa.uint64(), pa.uint64(), pa.int32(), pa.float32(), pa.string(), pa.string(), pa.float64()]
    whole = [(*pair, None, 0.0) for pair in listed]  # of this run, by the texts
    columns = zip(pairs.COLUMNS, zip(*whole, strict=True), types, strict=True)
    table = pa.table({c: pa.array(values, t) for c, values, t in columns})
    storage.write_table(storage.join(path, f"duplicates/{name}.parquet"), table)
