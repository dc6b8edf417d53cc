"""Diversity: rewordings count as one, different questions as many, in memory and over files."""

import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from headrace.cluster import storage
from headrace.pipelines.examine import vectors
from headrace.pipelines.examine.diversity import measure, model
from headrace.pipelines.examine.diversity import run as diversity
from headrace.pipelines.examine.diversity.config import Config
from headrace.pipelines.stages.dedup import stage as dedup
from tests import builders
from tests.benchmarks.rewording import reworded


def questions(count: int, seed: int = 5) -> list[str]:
    """Questions of two sentences that share few words."""
    drawn = [builders.story(seed * 10_000 + k, 14).split() for k in range(count)]
    return [f"If the {' '.join(w[:7])}, then {w[7]} it. How many {' '.join(w[8:])} are left?" for w in drawn]


def test_a_hundred_questions_reworded_are_a_hundred() -> None:
    asked = questions(100)
    rows = [reworded(asked[k % 100], k) for k in range(3000)]
    assert 80 <= measure.effective(rows) <= 200


def test_one_question_reworded_is_a_few_at_most() -> None:
    asked = questions(1)[0]
    assert measure.effective([reworded(asked, k) for k in range(500)]) < 6


def test_different_questions_are_as_many() -> None:
    assert measure.effective(questions(1500)) > 1400


@pytest.mark.parametrize("between", [" ", "\n"])
def test_what_many_prompts_share_is_not_what_they_ask(between: str) -> None:
    """Ten assistants, each with a system prompt of 120 words, and questions of twenty."""
    systems = [between.join(builders.story(800 + 10 * k + part, 20) for part in range(6)) for k in range(10)]
    asked = questions(900)
    assert measure.effective([f"{systems[k % 10]}\n{one}" for k, one in enumerate(asked)]) > 850
    some = [reworded(asked[k % 30], k) for k in range(900)]
    assert 25 <= measure.effective([f"{systems[0]}\n{one}" for one in some]) <= 80


def test_chinese_questions() -> None:
    letters = [chr(0x4E00 + 37 * k) for k in range(500)]
    draw = np.random.default_rng(2)
    asked = ["".join(draw.choice(letters, 18)) + "？" for _ in range(50)]
    assert measure.effective(asked) == pytest.approx(50)
    assert 40 <= measure.effective([reworded(asked[k % 50], k) for k in range(1000)]) <= 100


def test_the_number_is_of_shares_and_not_of_clusters() -> None:
    assert measure.effective_number(np.array([1, 2, 3, 4])) == pytest.approx(4)
    assert measure.effective_number(np.array([1, 1, 1, 1])) == pytest.approx(1)
    assert measure.effective_number(np.array([1] * 99 + [2])) < 1.1
    assert measure.effective_number(np.zeros(0)) == 0
    assert measure.effective([]) == 0
    assert measure.effective(["", "?!"]) == 0


def test_more_than_the_sample_is_estimated() -> None:
    few = Config(sample=300)
    assert measure.effective(questions(1200), few) == pytest.approx(1200, rel=0.05)
    asked = questions(20)
    assert measure.effective([reworded(asked[k % 20], k) for k in range(1200)], few) == pytest.approx(
        20, rel=0.3
    )


def test_templates_cut_out_what_varies() -> None:
    names = [builders.story(k, 1) for k in range(200)]
    texts = pa.array([f"tell the story of {n} in three words, number {k}" for k, n in enumerate(names)])
    found = measure.templates(vectors.terms(texts.cast(pa.large_string())))
    assert len(np.unique(found)) <= 3


def prepared(folder: Path, prompts: list[str], cuts: list[int]) -> list[str]:
    """Files of prompts and answers as pass 1 leaves them, none of which is a duplicate."""
    rows = builders.table(*[[("user", p), ("assistant", f"so {k}")] for k, p in enumerate(prompts)])
    storage.write_table(str(folder / "duplicates/removed.parquet"), dedup.REMOVED.empty_table())
    return builders.write_parts(folder, rows, cuts)


def test_the_run_says_the_same_as_memory_for_any_files(tmp_path: Path) -> None:
    asked = questions(10)
    rows = [reworded(asked[k % 10], k) for k in range(300)]
    reports, written = [], []
    for name, cuts in (("one", []), ("many", [10, 200])):
        paths = prepared(tmp_path / name, rows, cuts)
        each = builders.in_order if name == "one" else builders.backwards
        reports.append(diversity.run(paths, str(tmp_path / name), Config(), each))
        written.append((tmp_path / name / "findings/diversity.parquet").read_bytes())
    assert reports[0] == reports[1]
    assert written[0] == written[1]
    report = reports[0]
    assert report["effective_prompts"] == pytest.approx(measure.effective(rows), abs=0.06)
    assert (report["rows"], report["compared"], report["estimated"]) == (300, 300, False)
    assert report["verdict"] == "reworded"
    assert report["words"].startswith("300 rows ask about 1")
    assert report["largest"][0]["row_ids"][0] in range(300)
    assert set(report["distinct"]) == {"1", "2", "3"}
    assert not any(word in str(report) for word in asked[0].split() if len(word) > 6)


def test_a_set_without_prompts(tmp_path: Path) -> None:
    storage.write_table(str(tmp_path / "duplicates/removed.parquet"), dedup.REMOVED.empty_table())
    report = diversity.run([], str(tmp_path), Config(), builders.in_order)
    assert report == {"effective_prompts": 0, "rows": 0, "verdict": "none", "words": "no row has a prompt"}


@pytest.mark.parametrize(
    ("number", "rows", "most", "code"),
    [
        (900, 1000, 0.01, "varied"),
        (300, 1000, 0.01, "repetitive"),
        (20, 1000, 0.05, "reworded"),
        (600, 1000, 0.2, "one-sided"),
        (90, 1000, 0.4, "one-sided"),  # by entropy alone it would be reworded: 570 other things are asked
    ],
)
def test_verdicts(number: float, rows: int, most: float, code: str) -> None:
    told = diversity.verdict(number, rows, [{"share": most, "row_ids": [7]}], rows)
    assert told["verdict"] == code
    assert f"about {number:,} different things" in told["words"]


@pytest.fixture(scope="module")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A BERT of two layers whose weights are drawn, with a tokenizer of whole words."""
    import tokenizers
    import torch
    import transformers

    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    path = str(tmp_path_factory.mktemp("tiny"))
    words = ["[PAD]", "[UNK]", "red", "blue", "boat", "house", "the"]
    made = tokenizers.Tokenizer(
        tokenizers.models.WordLevel({w: k for k, w in enumerate(words)}, unk_token="[UNK]")
    )
    made.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=made,
        pad_token="[PAD]",
        unk_token="[UNK]",
    ).save_pretrained(path)
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=len(words),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
    )
    transformers.BertModel(config).save_pretrained(path)
    return path


def test_embeddings_do_not_hang_on_what_else_is_in_the_batch(tiny_model: str) -> None:
    texts = ["the red boat", "blue", "the red boat", "the blue house the red boat the house"]
    found = model.embedded(texts, tiny_model, 32)
    assert found.shape == (4, 16)
    assert np.allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
    assert np.allclose(found[0], found[2], atol=1e-5)
    assert np.allclose(found[1], model.embedded(["blue"], tiny_model, 32)[0], atol=1e-5)


def test_a_model_joins_prompts_without_a_word_in_common(tmp_path: Path, tiny_model: str) -> None:
    paths = prepared(tmp_path, ["the red boat", "blue house", "boat red the"], [1])
    config = Config(model=tiny_model, model_meaning=1e-6)
    report = diversity.run(paths, str(tmp_path), config, builders.in_order)
    assert "model" in report["by"]
    assert report["by"]["model"] <= report["by"]["meaning"]
    assert not list(tmp_path.rglob("terms-*"))
