"""Templates over files: what stays of a prompt, who stands for it, and that what is added changes none."""

import random
from pathlib import Path

import pyarrow as pa

from headrace.cluster import storage
from headrace.pipelines.examine.diversity import templates
from tests.builders import in_order, table

ENDS = ("don", "ri", "ash", "ben", "gor", "til")
SLOTS = [f"{a}{b}{c}{a}" for a in ("ka", "lo", "mi", "ter") for b in ("ven", "sul", "par") for c in ENDS]
POEM = "Write a short poem about {} for my friends"
ROUTE = "How do I get from {} to {} by night train?"


def prompts(n: int, seed: int) -> list[str]:
    draw = random.Random(seed)
    slots = draw.sample(SLOTS, len(SLOTS)) * 2
    filled = [draw.choice((POEM, ROUTE)).format(slots[k], slots[k + 40]) for k in range(n)]
    return [*filled, f"What did {SLOTS[seed]} say then, and {SLOTS[seed + 1]}, or {SLOTS[seed + 2]}?"]


def rows(asked: list[str], ordinal: int) -> pa.Table:
    preamble = ("system", "You answer in full sentences, whatever is asked of you.")
    made = table(*([preamble, ("user", one), ("assistant", "Yes.")] for one in asked), first=ordinal << 32)
    made = made.append_column("exact_lo", pa.array(range(100, 100 + len(asked)), pa.uint64()))
    return made.set_column(made.schema.get_field_index("group"), "group", pa.nulls(len(asked), pa.uint64()))


def told(folder: Path, files: list[pa.Table], held: dict[int, int] | None = None) -> dict[int, int]:
    """The row that stands for the template of each row that has one; the first file is the first start."""
    paths = [str(folder / f"part-{number}.parquet") for number in range(len(files))]
    for path, part in zip(paths, files, strict=True):
        storage.write_table(path, part)
    first = files[0].num_rows
    templates.run(paths, str(folder), first=first, stop=1, held=held or {}, each=in_order)
    assert not (folder / "work/templates").exists()
    found = storage.read_table(str(folder / templates.FILE))
    assert found["row_id"].to_pylist() == sorted(found["row_id"].to_pylist())
    return dict(zip(found["row_id"].to_pylist(), found["first"].to_pylist(), strict=True))


def test_prompts_that_are_one_template_have_one_first_row(tmp_path: Path) -> None:
    asked = prompts(80, 0)
    found = told(tmp_path, [rows(asked, 0)])
    poems, routes = ([n for n, one in enumerate(asked) if one.startswith(word)] for word in ("Write", "How"))
    assert found == {n: group[0] for group in (poems, routes) for n in group}


def test_what_is_added_changes_no_template_and_what_is_held_out_stands_first(tmp_path: Path) -> None:
    asked, more = prompts(80, 0), [*prompts(30, 1), *(f"{slot} or not?" for slot in SLOTS)]
    before = told(tmp_path / "a", [rows(asked, 0)])
    after = told(tmp_path / "b", [rows(asked, 0), rows(more, 1)])
    assert {row: first for row, first in after.items() if row < 1 << 32} == before
    assert set(after.values()) == set(before.values())
    assert len(after) == len(before) + 30
    held = told(tmp_path / "c", [rows(asked, 0), rows(more, 1)], held={1: 0})
    assert set(held) == set(after)
    assert {first >> 32 for first in held.values()} == {1}


def test_rows_that_nobody_asks_have_no_template(tmp_path: Path) -> None:
    texts = table(*([("text", one)] for one in prompts(60, 2)))
    texts = texts.append_column("exact_lo", pa.array(range(61), pa.uint64()))
    assert told(tmp_path, [texts]) == {}
