"""Small inputs of known faults come out right: those beside the shared data, and ones of our own making.

Each is prepared as it stands in its folder; what is right is said by its test.
"""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import torch
import yaml
import zstandard
from tokenizers import Tokenizer as Core
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from headrace.cluster import storage
from headrace.pipelines.stages.tokenise.pretrained import SHIPPED
from tests.builders import recipe_of, run_command, save_recipe, sums, write_jsonl

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray_local")]
SHARED = Path(
    os.environ.get("HEADRACE_TEST_DATA", Path(__file__).resolve().parents[3] / "shared/data")
).parent
ALL_TRAIN = {"split": {"train": 1.0, "validation": 0, "test": 0}}


def times(folder: Path) -> None:
    """Two conversations whose records say when they were written, in two zones, one with fractions."""
    texts = ["first", "second", "third", "fourth", "one", "two", "three", "four"]
    at = ["10:00:00Z", "10:00:00.500Z", "10:00:01Z", "10:00:01.250Z"]
    at += ["10:00:00+02:00", "08:00:30Z", "10:01:00+02:00", "08:01:30Z"]
    write_jsonl(
        folder / "rows.jsonl",
        [
            {"talk": n // 4, "at": f"2024-03-01T{time}", "role": ("user", "assistant")[n % 2], "text": text}
            for n, (time, text) in enumerate(zip(at, texts, strict=True))
        ],
    )
    source = {"path": "rows.jsonl", "group_by": "talk", "order_by": "at"}
    save_recipe(folder / "recipe.yaml", {"output": "run", "sources": [source], **ALL_TRAIN})


def large_tokenizer(folder: Path) -> None:
    """A model with an embedding less than its tokenizer has tokens."""
    core = Core.from_file(str(SHIPPED / "tokenizer.json"))
    core.add_tokens(["<note>"])
    torch.manual_seed(1)
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = LlamaConfig(vocab_size=core.get_vocab_size() - 1, num_key_value_heads=1, **sizes)
    LlamaForCausalLM(config).save_pretrained(folder / "model")
    tokenizer(core, (SHIPPED / "chat_template.jinja").read_text(), "<|im_end|>").save_pretrained(
        folder / "model"
    )
    write_jsonl(folder / "rows.jsonl", sums(20))
    train = {"rank": 2, "max_steps": 2, "batch_size": 2, "workers": 1}
    more: dict[str, Any] = {"model": "model", "train": train, "pii": {"enabled": False}, **ALL_TRAIN}
    save_recipe(folder / "recipe.yaml", recipe_of("run", "rows.jsonl", **more))


def blank_lines(folder: Path) -> None:
    """A template that takes blank lines out of contents and writes no end token."""
    core = Core.from_file(str(SHIPPED / "tokenizer.json"))
    core.add_special_tokens(["</s>"])
    template = (
        "{% for m in messages %}{{ m.role | upper + ': ' + m.content | replace('\n\n', '\n') + '\n\n' }}"
        "{% endfor %}{% if add_generation_prompt %}ASSISTANT:{% endif %}"
    )
    tokenizer(core, template, "</s>").save_pretrained(folder / "model")
    talks = [("Which lake is deeper?", "This one."), ("And which is older?", "That one.\n\nBy far.")]
    rows = [exchange(*talk) for talk in talks]
    for name, given in (("recipe", rows), ("swapped", rows[::-1])):
        file = "rows" if name == "recipe" else name
        write_jsonl(folder / f"{file}.jsonl", given)
        output = "run" if name == "recipe" else "run-swapped"
        recipe = recipe_of(output, f"{file}.jsonl", name="rows", model="model", **ALL_TRAIN)
        save_recipe(folder / f"{name}.yaml", recipe)


def tokenizer(core: Any, template: str, end: str) -> Any:
    fast = PreTrainedTokenizerFast(tokenizer_object=core, eos_token=end)
    fast.chat_template = template
    return fast


def exchange(asked: str, answer: str) -> dict[str, Any]:
    turns = [{"role": "user", "content": asked}, {"role": "assistant", "content": answer}]
    return {"messages": turns}


def damaged(folder: Path) -> None:
    """A Parquet file with bytes of its pages overwritten."""
    columns = {k: [row[k] for row in sums(200)] for k in ("question", "answer")}
    pq.write_table(pa.table(columns), folder / "broken.parquet", row_group_size=50)
    data = bytearray((folder / "broken.parquet").read_bytes())
    data[100 : len(data) // 2] = bytes(255 - b for b in data[100 : len(data) // 2])
    (folder / "broken.parquet").write_bytes(data)
    beside_good(folder)


def name_not_utf8(folder: Path) -> None:
    """A Parquet file with a column whose name is no UTF-8."""
    columns = {k: [row[k] for row in sums(20)] for k in ("question", "answer")}
    table = pa.table({**columns, "caf\u00e9": [""] * 20})
    pq.write_table(table, folder / "broken.parquet", store_schema=False)
    data = (folder / "broken.parquet").read_bytes()
    assert data.count("caf\u00e9".encode()) >= 1
    (folder / "broken.parquet").write_bytes(data.replace("caf\u00e9".encode(), b"caf\xff\xfe"))
    beside_good(folder)


def beside_good(folder: Path) -> None:
    write_jsonl(folder / "good.jsonl", sums(20))
    sources = [
        {"name": name, "path": f"{name}.{suffix}", "shape": "question_answer"}
        for name, suffix in (("broken", "parquet"), ("good", "jsonl"))
    ]
    save_recipe(folder / "recipe.yaml", {"output": "run", "sources": sources, "quarantine": {"limit": 1.0}})


def long_window(folder: Path) -> None:
    """A zstd frame that looks back 256 MiB."""
    parameters = zstandard.ZstdCompressionParameters(window_log=28, enable_ldm=True)
    packer = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    line = b'{"question": "Which lake is colder?", "answer": "The northern one."}\n'
    (folder / "rows.jsonl.zst").write_bytes(packer.compress(line) + packer.flush())
    save_recipe(folder / "recipe.yaml", recipe_of("run", "rows.jsonl.zst", **ALL_TRAIN))


CASES: dict[str, Callable[[Path], None]] = {
    "09": long_window,
    "14": times,
    "16": large_tokenizer,
    "20": blank_lines,
    "21": damaged,
    "22": name_not_utf8,
}


@pytest.fixture(params=["own", "shared"])
def case(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The folder of a case, whose recipes name files in it."""
    number = request.node.get_closest_marker("case").args[0]
    folder = tmp_path / "case"
    if request.param == "own":
        folder.mkdir()
        CASES[number](folder)
    else:
        found = sorted((SHARED / "cases").glob(f"{number}-*"))
        if not found:
            pytest.skip(f"no case {number} in {SHARED / 'cases'}")
        shutil.copytree(found[0], folder)
    for recipe in folder.glob("*.yaml"):
        save_recipe(recipe, absolute(yaml.safe_load(recipe.read_text()), folder))
    return folder


def absolute(recipe: dict[str, Any], folder: Path) -> dict[str, Any]:
    """A recipe with absolute paths: tests share workers that have another working directory."""
    sources = [{**source, "path": str(folder / source["path"])} for source in recipe["sources"]]
    paths = {key: str(folder / recipe[key]) for key in ("output", "model") if key in recipe}
    return {**recipe, **paths, "sources": sources}


def prepared(recipe: Path) -> dict[str, Any]:
    """run.json of a run that is prepared."""
    code, _, err = run_command(["prepare", str(recipe)])
    assert code == 0, err
    run = Path(yaml.safe_load(recipe.read_text())["output"])
    written: dict[str, Any] = json.loads((run / "run.json").read_bytes())
    return written


def contents(run: Path) -> list[list[str]]:
    """Contents of the rows that were kept."""
    rows = [r for file in sorted((run / "prepared").glob("*")) for r in pq.read_table(file).to_pylist()]
    return [[message["content"] for message in row["messages"]] for row in rows]


def samples(run: Path) -> list[list[int]]:
    """Tokens of every packed sample."""
    found = []
    for file in sorted((run / "packed/train").glob("*")):
        for row in pq.read_table(file).to_pylist():
            for segment in range(1, max(row["segment_ids"]) + 1):
                pairs = zip(row["input_ids"], row["segment_ids"], strict=True)
                found.append([token for token, of in pairs if of == segment])
    return found


@pytest.mark.case("09")
def test_a_long_window_of_zstd_is_no_damage(case: Path) -> None:
    written = prepared(case / "recipe.yaml")
    assert (written["rows"]["in"], written["rows"]["kept"]) == (1, 1)


@pytest.mark.s3
def test_a_folder_marker_of_a_bucket_is_no_file(s3: str, tmp_path: Path) -> None:
    """Case 15, which is made on a server: what "Create folder" of a console leaves is no record."""
    fs, place = storage.filesystem(s3)
    bucket, _, prefix = place.partition("/")
    line = b'{"question": "Which lake is colder?", "answer": "The northern one."}\n'
    for key, body in (("raw/", b""), ("raw/a.jsonl", line)):
        fs.call_s3("put_object", Bucket=bucket, Key=f"{prefix}/{key}".lstrip("/"), Body=body)
    save_recipe(tmp_path / "recipe.yaml", recipe_of(tmp_path / "run", f"{s3}/raw/", **ALL_TRAIN))
    written = prepared(tmp_path / "recipe.yaml")
    assert (written["rows"]["in"], written["rows"]["kept"]) == (1, 1)


@pytest.mark.case("14")
def test_times_are_ordered_as_times(case: Path) -> None:
    written = prepared(case / "recipe.yaml")
    assert written["rows"]["kept"] == 8
    assert sorted(contents(case / "run")) == [
        ["first", "second", "third", "fourth"],
        ["one", "two", "three", "four"],
    ]
    assert not any(kind.startswith(("read.", "clean.")) for kind in written["changed"])


@pytest.mark.case("16")
def test_a_tokenizer_larger_than_the_embedding_is_told_before_any_work(case: Path) -> None:
    code, out, err = run_command(["check", str(case / "recipe.yaml")])
    assert code == 2, out
    assert "resize_token_embeddings" in out + err


@pytest.mark.case("20")
def test_ids_do_not_hang_on_the_rows_before_nor_on_workers(case: Path) -> None:
    prepared(case / "recipe.yaml"), prepared(case / "swapped.yaml")
    model = AutoTokenizer.from_pretrained(case / "model")
    native = {
        tuple(model.apply_chat_template(row["messages"], tokenize=True, return_dict=False))
        for row in map(json.loads, (case / "rows.jsonl").read_text().splitlines())
    }
    for run in ("run", "run-swapped"):
        found = samples(case / run)
        assert all(ids[-1] == model.eos_token_id for ids in found)
        assert {tuple(ids[:-1]) for ids in found} == native
    for name, text in (("a", "It is number {}."), ("b", "It is number {}.\n\nBy far.")):
        rows = [exchange(f"Which of {name} is it, {n}?", text.format(n)) for n in range(9)]
        write_jsonl(case / f"two/{name}.jsonl", rows)
    digests = set()
    for workers in (1, 2):
        more = {"workers": workers, "fragment_size": 4096, "pack": {"window": 1}, **ALL_TRAIN}
        both = recipe_of(case / f"run-{workers}", case / "two", model=str(case / "model"), **more)
        save_recipe(case / "both.yaml", both)
        digests.add(prepared(case / "both.yaml")["digest"])
    assert len(digests) == 1


@pytest.mark.case("21")
def test_a_damaged_file_costs_its_own_records(case: Path) -> None:
    written = prepared(case / "recipe.yaml")
    assert written["sources"]["good"]["kept"] == 20
    assert sum(written["sources"]["broken"]["quarantined"].values()) > 0
    assert files_of_rejected(case / "run") == {"broken.parquet"}


@pytest.mark.case("22")
def test_a_column_name_that_is_no_utf8_ends_nothing(case: Path) -> None:
    written = prepared(case / "recipe.yaml")
    assert written["sources"]["good"]["kept"] == 20
    broken = written["sources"]["broken"]
    assert broken["in"] == broken["kept"] + sum(broken["quarantined"].values()) + sum(
        broken["dropped"].values()
    )
    assert broken["kept"] or files_of_rejected(case / "run") == {"broken.parquet"}


def files_of_rejected(run: Path) -> set[str]:
    """Files whose records were quarantined in pass 1."""
    files: set[str] = set()
    for path in (run / "rejected").glob("part-*"):
        table = pq.read_table(path)
        files |= set(table.filter(pc.is_valid(table["error"]))["file"].to_pylist())
    return files
