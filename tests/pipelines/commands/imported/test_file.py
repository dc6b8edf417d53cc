"""Recipes from files of Axolotl and LLaMA-Factory: every key becomes something or is listed."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from headrace.cluster.errors import RecipeError
from headrace.pipelines import recipe
from headrace.pipelines.commands.imported import axolotl, draft, file, llamafactory
from tests.builders import run_command

SECRET = "hf_not_to_be_shown"
AXOLOTL = """
base_model: acme/small-8b
model_type: AutoModelForCausalLM
load_in_4bit: false
datasets:
  - path: rows/tickets.jsonl
    type: chat_template
    field_messages: turns
    message_property_mappings: {role: who, content: what, weight: w}
    roles: {user: [customer], assistant: [clerk]}
    split: train[:10%]
  - path: acme/reports
    type: alpaca
  - path: json
    data_files: [a.json, b.json]
    type: {field_instruction: ask, field_output: reply, format: "[INST] {instruction}"}
val_set_size: 0.1
output_dir: ./out/first
sequence_len: 1024
sample_packing: true
adapter: lora
lora_r: 8
lora_alpha: 16
lora_dropout: 0.05
lora_target_modules: [q_proj, v_proj]
lora_model_dir:
micro_batch_size: 2
gradient_accumulation_steps: 4
num_epochs: 2.5
max_steps: 200
warmup_steps: 20
optimizer: adamw_bnb_8bit
lr_scheduler: linear
learning_rate: 2e-4
bf16: auto
flash_attention: true
wandb_project: tickets
wandb_mode: offline
hub_model_id: hf_not_to_be_shown
liger_rope: true
brand_new_key: 3
"""
LLAMAFACTORY: dict[str, Any] = {
    "model_name_or_path": "acme/small-8b",
    "stage": "sft",
    "finetuning_type": "lora",
    "lora_target": "q_proj,v_proj",
    "dataset": "tickets, talks",
    "eval_dataset": "held",
    "template": "qwen",
    "cutoff_len": 512,
    "max_samples": 1000,
    "enable_thinking": False,
    "per_device_train_batch_size": 1,
    "gradient_accumulation_steps": 8,
    "num_train_epochs": 2.0,
    "lr_scheduler_type": "cosine",
    "bf16": True,
    "train_on_prompt": True,
    "report_to": "tensorboard",
}
INFO = {
    "tickets": {"file_name": "tickets.json", "columns": {"prompt": "ask", "response": "reply"}},
    "talks": {
        "hf_hub_url": "acme/talks",
        "formatting": "sharegpt",
        "columns": {"messages": "turns", "images": "pictures"},
        "tags": {"user_tag": "customer"},
        "subset": "small",
    },
    "held": {"file_name": "held.json"},
}


def written(folder: Path, text: str, name: str = "theirs.yaml") -> str:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return str(path)


def left_of(made: file.Imported) -> dict[str, tuple[str, str]]:
    """Kind and reason of each listed key."""
    return {f["key"]: (f["kind"], f["why"]) for f in (line.fields for line in made.lines) if "why" in f}


def test_a_file_of_axolotl(tmp_path: Path) -> None:
    made = file.imported(written(tmp_path, AXOLOTL), gpus=2)
    body = yaml.safe_load(made.text)
    loaded = recipe.validate(body, "recipe")
    assert loaded.model == "acme/small-8b"
    assert loaded.output == "runs/out-first"
    train = loaded.train
    assert (train.rank, train.alpha, train.dropout) == (8, 16, 0.05)
    assert train.target_modules == ("q_proj", "v_proj")
    assert (train.rows_per_step, train.batch_size, train.workers) == (16, 2, 2)
    assert (train.learning_rate, train.warmup, train.max_steps, train.epochs) == (2e-4, 0.1, 200, 3)
    assert loaded.tokenise.max_length == 1024
    assert (loaded.split.validation, loaded.split.test, loaded.evaluate.split) == (0.1, 0, "validation")
    assert loaded.trackers.wandb is not None
    assert (loaded.trackers.wandb.project, loaded.trackers.wandb.mode) == ("tickets", "offline")
    tickets, reports, both = body["sources"]
    assert tickets == {
        "name": "tickets",
        "path": "rows/tickets.jsonl",
        "shape": "messages",
        "columns": {
            "messages": "turns",
            "role": "who",
            "content": "what",
            "roles": {"customer": "user", "clerk": "assistant"},
        },
    }
    assert reports == {"name": "reports", "path": "data/reports", "shape": "alpaca"}
    assert both["path"] == ["a.json", "b.json"]
    assert both["columns"] == {"instruction": "ask", "output": "reply"}


def test_what_has_no_counterpart_is_listed_by_name_kind_and_reason(tmp_path: Path) -> None:
    made = file.imported(written(tmp_path, AXOLOTL))
    left = left_of(made)
    kinds = {key: kind for key, (kind, _) in left.items()}
    assert kinds == {
        "datasets[0].split": "text",
        "datasets[0].message_property_mappings": "mapping of 3",
        "datasets[1].type": "text",
        "datasets[2].type": "mapping of 3",
        "num_epochs": "number",
        "optimizer": "text",
        "lr_scheduler": "text",
        "flash_attention": "yes or no",
        "model_type": "text",
        "hub_model_id": "text",
        "liger_rope": "yes or no",
        "brand_new_key": "number",
    }
    assert left["lr_scheduler"][1] == "train.schedule is cosine or constant: it stands at cosine"
    assert left["brand_new_key"][1] == draft.ELSE
    head = [line for line in made.text.splitlines() if line.startswith("#")]
    for key, (kind, why) in left.items():
        assert f"# no counterpart: {key} ({kind}): {why}" in head
    assert SECRET not in made.text + "".join(line.text for line in made.lines)
    assert any("hf download acme/reports --repo-type dataset --local-dir data/reports" in h for h in head)


def test_a_file_of_llamafactory_with_its_list_of_data_sets(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "dataset_info.json").write_text(json.dumps(INFO))
    made = file.imported(written(tmp_path, yaml.safe_dump(LLAMAFACTORY), "examples/theirs.yaml"))
    body = yaml.safe_load(made.text)
    loaded = recipe.validate(body, "recipe")
    tickets, talks, held = body["sources"]
    assert tickets["path"] == str(tmp_path / "data" / "tickets.json")
    assert tickets["columns"] == {"instruction": "ask", "input": "input", "output": "reply"}
    assert tickets["loss"] == "all"
    assert talks["path"] == "data/talks"
    assert talks["columns"]["roles"]["customer"] == "user"
    assert talks["columns"]["roles"]["function_call"] == "assistant"
    assert held["side"] == "validation"
    train = loaded.train
    # What the file leaves out is as LLaMA-Factory has it.
    assert (train.rank, train.alpha, train.learning_rate, train.warmup, loaded.seed) == (8, 16, 5e-5, 0, 42)
    assert (train.rows_per_step, train.epochs, train.precision) == (8, 2, "bfloat16")
    assert loaded.tokenise.overlong == "truncate"
    assert loaded.tokenise.chat_template_kwargs == {"enable_thinking": False}
    assert loaded.trackers.tensorboard is not None
    left = left_of(made)
    assert set(left) == {
        *("template", "max_samples"),
        *("dataset_info.json: talks.subset", "dataset_info.json: talks.columns"),
    }
    assert left["dataset_info.json: talks.columns"][1] == "not read: images"


def test_pairs_of_answers_are_learned_as_such(tmp_path: Path) -> None:
    theirs = """
base_model: m
adapter: qlora
lora_model_dir: runs/earlier
lora_modules_to_save: [lm_head]
rl: ipo
rl_beta: 0.3
datasets:
  - path: pairs.jsonl
    type: chat_template.default
    field_messages: talk
    field_chosen: good
    field_rejected: bad
"""
    made = file.imported(written(tmp_path, theirs))
    body = yaml.safe_load(made.text)
    train = recipe.validate(body, "recipe").train
    assert (train.method, train.from_, train.modules_to_save) == ("qlora", "runs/earlier", ("lm_head",))
    assert (train.preference.loss, train.preference.beta) == ("ipo", 0.3)
    (pairs,) = body["sources"]
    assert pairs["shape"] == "preference"
    assert pairs["columns"] == {"chosen": "good", "rejected": "bad", "prompt": "talk"}
    assert set(left_of(made)) == {"datasets[0].type"}


def test_ranked_answers_of_llamafactory_are_pairs(tmp_path: Path) -> None:
    info = {
        "pairs": {"file_name": "p.json", "ranking": True, "columns": {"chosen": "good", "rejected": "bad"}},
        "talks": {"file_name": "t.json", "ranking": True, "formatting": "sharegpt", "columns": {}},
    }
    (tmp_path / "dataset_info.json").write_text(json.dumps(info))
    theirs = {**LLAMAFACTORY, "stage": "dpo", "pref_beta": 0.2, "pref_loss": "sigmoid", "pref_ftx": 0.5}
    theirs |= {"dataset": "pairs, talks", "eval_dataset": "", "train_on_prompt": False}
    made = file.imported(written(tmp_path, yaml.safe_dump(theirs)), data=str(tmp_path))
    body = yaml.safe_load(made.text)
    asked = recipe.validate(body, "recipe").train.preference
    assert (asked.loss, asked.beta, asked.sft_weight) == ("dpo", 0.2, 0.5)
    pairs, talks = body["sources"]
    assert pairs["shape"] == talks["shape"] == "preference"
    assert pairs["columns"] == {
        "chosen": "good", "rejected": "bad", "prompt": "instruction", "input": "input"
    }  # fmt: skip
    assert talks["columns"] == {"prompt": "conversations", "role": "from", "content": "value"}
    assert set(left_of(made)) == {"template", "max_samples"}
    other = file.imported(written(tmp_path, yaml.safe_dump({**theirs, "pref_loss": "orpo"})))
    assert {"stage", "pref_loss", "pref_beta"} <= set(left_of(other))


def test_histories_and_unwanted_answers_of_llamafactory(tmp_path: Path) -> None:
    info = {
        "tickets": {
            "file_name": "t.json",
            "columns": {"history": "before", "kto_tag": "good", "images": "i"},
        },
        "judged": {"file_name": "j.json", "formatting": "sharegpt", "columns": {"kto_tag": "good"}},
        "pairs": {"file_name": "p.json", "ranking": True, "columns": {"chosen": "a", "history": "before"}},
    }
    (tmp_path / "dataset_info.json").write_text(json.dumps(info))
    theirs = {
        **LLAMAFACTORY,
        "dataset": "tickets, judged, pairs",
        "eval_dataset": "",
        "train_on_prompt": False,
    }
    made = file.imported(written(tmp_path, yaml.safe_dump(theirs)), data=str(tmp_path))
    body = yaml.safe_load(made.text)
    recipe.validate(body, "recipe")
    tickets, judged, _ = body["sources"]
    assert tickets["columns"]["history"] == "before"
    assert tickets["only"] == judged["only"] == {"good": True}
    told = [line.text for line in made.lines if "not read" in line.text]
    assert len(told) == 2
    assert "not read: images" in told[0]
    assert "not read: history" in told[1]


def test_answers_before_the_last_one_that_llamafactory_masks(tmp_path: Path) -> None:
    theirs = {**LLAMAFACTORY, "mask_history": True, "train_on_prompt": False}
    made = file.imported(written(tmp_path, yaml.safe_dump(theirs)))
    assert {source["loss"] for source in yaml.safe_load(made.text)["sources"]} == {"last"}
    assert "mask_history" not in left_of(made)


def test_a_data_set_that_no_list_names_is_said(tmp_path: Path) -> None:
    made = file.imported(written(tmp_path, yaml.safe_dump(LLAMAFACTORY)))
    assert yaml.safe_load(made.text)["sources"][0] == {
        "name": "tickets", "path": "data/tickets", "loss": "all"
    }  # fmt: skip
    assert sum("no dataset_info.json was found (--data DIR" in line.text for line in made.lines) == 3
    with pytest.raises(RecipeError, match=r"no dataset_info\.json in"):
        file.imported(str(tmp_path / "theirs.yaml"), data=str(tmp_path))


def test_samples_that_are_not_packed_are_said(tmp_path: Path) -> None:
    loose = AXOLOTL.replace("sample_packing: true", "sample_packing: false")
    made = [file.imported(written(tmp_path, text)) for text in (AXOLOTL, loose)]
    assert [any("packs nothing" in line.text for line in one.lines) for one in made] == [False, True]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("lr: 1", "its keys do not tell whose file it is"),
        ("[1, 2]", "holds no mapping"),
        ("base_model: a", "names no data"),
        ("base_model: a\ndatasets: [{path: b}]\nlora_r: -3", r"'train\.rank'.*\(is -3\)"),
        ("a: {b", "not valid YAML"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(RecipeError, match=words):
        file.imported(written(tmp_path, text))
    with pytest.raises(RecipeError, match="no file at"):
        file.imported(str(tmp_path / "absent.yaml"))


def test_the_command_writes_a_recipe_once(tmp_path: Path) -> None:
    theirs, ours = written(tmp_path, AXOLOTL), str(tmp_path / "recipe.yaml")
    code, told, _ = run_command(["import", theirs, "-o", ours, "--gpus", "4", "--json"])
    assert code == 0
    events = [json.loads(line) for line in told.splitlines()]
    assert {"event": "import", "key": "brand_new_key", "kind": "number", "why": draft.ELSE}.items() <= next(
        event for event in events if event.get("key") == "brand_new_key"
    ).items()
    assert recipe.load(ours).train.rows_per_step == 32
    code, _, wrong = run_command(["import", theirs, "-o", ours])
    assert (code, "exists; name another file" in wrong) == (2, True)
    code, shown, _ = run_command(["import", theirs])
    assert (code, shown) == (0, file.imported(theirs).text)


VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(-2, 5), st.floats(0, 2), st.sampled_from(["", "a", "1e-3", "lora"]),
    st.lists(st.sampled_from(["a", "b"]), max_size=2),
    st.dictionaries(st.sampled_from("ab"), st.integers(0, 1)),
)  # fmt: skip
NAMED = [
    *yaml.safe_load(AXOLOTL),
    *LLAMAFACTORY,
    "val_size",
    "packing",
    "use_dora",
    "adapter_name_or_path",
    "rl",
    "pref_loss",
    "pref_beta",
]


@given(st.dictionaries(st.sampled_from(NAMED), VALUES), st.sampled_from(["axolotl", "llamafactory"]))
def test_no_key_is_dropped_in_silence(held: dict[str, Any], tool: str) -> None:
    """Whatever a file holds, a key is taken over, listed, or empty; or the file is refused."""
    try:
        made = axolotl.draft(held, 1) if tool == "axolotl" else llamafactory.draft(held, 1, "data", None)
    except RecipeError:
        return
    listed = {one.key.partition("[")[0] for one in made.left}
    empty = {key for key, value in held.items() if draft.is_empty(value)}
    assert set(held) <= made.taken | listed | empty
