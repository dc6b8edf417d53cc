"""What advice is made from: of a prepared run the first rows of every source."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headrace.cluster import ledger
from headrace.pipelines.commands.advise import gather
from tests import builders

ANSWER = "We will call you back as soon as we can."


def prepared(run: Path, **sources: list[list[builders.Turn]]) -> str:
    """A run directory with a file of `prepared/` for each of these sources."""
    for ordinal, (name, rows) in enumerate(sources.items()):
        table = builders.table(*rows)
        ids = pa.array([ordinal << 32 | at for at in range(len(rows))], pa.uint64())
        table = table.set_column(table.schema.get_field_index("row_id"), "row_id", ids)
        table = table.set_column(
            table.schema.get_field_index("source"), "source", pa.array([name] * len(rows))
        )
        path = f"prepared/part-{ordinal}.parquet"
        (run / "prepared").mkdir(parents=True, exist_ok=True)
        pq.write_table(table, run / path, row_group_size=50)
        record = {"ordinal": ordinal, "part": 0, "source": name, "rows": {"in": len(rows), "kept": len(rows)}}
        ledger.commit(str(run), "prepare", f"{ordinal}", {**record, "outputs": [{"path": path}]})
    (run / "duplicates").mkdir()
    gone = pa.table({"removed": pa.array([2], pa.uint64())})
    pq.write_table(gone, run / "duplicates/removed.parquet")
    return str(run)


def rows(count: int, answer: str | None = None) -> list[list[builders.Turn]]:
    return [
        [
            ("user", f"What of {builders.story(k, 6)}?"),
            ("assistant", answer or f"It is {builders.story(k + 10_000, 5)}."),
        ]
        for k in range(count)
    ]


def test_every_source_is_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gather, "ROWS", 0)
    monkeypatch.setattr(gather, "EACH_SOURCE", 120)
    run = prepared(tmp_path, good=rows(400), stock=rows(200, ANSWER))
    found = gather.told(run, {}, "RUN")
    assert found.formed == 239  # 120 of each, less the duplicate
    assert {code: n for code, n in found.forms.items() if n} == {"one_answer": 120}
    assert found.examples["one_answer"] == [1 << 32 | at for at in range(5)]


def test_lengths_are_those_of_all_rows() -> None:
    of = gather._means([((4000, 400, 10), 30), ((800, 80, 10), 10)])
    assert of == ((400 * 30 + 80 * 10) // 160, (40 * 30 + 8 * 10) // 160)
    assert gather._means([((0, 0, 0), 0)]) == (0, 0)


def test_a_run_without_rows_has_nothing_to_look_at(tmp_path: Path) -> None:
    assert gather.told(str(tmp_path), {}, "RUN").formed == 0
