"""Classifiers that the recipe names: what they flag, what goes by it, and what a wrong one is told."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers

from headrace.cluster.errors import ModelError
from headrace.pipelines.stages.traits import models as classifiers
from headrace.pipelines.stages.traits import stage as traits
from headrace.pipelines.stages.traits.config import Config, Model
from tests import builders

WORDS = ["stone", "river", "cloud", "grub", "sedge", "heron"]
RUDE = "grub"


def save(folder: Path) -> str:
    """A tiny BERT that has learned to tell texts with one word from others."""
    torch.manual_seed(1)
    vocabulary = {w: n for n, w in enumerate(["[PAD]", "[UNK]", *WORDS])}
    plain = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    plain.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=plain, pad_token="[PAD]", unk_token="[UNK]", model_max_length=32
    )
    settings = transformers.BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=1,
        intermediate_size=16,
        max_position_embeddings=32,
        num_labels=2,
        id2label={0: "fine", 1: "rude"},
        label2id={"fine": 0, "rude": 1},
    )
    model = transformers.BertForSequenceClassification(settings).train()
    texts = [f"{a} {b}" for a in WORDS for b in WORDS]
    labels = torch.tensor([int(RUDE in text) for text in texts])
    given = tokenizer(texts, padding=True, return_tensors="pt")
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    for _ in range(80):
        optimizer.zero_grad()
        model(**given, labels=labels).loss.backward()
        optimizer.step()
    model.eval().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> str:
    return save(tmp_path_factory.mktemp("rude"))


ROWS = [
    [("user", "stone river"), ("assistant", "heron cloud")],
    [("user", "stone river"), ("assistant", "grub cloud")],
    [("user", "grub river"), ("assistant", "heron cloud")],
    [("user", "stone"), ("assistant", "")],
    [("text", "river grub")],
]


def flagged(directory: str, **settings: Any) -> list[int]:
    config = Config(models=(Model(name="rude", path=directory, **settings),))
    told = traits.apply(builders.table(*ROWS), config)["traits"].to_pylist()
    return [at for at, one in enumerate(told) if "rude" in one["flags"]]


def test_answers_or_prompts_over_the_threshold_are_flagged(directory: str) -> None:
    assert flagged(directory) == [1, 4]
    assert flagged(directory, over="prompt") == [2]
    assert flagged(directory, batch=1) == [1, 4]
    assert flagged(directory, label="fine", threshold=0.9) == [0, 2]
    assert flagged(directory, threshold=0) == [0, 1, 2, 4]  # whatever says something


def test_rows_go_by_a_models_flag(directory: str) -> None:
    config = Config(models=(Model(name="rude", path=directory),), drop={"flags": ("rude",)})
    done = traits.apply(builders.table(*ROWS), config)
    assert done["drop"].to_pylist() == [None, "traits.flags", None, None, "traits.flags"]


def test_no_model_is_asked_about_rows_that_are_marked(
    directory: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    config = Config(models=(Model(name="rude", path=directory),))

    def ask(self: Any, texts: Any) -> Any:
        asked.extend(texts)
        return np.zeros(len(texts), np.float32)

    monkeypatch.setattr(classifiers.Classifier, "ask", ask)
    done = traits.apply(builders.table(*ROWS, drop=["quality.x", None, None, None, "quality.x"]), config)
    assert sorted(asked) == ["grub cloud", "heron cloud"]
    assert done["traits"].null_count == 2


def test_the_beginning_of_a_long_text_is_looked_at(directory: str) -> None:
    config = Config(models=(Model(name="rude", path=directory),))
    long = pa.array(["grub " * 5_000, "stone " * 5_000], pa.large_string())
    assert classifiers.found({"answer": long, "prompt": long}, config)["rude"].tolist() == [True, False]


def test_a_model_that_cannot_be_used_is_named(directory: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"traits\.models, toxic: .* has no label 'toxic'; .* fine, rude"):
        traits.apply(builders.table(*ROWS), Config(models=(Model(name="toxic", path=directory),)))
    with pytest.raises(ModelError, match=r"traits\.models, rude: '.*gone' is not a directory"):
        flagged(str(tmp_path / "gone"))
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ModelError, match=r"needs config\.json and \*\.safetensors"):
        flagged(str(tmp_path))


def test_names_stand_for_one_thing() -> None:
    with pytest.raises(ValueError, match="each needs a name of its own"):
        Config(models=(Model(name="refusal", path="x"),))
    with pytest.raises(ValueError, match="flags is never 'rudd'; did you mean 'rude'"):
        Config(models=(Model(name="rude", path="x"),), drop={"flags": ("rudd",)})


@pytest.mark.ray
def test_a_run_asks_models_in_actors(directory: str, tmp_path: Path) -> None:
    records = [
        {"question": f"{WORDS[n % 3]} {n}", "answer": f"{WORDS[n % len(WORDS)]} {WORDS[n // 6]}"}
        for n in range(36)
    ]
    builders.write_jsonl(tmp_path / "in/rows.jsonl", records)
    model = {"name": "rude", "path": directory}
    recipe = builders.recipe_of(
        tmp_path / "run",
        tmp_path / "in",
        traits={"models": [model], "drop": {"flags": ["rude"]}},
    )
    run_json = builders.prepare(tmp_path / "recipe.yaml", recipe)
    assert run_json["rows"]["dropped"]["traits.flags"] == sum(RUDE in r["answer"] for r in records)
    assert "rude" not in run_json["traits"]["flags"]
    assert run_json["traits"]["task"]
