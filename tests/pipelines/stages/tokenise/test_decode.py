"""Decoding: runs of packed rows are the texts that went in, by table and by the tokenizer's decoder."""

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.pipelines.stages.pack import stage as pack
from headrace.pipelines.stages.tokenise import stage as tokenise
from headrace.pipelines.stages.tokenise.decode import Decoder
from headrace.pipelines.stages.tokenise.tokenizer import Tokenizer, load
from tests.builders import table, text_table
from tests.pipelines.stages.tokenise.chats import Make


def packed(tokenizer: Tokenizer, texts: list[str], length: int = 64) -> pa.Table:
    """Texts, one a row, tokenised and packed."""
    config = tokenise.Config(max_length=length)
    _, samples = tokenise.apply(text_table(texts, first=7), config, tokenizer, {})
    return pack.apply(samples, pack.Config(), config, pad_id=tokenizer.pad_id)


def decoded(decoder: Decoder, rows: pa.Table) -> dict[int, list[str]]:
    """Runs by row_id."""
    runs = decoder.runs(rows)
    found: dict[int, list[str]] = {}
    for text, row, segment in zip(runs.texts.to_pylist(), runs.rows, runs.segments, strict=True):
        found.setdefault(rows["row_ids"][int(row)].as_py()[int(segment)], []).append(text)
    return found


@given(texts=st.lists(st.text(min_size=1, max_size=12), min_size=1, max_size=6))
@settings(max_examples=60, deadline=None)
def test_texts_come_back(texts: list[str]) -> None:
    tokenizer = load(None)
    decoder = Decoder(tokenizer)
    assert decoder.table is not None
    assert decoded(decoder, packed(tokenizer, texts)) == {7 + i: [t] for i, t in enumerate(texts)}


def test_the_slow_way_gives_the_same() -> None:
    texts = ["Grüße 😀 漢字", "plain words, 12 of them", "a"]
    tokenizer = load(None)
    rows = packed(tokenizer, texts)
    slow = Decoder(tokenizer)
    slow.table = None
    assert (
        decoded(slow, rows) == decoded(Decoder(tokenizer), rows) == {7 + i: [t] for i, t in enumerate(texts)}
    )


def test_tokens_of_any_length_come_back_one_after_the_other() -> None:
    tokenizer = load(None)
    decoder = Decoder(tokenizer)
    assert decoder.table is not None
    tokens = decoder.table.to_pylist()
    plain = [n for n, raw in enumerate(tokens) if n not in tokenizer.special.values() and raw.isascii()]
    assert {7, 8, 9} < {len(tokens[n]) for n in plain}
    ids = pa.array([plain, plain[::-1]], pa.list_(pa.int32()))
    ones = pa.array([[1] * len(plain)] * 2, pa.list_(pa.int32()))
    texts = decoder.runs(pa.table({"input_ids": ids, "segment_ids": ones})).texts.to_pylist()
    assert texts == [b"".join(tokens[n] for n in order).decode() for order in (plain, plain[::-1])]


def test_pieces_cut_inside_characters_and_foreign_ids() -> None:
    tokenizer = load(None)
    rows = packed(tokenizer, ["😀漢字ü" * 60], length=16)
    slow = Decoder(tokenizer)
    slow.table = None
    pieces = decoded(slow, rows)
    assert sum("\ufffd" in piece for piece in pieces[7]) > 5
    assert decoded(Decoder(tokenizer), rows) == pieces
    ids = pa.array([[100_000] * 16] * rows.num_rows, rows.schema.field("input_ids").type)
    with pytest.raises(ValueError, match="vocabulary"):
        Decoder(tokenizer).runs(rows.set_column(rows.schema.get_field_index("input_ids"), "input_ids", ids))


def test_a_table_that_is_wrong_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Decoder, "_bytes", lambda self: pa.array([b"x"] * 100_000, pa.large_binary()))
    assert Decoder(load(None)).table is None


def test_special_tokens_part_runs(make: Make) -> None:
    tokenizer = make("chatml")
    talk = [("user", "a <think> b"), ("assistant", "c")]
    config = tokenise.Config(max_length=64)
    _, samples = tokenise.apply(table(talk, first=1), config, tokenizer, {})
    rows = pack.apply(samples, pack.Config(), config, pad_id=tokenizer.pad_id)
    runs = decoded(Decoder(tokenizer), rows)[1]
    assert [run for run in runs if run.strip()] == ["user\na <think> b", "assistant\nc"]


def test_no_rows() -> None:
    assert len(Decoder(load(None)).runs(pack.PACKED.empty_table()).texts) == 0
