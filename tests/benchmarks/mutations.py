"""Damaged files, read as a run reads them: no exception, no process that ends, none that hangs.

    python tests/benchmarks/mutations.py 20000 [FIRST SEED]

Every seed stands for one file: which valid file is taken, made here, and what is done to it (bits flipped,
bytes cut, inserted, overwritten or doubled; in Parquet files most often in the footer, where the sizes stand,
or in a page's header). Each is planned and read as in pass 1, in a process that is watched: a file at which
it raises, ends or is silent for long is told by its seed. The last line counts what was read.

Cost: 10 to 20 milliseconds a file.
"""

import gzip
import io
import json
import os
import random
import resource
import select
import subprocess
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import zstandard

from headrace.pipelines.stages.read import inputs
from headrace.pipelines.stages.read import rows as read_rows
from headrace.pipelines.stages.read.source import Source

SECONDS = 60  # that one file may take on a busy machine
MEMORY = 3 * 2**30  # bytes beside what the process takes to start
ROWS = 120
FRAGMENT = 4096
WORKERS = 2
BATCH = 500  # files a process: what one leaves behind in memory must not count for many others
SHAPES: tuple[dict[str, Any], ...] = ({"shape": "question_answer"}, {"shape": "messages"})
PARQUET: tuple[dict[str, Any], ...] = (
    {},
    {"compression": "none", "use_dictionary": False},
    {"compression": "gzip", "data_page_version": "2.0"},
    {"compression": "zstd", "write_page_index": True, "data_page_size": 512},
    {"compression": "brotli", "write_page_checksum": True},
    {"compression": "lz4", "store_schema": False, "use_dictionary": False},
    {
        "compression": "none",
        "use_dictionary": False,
        "column_encoding": {"question": "DELTA_BYTE_ARRAY", "answer": "DELTA_LENGTH_BYTE_ARRAY"},
    },
    {"compression": "zstd", "use_dictionary": False, "data_page_version": "2.0", "data_page_size": 256},
)


def records() -> list[dict[str, Any]]:
    """The records of every valid file: both shapes, and columns of every kind for the readers to pass by."""
    texts = [f"Which river is the {n}th longest, and where does it rise? " * (1 + n % 3) for n in range(ROWS)]
    return [
        {
            "question": text,
            "answer": f"The one that rises at {n % 7} metres.",
            "messages": [
                {"role": "user", "content": text},
                {"role": "assistant", "content": f"It rises at {n} metres."},
            ],
            "n": n,
            "f": n / 7,
            "tags": ["long", "river"][: n % 3],
        }
        for n, text in enumerate(texts)
    ]


@cache
def valid() -> dict[str, bytes]:
    """Name and bytes of the valid files, Parquet most."""
    made = records()
    lines = "".join(json.dumps(r) + "\n" for r in made).encode()
    flat = [f'"{r["question"]}","{r["answer"]}"' for r in made]
    table = "question,answer\n" + "\n".join(flat) + "\n"
    files = {
        "a.jsonl": lines,
        "a.json": json.dumps(made).encode(),
        "a.csv": table.encode(),
        "a.tsv": table.replace('","', '"\t"').replace("question,answer", "question\tanswer").encode(),
        "a.jsonl.gz": gzip.compress(lines, mtime=0),
        "a.jsonl.zst": zstandard.compress(lines),
    }
    start = datetime(2020, 1, 1, tzinfo=UTC)
    rows = pa.Table.from_pylist(
        [
            {
                **r,
                "when": start + timedelta(hours=r["n"]),
                "day": (start + timedelta(days=r["n"])).date(),
                "cost": Decimal(r["n"]) / 4,
                "raw": bytes([r["n"]]),
            }
            for r in made
        ]
    )
    for number, options in enumerate(PARQUET):
        sink = io.BytesIO()
        pq.write_table(rows, sink, row_group_size=50, **options)
        files[f"{number}.parquet"] = sink.getvalue()
    return files


def mutated(seed: int) -> tuple[str, bytes, dict[str, Any]]:
    """Name, bytes and keys of the source of the damaged file that `seed` stands for."""
    rng = random.Random(seed)
    files = valid()
    columnar = rng.random() < 0.7
    name = rng.choice([n for n in files if n.endswith(".parquet") == columnar])
    data = bytearray(files[name])
    shape = rng.choice(SHAPES if columnar or "json" in name else SHAPES[:1])
    keys = {"group_by": "n", "shape": shape["shape"]} if rng.random() < 0.1 else dict(shape)
    if rng.random() < 0.2:
        keys["meta"] = ["when", "day", "cost", "raw", "tags"]
    if rng.random() < 0.2:
        keys["time"] = rng.choice(["when", "n", "day"])
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        first, last = _where(rng, data, columnar)
        _mutate(rng, data, first, last)
    return name, bytes(data), keys


def _where(rng: random.Random, data: bytearray, columnar: bool) -> tuple[int, int]:
    """A range of bytes to damage: of a Parquet file mostly its footer, or near where a page begins."""
    if columnar and len(data) > 100 and rng.random() < 0.8:
        length = int.from_bytes(data[-8:-4], "little")
        if rng.random() < 0.6 and length + 8 < len(data):
            return len(data) - 8 - length, len(data)
        # Before every page stands its header, which begins with the type's field.
        headers = [i for i in range(4, len(data) - 2) if data[i] == 0x15 and data[i + 2] == 0x15]
        if headers:
            at = rng.choice(headers)
            return at, min(at + 30, len(data))
    return 0, len(data)


def _mutate(rng: random.Random, data: bytearray, first: int, last: int) -> None:
    """One damage in bytes [first, last)."""
    if last <= first:
        return
    at = rng.randrange(first, last)
    size = min(rng.choice((1, 1, 2, 4, 16, 200)), last - at)
    kind = rng.choice(("flip", "flip", "set", "set", "insert", "cut", "double", "end", "number"))
    if kind == "flip":
        data[at] ^= 1 << rng.randrange(8)
    elif kind == "set":
        data[at : at + size] = (
            rng.randbytes(size) if rng.random() < 0.5 else bytes([rng.choice((0, 255))]) * size
        )
    elif kind == "insert":
        data[at:at] = rng.randbytes(size)
    elif kind == "cut":
        del data[at : at + size]
    elif kind == "double":
        data[at:at] = data[at : at + size]
    elif kind == "end":
        del data[at:]
    else:  # a number of many bytes, as lengths and sizes are written
        data[at : at + size] = rng.choice(
            (b"\xff\xff\xff\xff\x0f", b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01")
        )


def read(path: Path, keys: dict[str, Any]) -> Counter[str]:
    """Plan and read one file as a run does: rows by why they could not be read ("" for good ones)."""
    source = Source(name="s", path=str(path), **keys)
    found: Counter[str] = Counter()
    for fragment in inputs.plan(source.model_copy(update={"group_by": None}), FRAGMENT):
        for part in read_rows.read(fragment, source, fragment_size=FRAGMENT, seed=0):
            found.update(e or "" for e in part["error"].to_pylist())
    return found


def work(first: int, last: int) -> None:
    """Read the files of seeds [first, last), saying which before and what came of it after."""
    with open("/proc/self/statm", encoding="ascii") as file:
        limit = int(file.read().split()[0]) * resource.getpagesize() + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(first, last):
            print("begin", seed, flush=True)
            name, data, keys = mutated(seed)
            path = Path(folder, name)
            path.write_bytes(data or b"\n")
            try:
                counts = read(path, keys)
                print("done", seed, json.dumps(counts), flush=True)
            except BaseException as error:  # noqa: BLE001 - whatever it is, it is what is looked for
                where = traceback.extract_tb(error.__traceback__)[-1]
                print("raised", seed, f"{type(error).__name__} {where.filename}:{where.lineno}", flush=True)


def watched(first: int, last: int) -> Iterator[tuple[str, int, str]]:
    """(what, seed, more) of the files of seeds [first, last): "done", "raised", "ended" or "silent"."""
    while first < last:
        command = [sys.executable, __file__, "work", str(first), str(last)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        assert process.stdout is not None
        while line := _line(process):
            what, seed, *more = line.split(maxsplit=2)
            if what == "begin":
                first = int(seed)
                continue
            yield what, int(seed), (more or [""])[0].strip()
            first = int(seed) + 1
        silent = process.poll() is None and bool(first < last)
        process.kill()
        code = process.wait()
        process.stdout.close()
        if first < last:
            yield ("silent", first, "") if silent else ("ended", first, f"with {code}")
            first += 1


def _line(process: Any) -> str:
    """The next line; empty at the end, or where none comes in time."""
    if not select.select([process.stdout], [], [], SECONDS)[0]:
        return ""
    return str(process.stdout.readline())


def main(count: int, first: int) -> int:
    """Read `count` files; returns how many of them were not merely read."""
    from concurrent.futures import ThreadPoolExecutor

    counts: Counter[str] = Counter()
    causes: Counter[str] = Counter()
    batches = [(a, min(a + BATCH, first + count)) for a in range(first, first + count, BATCH)]
    with ThreadPoolExecutor(WORKERS) as pool:
        for found in pool.map(lambda batch: list(watched(*batch)), batches):
            for what, seed, more in found:
                counts[what] += 1
                if what == "done":
                    causes.update(json.loads(more).keys())
                else:
                    print(what, seed, mutated(seed)[0], more, flush=True)
    print(dict(counts), dict(causes))
    return sum(counts.values()) - counts["done"]


if __name__ == "__main__":
    os.environ.setdefault("PYTHONPATH", os.pathsep.join(sys.path))
    if sys.argv[1] == "work":
        work(int(sys.argv[2]), int(sys.argv[3]))
    else:
        sys.exit(1 if main(int(sys.argv[1]), int((sys.argv[2:] or ["0"])[0])) else 0)
