"""`headrace fingerprints`: what another run needs to drop the rows of this one, without any text.

Cost: reads `prepared/` once and sketches its texts, in tasks.
"""

from functools import partial

from headrace.cluster import session, stream
from headrace.pipelines.console import Line
from headrace.pipelines.stages.dedup import against


def export(run: str, directory: str) -> Line:
    """Write the fingerprints of a run's rows to `directory`, for `dedup.against`; returns what to print.

    Raises: OutputError where the run is not prepared or the directory holds something else; StorageError.
    """
    session.start(1)
    done = against.export(run, directory, partial(stream.each, workers=session.cpus()))
    return Line(f"fingerprints of {done['rows']:,} rows in {directory}", done)
