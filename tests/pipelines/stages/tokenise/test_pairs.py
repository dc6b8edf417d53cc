"""Both answers of a preference row become samples beside each other, or neither does."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.pipelines import schema
from headrace.pipelines.schema import IGNORE
from headrace.pipelines.stages.pack import stage as pack
from headrace.pipelines.stages.tokenise import pairs, stage
from headrace.pipelines.stages.tokenise.config import Config
from tests.builders import Turn, table

CONFIG = Config(max_length=64)
TOKENIZER = stage.tokenizer(None, CONFIG)


def pair(prompt: str, chosen: str, rejected: str) -> list[Turn]:
    return [("user", prompt), ("assistant", chosen), ("rejected", rejected)]


def applied(*rows: Sequence[Turn], config: Config = CONFIG, **fields: Any) -> tuple[pa.Table, pa.Table]:
    return stage.apply(table(*rows, **fields), config, TOKENIZER, {})


def learned(samples: pa.Table) -> list[str]:
    """What each sample has loss on."""
    return [TOKENIZER.decode([t for t in row if t != IGNORE]) for row in samples["labels"].to_pylist()]


def test_each_answer_is_a_sample_with_loss_on_the_answer_alone() -> None:
    before = [("user", "a"), ("assistant", "b"), ("user", "c")]
    _, samples = applied([*before, ("assistant", "good one"), ("rejected", "bad one")])
    assert learned(samples) == ["good one<|im_end|>", "bad one<|im_end|>"]
    assert samples["piece"].to_pylist() == [0, 1]
    assert samples[stage.PREFERRED].to_pylist() == [pairs.CHOSEN, pairs.REJECTED]
    chosen, rejected = samples["input_ids"].to_pylist()
    plain = applied([*before, ("assistant", "good one")])[1]
    assert chosen == plain["input_ids"].to_pylist()[0]
    assert rejected == applied([*before, ("assistant", "bad one")])[1]["input_ids"].to_pylist()[0]


def test_rows_without_pairs_have_no_other_column() -> None:
    _, samples = applied([("user", "a"), ("assistant", "b")])
    assert samples.schema == stage.SAMPLES


@pytest.mark.parametrize("size", [1, 500, 10**9])
def test_rows_by_slices_are_the_rows_at_once(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    plain = [[("user", f"ask {n}"), ("assistant", "x " * (90 * (n == 3)) + "said")] for n in range(7)]
    made = table(*plain[:5], pair("ask", "good", "bad"), [("user", "no answer")], *plain[5:])
    monkeypatch.setattr(stage, "SLICE", size)
    for rows in (made, made.slice(0, 4), made.slice(0, 0)):
        wanted, found = stage.apply(rows, CONFIG, TOKENIZER, {}), stage.by_slices(rows, CONFIG, TOKENIZER, {})
        for one, other in zip(wanted, found, strict=True):
            assert other.schema == one.schema
            assert other.to_pylist() == one.to_pylist()


def test_what_one_slice_alone_changes_is_said_of_its_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    turns = [("user", "ask"), ("assistant", "it")]
    made = table(turns, 2 * turns, turns)
    monkeypatch.setattr(stage, "SLICE", 1)
    marked, samples = stage.by_slices(made, CONFIG, TOKENIZER, {"s": "last"})
    assert schema.changes(marked).to_pylist() == [
        {"row_id": made["row_id"][1].as_py(), "kind": "tokenise.earlier", "n": 1}
    ]
    assert samples.num_rows == 3
    assert marked["messages"].equals(made["messages"])


def test_a_source_with_loss_on_all_learns_the_answers_of_pairs_alone() -> None:
    made = table(pair("ask", "good", "bad"), [("user", "ask"), ("assistant", "it")])
    _, samples = stage.apply(made, CONFIG, TOKENIZER, {"s": "all"})
    assert learned(samples)[:2] == ["good<|im_end|>", "bad<|im_end|>"]
    assert learned(samples)[2].startswith("ask")


def test_a_pair_goes_as_a_whole_and_says_why() -> None:
    long = "x " * 80
    marked, samples = applied(
        pair("a", "same", "same"),
        pair("a", long, "short"),
        pair("a", "short", long),
        pair("a", "y " * 9, "z " * 9),
        [("user", "a"), ("rejected", "r")],
        pair("a", "good", "bad"),
    )
    reasons = [row["drop"] or row["error"] for row in marked.to_pylist()]
    long_one = "tokenise.pair_too_long"
    assert reasons == ["tokenise.equal_answers", long_one, long_one, None, "tokenise.error", None]
    assert marked["detail"].to_pylist()[4] == pairs.STRAY
    assert samples["row_id"].to_pylist() == [3, 3, 5, 5]
    assert not any(marked["shortened"].to_pylist())


def test_the_limit_is_of_both_answers_together() -> None:
    one = pair("a", "b " * 5, "c " * 5)
    both = sum(len(ids) for ids in applied(one)[1]["input_ids"].to_pylist())
    assert applied(one, config=Config(max_length=both))[1].num_rows == 2
    assert applied(one, config=Config(max_length=both - 1))[1].num_rows == 0


WORDS = st.text("ab ", min_size=1, max_size=30).map(lambda text: f"w{text}w")
ROW = st.one_of(
    st.tuples(WORDS, WORDS, WORDS).map(lambda three: pair(*three)),
    st.tuples(WORDS, WORDS).map(lambda two: [("user", two[0]), ("assistant", two[1])]),
)


@given(st.lists(ROW, min_size=1, max_size=12))
def test_packed_pairs_stand_beside_each_other(rows: list[list[Turn]]) -> None:
    marked, samples = applied(*rows)
    kept = [row["row_id"] for row in marked.to_pylist() if not row["drop"]]
    packed = pack.apply(samples, pack.Config(), CONFIG, pad_id=0)
    found = []
    for row in packed.to_pylist():
        signs = row.get(stage.PREFERRED) or [0] * len(row["row_ids"])
        assert len(signs) == len(row["row_ids"]) == max(row["segment_ids"])
        for at, sign in enumerate(signs):
            if sign == pairs.CHOSEN:
                assert signs[at + 1] == pairs.REJECTED
                assert row["row_ids"][at] == row["row_ids"][at + 1]
                assert row["pieces"][at : at + 2] == [0, 1]
            if sign != pairs.REJECTED:
                found.append(row["row_ids"][at])
            own = np.array(row["segment_ids"]) == at + 1
            assert (np.array(row["labels"])[own] != IGNORE).any()
    assert sorted(found) == kept
