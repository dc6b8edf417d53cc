"""What `headrace digest` prints: one hash of the content of `packed/`, whatever files it lies in.

Cost: reads `packed/` once; in tasks, where it is large.
"""

from functools import partial

from headrace.cluster import here, ledger
from headrace.cluster.errors import OutputError
from headrace.pipelines.passes import parts
from headrace.pipelines.passes.digest import digest as digest_of
from headrace.pipelines.passes.digest import files


def digest(run: str) -> str:
    """The digest of a run.

    Raises: OutputError where nothing is packed in it; DamagedError where a file is not what was committed;
    StorageError.
    """
    shards = files(run)
    if not shards:
        raise OutputError(f"nothing is packed in {run!r}; run `headrace prepare` on its recipe first")
    outputs = [o for record in ledger.load(run, parts.PACK).values() for o in record["outputs"]]
    sums = {o["path"]: o["xxh3"] for o in outputs if o["path"].startswith("packed/") and "xxh3" in o}
    return digest_of(run, partial(here.each, size=sum(entry.size for _, entry in shards)), sums)
