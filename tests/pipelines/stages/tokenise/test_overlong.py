"""Cuts of over-long rows: between values, and everything is still there."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.pipelines import structure
from headrace.pipelines.stages.pii import stage as pii
from headrace.pipelines.stages.pii.stage import Config
from headrace.pipelines.stages.tokenise import overlong as cutting
from headrace.pipelines.stages.tokenise import stage as tokenise
from headrace.pipelines.stages.tokenise.tokenizer import load
from tests.builders import MAIL, PHONE, table

VALUES = ["<PERSON_1>", "12/01/2020", "4258828080"]


@given(
    words=st.lists(st.sampled_from([*VALUES, "word", "a", ", "]), min_size=1, max_size=40),
    limit=st.integers(8, 24),
)
@settings(max_examples=80, deadline=None)
def test_no_value_stands_across_a_cut(words: list[str], limit: int) -> None:
    tokenizer = load(None)
    text = " ".join(words)
    ids = tokenizer.hf.backend_tokenizer.encode(text, add_special_tokens=False).ids
    found = cutting.stretches(ids, limit, VALUES, tokenizer.decode)
    assert [start for start, _ in found] == [0, *(stop for _, stop in found[:-1])]
    assert found[-1][1] == len(ids)
    assert all(0 < stop - start <= limit for start, stop in found)
    parts = [tokenizer.decode(ids[start:stop]) for start, stop in found]
    assert "".join(parts) == text
    longest = max(len(tokenizer.hf.backend_tokenizer.encode(v).ids) for v in VALUES)
    if limit > longest:
        for value in VALUES:
            assert sum(part.count(value) for part in parts) == text.count(value)


@given(st.lists(st.text(st.sampled_from("aé漢 \n<>,.1😀"), min_size=1, max_size=30), min_size=1, max_size=5))
@settings(max_examples=60, deadline=None)
def test_a_row_has_no_more_tokens_than_it_is_said_to_have_at_most(texts: list[str]) -> None:
    tokenizer, config = load(None), tokenise.Config(max_length=10_000)
    turns = [(("user", "assistant")[n % 2], text) for n, text in enumerate(texts)]
    rows = table([("system", texts[0]), *turns, ("assistant", "it")], [("text", texts[-1])])
    _, samples = tokenise.apply(rows, config, tokenizer, {})
    most = cutting.at_most(rows, config, tokenizer)
    assert samples["row_id"].to_pylist() == rows["row_id"].to_pylist()
    assert all(len(ids) <= n for ids, n in zip(samples["input_ids"].to_pylist(), most, strict=True))
    written = sum(len(text.encode()) for _, text in turns) + len(texts[0].encode())
    assert written < most[0] < written + 40 * (len(turns) + 2), "a few tokens a turn"


def test_of_rows_that_are_rendered_by_themselves_nothing_is_told() -> None:
    tokenizer, config = load(None), tokenise.Config()
    called = structure.sealed("", {"tool_calls": [{"function": {"name": "find", "arguments": {}}}]})
    rows = table(
        [("user", "ask"), ("assistant", called)],
        [("user", "ask"), ("assistant", "good"), ("rejected", "bad")],
        [("user", "ask"), ("assistant", "good")],
    )
    most = cutting.at_most(rows, config, tokenizer)
    assert most[:2].tolist() == [cutting.UNTOLD, cutting.UNTOLD]
    assert 7 < most[2] < 200
    by_turn = tokenise.Config.model_validate({"reasoning": {"earlier": "by_turn"}})
    assert (cutting.at_most(rows, by_turn, tokenise.tokenizer(None, by_turn)) == cutting.UNTOLD).all()


def test_a_value_as_long_as_a_sample_is_cut() -> None:
    tokenizer = load(None)
    ids = tokenizer.hf.backend_tokenizer.encode("x" * 400, add_special_tokens=False).ids
    assert cutting.stretches(ids, 8, ["x" * 400], tokenizer.decode)[0] == (0, 8)


@pytest.mark.parametrize("overlong", ["split", "truncate"])
def test_tags_and_kept_values_stay_whole_in_samples(overlong: str) -> None:
    said = " ".join(f"{PHONE} and {MAIL[:-4]}{n}.com on 12/01/2020" for n in range(30))
    tokenizer = load(None)
    done = pii.apply(table([("text", said)]), Config())
    whole = done["messages"][0].as_py()[0]["content"]
    config = tokenise.Config(max_length=33, overlong=overlong)  # type: ignore[arg-type]
    _, samples = tokenise.apply(done, config, tokenizer, {})
    texts = [tokenizer.decode(ids) for ids in samples["input_ids"].to_pylist()]
    assert whole.startswith("".join(texts).removesuffix("<|im_end|>"))
    assert len(texts) == 1 or overlong == "split"
    for text in texts:
        for opened in text.split("<")[1:]:
            assert ">" in opened
        assert text.count("12/01/2020") == text.count("12/")
