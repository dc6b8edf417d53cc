"""Speed of tokenise and pack on one core, beside `tokenizers` with apply_chat_template row by row.

Nothing is timed before it is right: for each case, the first 300 rows are compared id by id with Hugging
Face. `fresh` is the first pass of a new tokenizer in CPU seconds (code is compiled before), `again` the
best of three passes more; the row by row figure is of 1,500 rows. Rows are real where the shared data is
(HEADRACE_TEST_DATA), else made up.

    python tests/benchmarks/bench_tokenise.py [--out FILE]

writes a CSV with a line a measurement. It takes about half a minute.
"""

import argparse
import csv
import gzip
import json
import os
import platform
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from tokenizers import AddedToken
from tokenizers import Tokenizer as Core
from transformers import PreTrainedTokenizerFast

from headrace.pipelines import schema
from headrace.pipelines.stages.pack import stage as pack
from headrace.pipelines.stages.tokenise import stage as tokenise
from headrace.pipelines.stages.tokenise.assets import build_tokenizer
from headrace.pipelines.stages.tokenise.pretrained import SHIPPED
from headrace.pipelines.stages.tokenise.tokenizer import Tokenizer

HERE = Path(__file__).resolve().parent
DATA = Path(os.environ.get("HEADRACE_TEST_DATA", HERE.parents[2] / "shared" / "data"))
QWEN3 = HERE.parent / "pipelines/stages/tokenise/templates/qwen3.jinja"
CONFIG = tokenise.Config()
Rows = list[list[dict[str, str]]]
Figure = tuple[str, str, float, str]


def exchange(*contents: str) -> list[dict[str, str]]:
    """Contents as alternating turns."""
    return [{"role": ("user", "assistant")[i % 2], "content": c} for i, c in enumerate(contents)]


def cases() -> Iterator[tuple[str, Rows, bool]]:
    """Name, conversations, and whether the template is the one that looks for reasoning."""
    made = list(build_tokenizer.texts(seed=1, count=60_000))
    yield "made up, 2 turns", [exchange(*made[i : i + 2]) for i in range(0, len(made), 2)], False
    if not DATA.is_dir():
        return
    with gzip.open(DATA / "instruct/gsm8k/train.jsonl.gz", "rt") as file:
        questions = [json.loads(line) for line in file]
    yield "gsm8k", [exchange(q["question"], q["answer"]) for q in questions], False
    dialogues = []
    for path in sorted((DATA / "dialogue/taskmaster4").glob("*.json.gz")):
        with gzip.open(path, "rt") as file:
            dialogues += json.load(file)
    turns = [[u["text"] for u in d["utterances"] if u["text"].strip()] for d in dialogues]
    yield "taskmaster4, many turns", [exchange(*t) for t in turns if len(t) > 1], False
    with gzip.open(DATA / "reasoning/star-1/STAR-1.json.gz", "rt") as file:
        traces = json.load(file)
    yield "star-1, reasoning", [exchange(t["question"], t["response"]) for t in traces], True


def make_tokenizer(reasoning: bool, folder: str, engine: str = "auto") -> Tokenizer:
    """The shipped tokenizer, with Qwen's template and `<think>` on demand."""
    core = Core.from_file(str(SHIPPED / "tokenizer.json"))
    core.add_tokens([AddedToken(t, special=False) for t in ("<think>", "</think>")])
    fast = PreTrainedTokenizerFast(tokenizer_object=core, eos_token="<|im_end|>", pad_token="<|endoftext|>")
    fast.chat_template = (QWEN3 if reasoning else SHIPPED / "chat_template.jinja").read_text("utf-8")
    fast.save_pretrained(folder)
    return Tokenizer(folder, engine)  # type: ignore[arg-type]


def make_table(rows: Rows) -> pa.Table:
    """Rows as they reach the stage."""
    size = len(rows)
    columns = {
        "row_id": pa.array(np.arange(size, dtype=np.uint64)),
        "source": pa.array(["made"] * size),
        "messages": pa.array(rows, schema.MESSAGES),
        "drop": pa.nulls(size, pa.string()),
        "error": pa.nulls(size, pa.string()),
    }
    return pa.table(columns)


def check(rows: Rows, tokenizer: Tokenizer) -> None:
    """Ids of the first rows are Hugging Face's, rows over the length aside."""
    _, samples = tokenise.apply(make_table(rows[:300]), CONFIG, tokenizer, {})
    found = dict(zip(samples["row_id"].to_pylist(), samples["input_ids"].to_pylist(), strict=True))
    for number, row in enumerate(rows[:300]):
        wanted = tokenizer.hf.apply_chat_template(row, return_dict=False)
        assert len(wanted) > CONFIG.max_length or found[number] == wanted, number


def cpu(function: Callable[[], object]) -> float:
    """CPU seconds of one run, all threads."""
    start = time.process_time()
    function()
    return time.process_time() - start


def measure(case: str, rows: Rows, reasoning: bool) -> Iterator[Figure]:
    """MB of UTF-8 content a CPU second, and how full the packed rows are."""
    size = sum(len(m["content"].encode()) for row in rows for m in row) / 1e6
    table = make_table(rows)
    with tempfile.TemporaryDirectory() as folder:
        checked = make_tokenizer(reasoning, folder)
        check(rows, checked)
        assert checked.engine == "gigatoken"
        some = rows[:1500]
        part = sum(len(m["content"].encode()) for row in some for m in row) / 1e6
        row_by_row = cpu(lambda: [checked.hf.apply_chat_template(row) for row in some])
        yield "apply_chat_template", case, part / row_by_row, "MB/s"
        slow = Tokenizer(folder, "tokenizers")
        yield "tokenise, tokenizers", case, part / cpu(lambda: run(make_table(some), slow)), "MB/s"
        tokenizer = Tokenizer(folder)
        yield "tokenise, fresh", case, size / cpu(lambda: run(table, tokenizer)), "MB/s"
        yield (
            "tokenise, again",
            case,
            size / min(cpu(lambda: run(table, tokenizer)) for _ in range(3)),
            "MB/s",
        )
        _, samples = run(table, tokenizer)
    packed = pack.apply(samples, pack.Config(), CONFIG, pad_id=0)
    seconds = min(cpu(lambda: pack.apply(samples, pack.Config(), CONFIG, pad_id=0)) for _ in range(3))
    tokens = int(pc.sum(pc.list_value_length(samples["input_ids"])).as_py())
    yield "pack", case, size / seconds, "MB/s"
    yield "pack, fill", case, tokens / (packed.num_rows * CONFIG.max_length), "share"
    yield "bytes a token", case, size * 1e6 / tokens, "bytes"


def run(table: pa.Table, tokenizer: Tokenizer) -> tuple[pa.Table, pa.Table]:
    """The stage."""
    return tokenise.apply(table, CONFIG, tokenizer, {})


def place() -> tuple[str, ...]:
    """Date, commit, processor and load average."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    asked = ["git", "rev-parse", "--short", "HEAD"]
    commit = subprocess.run(asked, cwd=HERE, capture_output=True, text=True).stdout.strip()
    return str(datetime.now(UTC).date()), commit, model or platform.processor(), f"{os.getloadavg()[0]:.1f}"


def main() -> None:
    """Check, measure, print and write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", type=Path, default=HERE / "tokenise.csv")
    options = parser.parse_args()
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    where = place()
    with options.out.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["what", "case", "figure", "unit", "date", "commit", "cpu", "load"])
        for case, rows, reasoning in cases():
            for what, name, value, unit in measure(case, rows, reasoning):
                writer.writerow([what, name, f"{value:.4g}", unit, *where])
                print(f"{what:22} {name:26} {value:10.4g} {unit}", flush=True)


if __name__ == "__main__":
    main()
