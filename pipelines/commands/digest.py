"""What `headrace digest` prints: one hash of the content of `packed/`, whatever files it lies in.

Cost: reads `packed/` once, in tasks.
"""

from headrace.cluster import session
from headrace.cluster.errors import OutputError
from headrace.pipelines.passes import summary


def digest(run: str) -> str:
    """The digest of a run. Raises: OutputError where nothing is packed in it; StorageError."""
    if not summary.files(run):
        raise OutputError(f"nothing is packed in {run!r}; run `headrace prepare` on its recipe first")
    session.start(1)
    return summary.digest(run, workers=session.cpus())
