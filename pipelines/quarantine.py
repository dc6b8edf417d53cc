"""Setting single rows aside: a row that a stage could not work on costs that row, not the batch."""

import pyarrow as pa
import pyarrow.compute as pc

from headrace.pipelines import schema


def quarantine(table: pa.Table, causes: list[str | None], reason: str) -> pa.Table:
    """Mark the live rows that have a cause as `reason` ("stage.error") and put the cause into `detail`.

    `causes` has one entry a row: null, or words of ours such as an exception's class name; never its
    message, which may quote the row.
    """
    if not any(causes):
        return table
    given = pa.array(causes, pa.string())
    ours = pc.and_(schema.live(table), given.is_valid())
    detail = pc.if_else(ours, given, table["detail"].combine_chunks())
    table = table.set_column(table.schema.get_field_index("detail"), "detail", detail)
    return schema.mark(table, "error", pc.if_else(ours, reason, pa.scalar(None, pa.string())))
