"""The check `bias`: what it counts, what it says of answers, and the rows that it exchanges."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headrace.cluster import storage
from headrace.pipelines.examine.bias import compare, run
from headrace.pipelines.examine.bias.config import Config
from tests import builders

Pair = tuple[str, str]
REFUSED = pa.struct([("flags", pa.list_(pa.string()))])


def examined(
    folder: Path,
    pairs: list[Pair],
    config: Config | None = None,
    cuts: tuple[int, ...] = (),
    **columns: pa.Array,
) -> dict[str, Any]:
    """What the check says of questions and answers."""
    table = builders.table(*([("user", q), ("assistant", a)] for q, a in pairs), first=1 << 32)
    for name, values in columns.items():
        table = table.append_column(name, values)
    (folder / "duplicates").mkdir()
    storage.write_ranges(
        str(folder / "duplicates/removed.parquet"),
        pa.table({"removed": pa.array([], pa.uint64()), "rule": pa.array([], pa.string())}),
    )
    (folder / "prepared").mkdir()
    paths = []
    for first, last in zip((0, *cuts), (*cuts, len(pairs)), strict=True):
        paths.append(str(folder / f"prepared/part-000001-{first:04}.parquet"))
        storage.write_table(paths[-1], table.slice(first, last - first))
    return run.run(paths, str(folder), config or Config(), builders.in_order)


WOMEN = [("Is the woman right?", "yes indeed " * 20)] * 40
MEN = [("Is the man right?", "no")] * 60
OTHERS = [("What is the time of day?", "noon")] * 50


def test_groups_are_counted_and_held_against_the_most_frequent(tmp_path: Path) -> None:
    both = [("Are the man and the woman right?", "no")] * 10
    said = examined(tmp_path, [*WOMEN, *MEN, *both, *OTHERS])
    gender = said["lists"]["gender"]
    assert (said["rows"], gender["rows"], gender["beside"]) == (160, 110, "male")
    female = gender["groups"]["female"]
    assert (female["rows"], female["prompts"], female["answers"], female["asked"]) == (50, 50, 0, 40)
    assert (female["named"]["only"], female["named"]["other"]) == (40, 60)
    assert female["named"]["ratio"] == pytest.approx(0.6667)
    low, high = female["named"]["interval"]
    assert low < 0.6667 < high
    assert female["length"]["unlike"]
    assert female["length"]["value"] == pytest.approx(221 / 3, rel=1e-3)
    assert "named" not in gender["groups"]["male"]
    assert said["lists"]["nationality"] == {
        "rows": 0,
        "beside": None,
        "groups": {},
        "swaps": {"rows": 0, "of": 0},
    }
    assert len(said["unseen"]) == 5


def test_the_same_in_one_file_and_in_many(tmp_path: Path) -> None:
    pairs = [*WOMEN, *MEN, *OTHERS]
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    one, many = examined(tmp_path / "a", pairs), examined(tmp_path / "b", pairs, cuts=(1, 40, 99))
    assert json.dumps(one) == json.dumps(many)
    for name in ("bias", "bias.labels", "bias.swaps"):
        first, second = (pq.read_table(tmp_path / x / f"findings/{name}.parquet") for x in "ab")
        assert first.equals(second)


def test_refusals_are_compared_where_traits_tell_them(tmp_path: Path) -> None:
    pairs = [("Is the woman right?", "I will not say whether")] * 40 + [
        ("Is the man right?", "he is right")
    ] * 40
    flags = [{"flags": ["opener", "refusal"]}] * 30 + [{"flags": []}] * 49 + [{"flags": ["refusal"]}]
    (tmp_path / "told").mkdir()
    (tmp_path / "not").mkdir()
    said = examined(tmp_path / "told", pairs, traits=pa.array(flags, REFUSED))
    (group,) = (g for g in said["lists"]["gender"]["groups"].values() if "refusals" in g)
    assert sorted(group["refusals"]["refused"]) == [1, 30]
    assert abs(group["refusals"]["value"]) == pytest.approx(29 / 40)
    assert group["refusals"]["unlike"]
    untold = examined(tmp_path / "not", pairs)
    assert [g.get("refusals") for g in untold["lists"]["gender"]["groups"].values()].count(None) == 2


def test_labels_are_compared_and_stay_out_of_the_report(tmp_path: Path) -> None:
    hired = [("The woman applied", "turned_down")] * 35 + [("The woman applied", "taken_on")] * 5
    hired += [("The man applied", "turned_down")] * 5 + [("The man applied", "taken_on")] * 36
    said = examined(tmp_path, hired)
    female = said["lists"]["gender"]["groups"]["female"]
    assert female["labels"]["labels"] == 2
    assert female["labels"]["differ"] == 2
    assert female["labels"]["distance"] == pytest.approx(35 / 40 - 5 / 41, abs=1e-3)
    assert "taken_on" not in json.dumps(said)
    listed = pq.read_table(tmp_path / "findings/bias.labels.parquet").to_pylist()
    gender = {(r["group"], r["label"]): r["rows"] for r in listed if r["list"] == "gender"}
    assert gender["female", "taken_on"] == 5


def test_how_rows_lie_in_files_does_not_decide_what_a_label_is(tmp_path: Path) -> None:
    pairs = [(f"The {('man', 'woman')[n % 2]} applied", "taken_on") for n in range(80)]
    pairs += [("What is the time of day?", f"answer {n}") for n in range(240)]
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    one, many = examined(tmp_path / "a", pairs), examined(tmp_path / "b", pairs, cuts=(160, 240))
    assert one == many
    assert one["lists"]["gender"]["groups"]["male"]["labels"] is None
    assert pq.read_table(tmp_path / "b/findings/bias.labels.parquet").num_rows == 0


def test_rows_are_exchanged_where_every_word_has_a_counterpart(tmp_path: Path) -> None:
    pairs = [
        ("Ask the Actress if SHE is an Irish citizen.", "She is a woman."),
        ("Did he see her with the man?", "no"),
        ("Has she seen her mother?", "yes"),
        ("What is the time of day?", "noon"),
    ]
    said = examined(tmp_path, pairs)
    assert said["lists"]["gender"]["swaps"] == {"rows": 1, "of": 2}
    swaps = {r["list"]: r for r in pq.read_table(tmp_path / "findings/bias.swaps.parquet").to_pylist()}
    gender = swaps["gender"]
    assert (gender["row_id"], gender["group_from"], gender["group_to"]) == (1 << 32, "female", "male")
    assert [m["content"] for m in gender["messages"]] == [
        "Ask the Actor if HE is an Irish citizen.",
        "He is a man.",
    ]
    nation = swaps["nationality"]
    article = "an" if nation["group_to"][0] in "aeiou" else "a"
    assert f" {article} {nation['group_to'].capitalize()} citizen" in nation["messages"][0]["content"]
    assert "Actress" not in json.dumps(said)


def test_no_more_rows_are_exchanged_than_asked_for(tmp_path: Path) -> None:
    said = examined(tmp_path, [*WOMEN, *MEN], Config(swaps=7, lists=("gender",)))
    assert said["lists"]["gender"]["swaps"] == {"rows": 7, "of": 100}
    assert pq.read_table(tmp_path / "findings/bias.swaps.parquet").num_rows == 7


def test_a_run_of_nothing(tmp_path: Path) -> None:
    said = examined(tmp_path, [])
    assert said["rows"] == 0
    assert said["lists"]["gender"]["groups"] == {}


def test_newcombes_interval() -> None:
    # Newcombe 1998, table II, example (a), method 10: 56/70 - 48/80.
    low, high = compare.newcombe(56, 70, 48, 80, 1.959964)
    assert (low, high) == pytest.approx((0.0524, 0.3339), abs=1e-4)
