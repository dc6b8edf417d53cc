"""Rows of a run are found again by their ids."""

from pathlib import Path

from headrace.cluster import storage
from headrace.pipelines import schema, stored, structure

TALK = [{"role": "user", "content": "Why?"}, {"role": "assistant", "content": "So."}]
TEXT = [{"role": "text", "content": "A page."}]


def run(folder: Path) -> str:
    """A run with two parts of fragment 0 and one of fragment 1, a row in each."""
    for ordinal, part, messages in ((0, 0, TALK), (0, 1, TEXT), (1, 0, None)):
        row = {"row_id": ordinal << 32 | part, "n_records": 1, "source": "s", "file": "f", "place": "line 3"}
        table = schema.from_rows([{**row, "messages": messages}])
        storage.write_table(f"{folder}/prepared/part-{ordinal:08d}-{part:04d}.parquet", table)
    return str(folder)


def test_rows_are_found_in_the_order_of_their_ids_and_absent_ones_left_out(tmp_path: Path) -> None:
    listed = stored.rows(run(tmp_path), [1 << 32, 1, 7, 9 << 32], ["source"])
    assert listed == [{"row_id": 1, "source": "s"}, {"row_id": 1 << 32, "source": "s"}]
    assert stored.rows(str(tmp_path / "none"), [1], ["source"]) == []


def test_a_row_is_shown_with_its_place_its_text_and_its_two_parts(tmp_path: Path) -> None:
    found = stored.find(run(tmp_path), [0, 1, 1 << 32])
    assert found[0] == stored.Stored("s", "f, line 3", "[user] Why?\n\n[assistant] So.", ("Why?", "So."))
    assert (found[1].text, found[1].parts) == ("A page.", ("", "A page."))
    assert (found[1 << 32].text, found[1 << 32].parts) == ("", ("", ""))


def test_calls_are_shown_as_lines_below_what_was_said() -> None:
    call = {"type": "function", "function": {"name": "look", "arguments": {}}}
    content = structure.sealed("I look.", {"tool_calls": [call]})
    shown = stored.as_text([{"role": "user", "content": "Where?"}, {"role": "assistant", "content": content}])
    assert shown.startswith('[user] Where?\n\n[assistant] I look.\n{\n"tool_calls": [')
    assert not {structure.OPEN, structure.CLOSE} & {*shown}
