"""The gate: what stands in token shards and is no stand-in, kept entity or exempt role is a leak."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from headrace.cluster import ledger, storage
from headrace.pipelines import schema
from headrace.pipelines.passes import parts, prepare_worker
from headrace.pipelines.passes.gate import driver as gate
from headrace.pipelines.passes.gate import worker as gate_worker
from headrace.pipelines.passes.gate.worker import note
from headrace.pipelines.recipe import Recipe
from headrace.pipelines.stages.dedup import passages
from headrace.pipelines.stages.pack import stage as pack
from headrace.pipelines.stages.pii import stage as pii
from headrace.pipelines.stages.pii.findings import Finding
from headrace.pipelines.stages.tokenise import stage as tokenise
from tests.builders import MAIL, PHONE, Turn, recipe_of, table

WINDOW, NONE = parts.Window(0, ("00000000-0000",), 0, 0), frozenset[str]()
DRESSED = "425_882_8080"  # which no recogniser knows


def scanned(
    folder: Path,
    talk: list[Turn],
    said: list[str] | None = None,
    *,
    pieces: bool = False,
    cuts: frozenset[str] = NONE,
    **switches: Any,
) -> list[dict[str, Any]]:
    """Leaks of a window with one row, packed as prepared, or with `said` as its contents."""
    data = recipe_of(folder, "in", "s", pii=switches)
    recipe = Recipe.model_validate({**data, "tokenise": {"max_length": 32}} if pieces else data)
    tokenizer = tokenise.tokenizer(None, recipe.tokenise)
    done = pii.apply(table(talk), recipe.pii)
    window = WINDOW
    path = str(folder / "prepared/part-00000000-0000.parquet")
    storage.write_table(path, done.drop_columns(list(prepare_worker.MARKS)))
    if said is not None:
        roles, rows, _ = schema.contents(done)
        done = schema.rebuild(done, rows, roles, pa.array(said, pa.large_string()))
    _, samples = tokenise.apply(done, recipe.tokenise, tokenizer, {"s": "all"})
    shard = pack.apply(samples, recipe.pack, recipe.tokenise, pad_id=tokenizer.pad_id)
    storage.write_table(str(folder / "packed/train/part-00000000.parquet"), shard)
    output = {"path": "packed/train/part-00000000.parquet", "split": "train"}
    record = gate_worker.work((window, [output]), gate_worker.Job(recipe, {0: "k"}, cuts))
    assert ledger.load(str(folder), parts.GATE)["00000000"] == record
    assert record["messages"] == len(talk) or pieces
    leaks: list[dict[str, Any]] = record["leaks"]
    return leaks


TALK = [("user", f"hi, {PHONE} or {MAIL} on 12/01/2020"), ("assistant", "noted")]


@pytest.mark.parametrize("kind", ["tag", "mask", "redact", "hash", "surrogate"])
def test_what_was_issued_is_no_leak(tmp_path: Path, pii_key: None, kind: str) -> None:
    assert scanned(tmp_path, TALK, kind=kind) == []


def test_a_planted_value_is_a_leak(tmp_path: Path) -> None:
    leaks = scanned(tmp_path, TALK, ["hi", f"call {PHONE}, {PHONE}"])
    assert leaks == [{"split": "train", "entity": "PHONE_NUMBER", "n": 2, "rows": [0]}]
    assert note(leaks) == "2 PHONE_NUMBER in train (rows 0)"


def test_every_shard_and_row_group_is_looked_through(tmp_path: Path) -> None:
    scanned(tmp_path, TALK, ["hi", f"call {PHONE}"])
    shard = storage.read_table(str(tmp_path / "packed/train/part-00000000.parquet"))
    outputs = [{"path": f"packed/{side}/part-00000000.parquet", "split": side} for side in ("train", "test")]
    for output, count in zip(outputs, (3, 1), strict=True):
        storage.write_table(str(tmp_path / output["path"]), pa.concat_tables([shard] * count), row_group=1)
    recipe = Recipe.model_validate(recipe_of(tmp_path, "in", "s"))
    record = gate_worker.work((WINDOW, outputs), gate_worker.Job(recipe, {0: "k"}))
    assert record["leaks"] == [
        {"split": "test", "entity": "PHONE_NUMBER", "n": 1, "rows": [0]},
        {"split": "train", "entity": "PHONE_NUMBER", "n": 3, "rows": [0]},
    ]
    assert (record["rows"], record["messages"]) == (4, 8)
    assert gate_worker.work((WINDOW, []), gate_worker.Job(recipe, {0: "k"}))["leaks"] == []


def test_what_a_cut_brings_together_is_no_leak_and_what_is_planted_beside_it_is(tmp_path: Path) -> None:
    before, passage, behind = "call 425 882", " the same in many texts ", "8080 today"
    talk = [("text", before + passage + behind)]
    unit = "00000000-0000"
    cut = {"row_id": 0, "message": 0, "start": len(before), "stop": len(before + passage), "stands": False}
    for name in ("a", "b", "c"):
        path = str(tmp_path / name / f"duplicates/cuts/part-{unit}.parquet")
        storage.write_table(path, pa.Table.from_pylist([cut], passages.CUTS))
    joined = f"{before} {behind}"
    assert [leak["entity"] for leak in scanned(tmp_path / "a", talk, [joined])] == ["PHONE_NUMBER"]
    assert scanned(tmp_path / "b", talk, [joined], cuts=frozenset([unit])) == []
    leaks = scanned(tmp_path / "c", talk, [f"{joined} {MAIL}"], cuts=frozenset([unit]))
    assert "EMAIL_ADDRESS" in [leak["entity"] for leak in leaks]


@pytest.mark.parametrize(
    ("said", "value", "due"),
    [
        ("{}", "425 882 8080", True),
        ("{}", MAIL, False),  # far from where something was cut: it was there before
        ("{} more", "425 882 8080", False),  # not what cutting gives
        ("{}", "882 8080", True),
    ],
)
@pytest.mark.parametrize("lowered", [False, True])
def test_only_what_stands_where_something_was_cut_is_excused(
    said: str, value: str, due: bool, lowered: bool
) -> None:
    before, behind = f"Mail {MAIL} {'so ' * 80}Call 425 882", "8080 today"
    row = gate_worker.Row(
        [{"role": "text", "content": f"{before} the same in many {behind}"}], [], [], (f"{before} {behind}",)
    )
    text = said.format(row.cut[0].lower() if lowered else row.cut[0])
    start = text.index(value)
    message = gate_worker.Message(text, "text", 0, [])
    assert gate_worker._is_joined((start, start + len(value)), message, row) == due


@pytest.mark.parametrize("switches", [{}, {"entities": ["EMAIL_ADDRESS"]}, {"kind": "keep"}])
@pytest.mark.parametrize("said", ["aaa P ccc", "aaa ccc and a piece of more"])  # beside a cut, and a piece
def test_what_could_not_be_looked_through_is_a_leak(switches: dict[str, Any], said: str) -> None:
    recipe = Recipe.model_validate({"output": "o", "sources": [{"path": "in"}], "pii": switches})
    judge = gate_worker.Judge(recipe, WINDOW, NONE)
    judge._rows = {0: gate_worker.Row([{"role": "text", "content": said}], [], [], ("aaa ccc",))}
    failed = Finding(0, 0, gate_worker.UNEXAMINED, 1.0, "")
    assert list(judge.leaks(gate_worker.Message("aaa ccc", "text", 0, [failed]))) == [gate_worker.UNEXAMINED]


def test_an_exempt_role_may_stay_unexamined() -> None:
    pii_config = {"roles": {"system": "keep"}}
    recipe = Recipe.model_validate({"output": "o", "sources": [{"path": "in"}], "pii": pii_config})
    failed = Finding(0, 0, gate_worker.UNEXAMINED, 1.0, "")
    judge = gate_worker.Judge(recipe, WINDOW, NONE)
    assert list(judge.leaks(gate_worker.Message("be brief", "system", 0, [failed]))) == []


def test_another_rows_stand_in_is_a_leak(tmp_path: Path, pii_key: None) -> None:
    other = tmp_path / "other"
    assert scanned(other, [("user", PHONE), ("assistant", "x")], kind="surrogate") == []
    stand_in = storage.read_table(str(other / "prepared/part-00000000-0000.parquet"))
    said = stand_in["messages"][0].as_py()[0]["content"]
    leaks = scanned(tmp_path / "own", [("user", MAIL), ("assistant", "x")], [said, "x"], kind="surrogate")
    assert [leak["entity"] for leak in leaks] == ["PHONE_NUMBER"]


def test_kept_entities_and_exempt_roles_are_no_leaks(tmp_path: Path) -> None:
    talk = [("user", "on 12/01/2020 see http://example.com"), ("assistant", f"call {PHONE}")]
    assert scanned(tmp_path, talk, roles={"assistant": "keep"}) == []
    swapped = [f"call {PHONE} now, please", "on 12/01/2020"]  # in a role that is not exempt
    leaks = scanned(tmp_path / "b", talk, swapped, roles={"assistant": "keep"})
    assert [leak["entity"] for leak in leaks] == ["PHONE_NUMBER"]


def test_other_gaps_are_other_words(tmp_path: Path, pii_key: None) -> None:
    talk = [("user", f"call {PHONE}"), ("assistant", "table | 425   | 882    | 8080 |")]
    assert scanned(tmp_path, talk) == []


def test_a_stand_in_that_is_somebody_elses_name_is_no_leak(tmp_path: Path, pii_key: None) -> None:
    assert scanned(tmp_path, [("user", "Hello, my name is Person."), ("assistant", "Hello")]) == []


def test_pieces_of_long_texts_are_no_leaks(tmp_path: Path) -> None:
    numbers = "\n".join(f"{n * 7919 % 10**13:013d} x=0.{n * 104729 % 10**9}e-7;" for n in range(400))
    assert scanned(tmp_path, [("text", numbers)], pieces=True) == []


def test_a_text_is_of_its_own_role(tmp_path: Path) -> None:
    talk = [("text", f"user\n{PHONE}")]
    assert scanned(tmp_path, talk, roles={"text": "keep"}) == []
    leaks = scanned(tmp_path / "b", [("text", "user\nhello")], [f"user\n{PHONE}"], roles={"user": "keep"})
    assert [leak["entity"] for leak in leaks] == ["PHONE_NUMBER"]


def test_a_message_that_cannot_be_examined_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = gate_worker.findings_in

    def failing(texts: pa.Array, config: Any) -> Any:
        return real(texts, config)._replace(failures={1: "ValueError"} if len(texts) else {})

    monkeypatch.setattr(gate_worker, "findings_in", failing)
    talk = [("user", "hi"), ("assistant", "noted")]
    assert scanned(tmp_path / "as it was", talk) == []
    leaks = scanned(tmp_path / "other text", talk, ["hi there", "noted by all"])
    assert leaks == [{"split": "train", "entity": "UNEXAMINED", "n": 1, "rows": [0]}]


def test_role_names_are_no_context(tmp_path: Path) -> None:
    assert scanned(tmp_path, [("user", "raj\n653893893\n5"), ("assistant", "ok")]) == []


def test_a_replaced_value_is_known_under_a_key(
    tmp_path: Path, pii_key: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = ["hi", f"call {DRESSED}"]
    leaks = scanned(tmp_path / "with", TALK, said)
    assert leaks == [{"split": "train", "entity": "PHONE_NUMBER", "n": 1, "rows": [0]}]
    assert scanned(tmp_path / "kept", TALK, said, roles={"assistant": "keep"}) == []
    monkeypatch.delenv("HEADRACE_PII_KEY")
    assert scanned(tmp_path / "without", TALK, said) == []


WORN = ["ann.lee%40example.com", "ann.lee\uff20example.com", "ann.lee%2525252540example.com"]


@pytest.mark.parametrize("worn", WORN)
def test_a_value_in_other_dress_is_a_leak_whoever_looks_for_it(tmp_path: Path, worn: str) -> None:
    talk = [("user", "Whom do I write to?"), ("assistant", f"To {worn}.")]
    leaks = scanned(tmp_path, talk, without=["dress"])  # as if the search had overlooked it
    assert [(leak["entity"], leak["rows"]) for leak in leaks] == [("EMAIL_ADDRESS", [0])]
    assert scanned(tmp_path / "kept", talk, without=["dress"], roles={"assistant": "keep"}) == []


def test_a_value_in_other_dress_that_was_replaced_is_no_leak(tmp_path: Path, pii_key: None) -> None:
    talk = [("user", "Whom do I write to?"), ("assistant", f"To {WORN[0]}, or {MAIL}, %40 &#64; \u200b.")]
    for kind in ("tag", "mask", "redact", "hash", "surrogate"):
        assert scanned(tmp_path / kind, talk, kind=kind) == []


def test_summary_adds_windows_up() -> None:
    leak = {"split": "test", "entity": "X", "n": 2, "rows": [1, 2]}
    record = {"messages": 3, "bytes": 10, "leaks": [leak]}
    assert gate.summary([record, {**record, "leaks": []}, record]) == {
        "messages": 9,
        "bytes": 30,
        "leaks": [{**leak, "n": 4, "rows": [1, 2, 1, 2]}],
    }
    assert gate.summary([]) is None
