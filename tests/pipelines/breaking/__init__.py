"""Stages that raise on rows with their marker, quoting the row's text: what logs must not hold."""

import pyarrow as pa

from headrace.pipelines import schema


def quote(table: pa.Table, stage: str) -> None:
    """Raise ValueError with the first live content that says ``BREAK-<stage>``."""
    live = table.filter(schema.live(table))
    for content in schema.contents(live)[2].to_pylist():
        if f"BREAK-{stage}" in (content or ""):
            raise ValueError(content)
