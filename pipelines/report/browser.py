"""Show a report in the browser of whoever sits here.

A page on object storage is copied to a temporary file first, as browsers know no `s3://`; it is left there,
for the browser reads it when it likes.
"""

import tempfile
import webbrowser
from pathlib import Path

from headrace.cluster import storage


def show(page: str) -> tuple[str, bool]:
    """Open the page at a path, local or `s3://`; returns the path that is shown, and whether a browser was
    there to show it.

    Raises: StorageError.
    """
    local = Path(page)
    if storage.is_remote(page):
        local = Path(tempfile.mkdtemp(prefix="headrace-report-")) / local.name
        local.write_bytes(storage.read_bytes(page))
    return str(local), webbrowser.open(local.resolve().as_uri())
