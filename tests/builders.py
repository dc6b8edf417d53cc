"""Rows, recipes and runs for every test: what a test has to have and need not show.

Whatever two test files build alike stands here; models and packed rows for training are in `pipelines.toys`.
"""

import contextlib
import gzip
import io
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pyarrow as pa
import yaml

from headrace.cluster import storage
from headrace.pipelines import schema
from headrace.pipelines.cli import main as cli
from headrace.pipelines.commands.demo import sample
from headrace.pipelines.stages.fingerprint import stage as fingerprint

Turn = tuple[str, str]  # role, content
Commits = dict[str, tuple[int, int]]

MAIL, PHONE = "ann.lee@example.com", "(425) 882-8080"
PII_KEY = "correct horse battery staple"
# Checks of the examiner that most tests of whole runs are not about: half of a small run's time.
UNEXAMINED = {
    name: {"enabled": False} for name in ("contradictions", "label_noise", "diversity", "formats", "bias")
}
SYLLABLES = (
    *("amber", "basin", "cedar", "delta", "ember", "fjord", "grove", "haven"),
    *("inlet", "jetty", "knoll", "lagoon", "meadow", "nook", "oasis", "prairie"),
)


# Rows.


def table(*conversations: Sequence[tuple[str, str | None]] | None, first: int = 0, **fields: Any) -> pa.Table:
    """Rows as readers give them (``schema.ROW``), one a conversation; None is a row without messages.

    `row_id` counts from `first`. `fields` are columns: a list holds one value a row, anything else
    stands in every row.
    """
    return schema.from_rows(
        [
            {
                "row_id": first + at,
                "n_records": 1,
                "source": "s",
                "file": "f",
                "place": f"row {at}",
                "messages": None if turns is None else [{"role": r, "content": c} for r, c in turns],
                **{name: value[at] if isinstance(value, list) else value for name, value in fields.items()},
            }
            for at, turns in enumerate(conversations)
        ]
    )


def text_table(contents: Iterable[str], first: int = 0, **fields: Any) -> pa.Table:
    """`table` of plain texts, one a row."""
    return table(*[[("text", content)] for content in contents], first=first, **fields)


def contents_of(rows: pa.Table) -> list[list[str]]:
    """Contents of the messages of every row; none where it has no messages."""
    return [[message["content"] for message in row or []] for row in rows["messages"].to_pylist()]


def prepared_table(contents: list[str], **fields: Any) -> pa.Table:
    """Plain texts as pass 1 leaves them: fingerprinted, of one quality, no row marked."""
    made = fingerprint.apply(text_table(contents, **fields), fingerprint.Config())
    quality = pa.array([{"score": 0.5}] * len(contents), schema.QUALITY)
    return made.append_column("quality", quality).drop_columns(["drop", "error"])


def write_parts(folder: Path, rows: pa.Table, cuts: list[int]) -> list[str]:
    """`rows` in Parquet files cut before these row numbers; returns their paths."""
    paths = []
    for number, (first, last) in enumerate(zip([0, *cuts], [*cuts, rows.num_rows], strict=True)):
        paths.append(str(folder / f"part-{number}.parquet"))
        storage.write_table(paths[-1], rows.slice(first, last - first))
    return paths


# Texts.


def story(seed: int, words: int = 200) -> str:
    """A text of random words that no other seed shares."""
    draw = np.random.default_rng(seed)
    return " ".join("".join(draw.choice(list("abcdefghijklmnop"), draw.integers(2, 9))) for _ in range(words))


def near_copies(seed: int, n: int = 80) -> list[str]:
    """Texts of which half are near copies of earlier ones, some exact."""
    draw = np.random.default_rng(seed)
    texts: list[list[str]] = []
    for _ in range(n):
        if texts and draw.random() < 0.5:
            words = list(texts[int(draw.integers(len(texts)))])
            if draw.random() < 0.8:
                words[int(draw.integers(len(words)))] = f"new{draw.integers(10**6)}"
            texts.append(words)
        else:
            drawn = draw.integers(0, 10**6, draw.integers(1, 60))
            texts.append([f"{SYLLABLES[w % 16]}{w % 101}" for w in drawn])
    return [" ".join(words) for words in texts]


def sums(count: int) -> list[dict[str, str]]:
    """Records with a question and an answer, no two alike."""
    return [
        {"question": f"what is {n} plus {n}?", "answer": f"it is {2 * n}, of course"}
        for n in range(100, 100 + count)
    ]


# Stages, and tasks without Ray.


def stand_in(name: str, apply: Callable[[pa.Table, Any], pa.Table], module: str = "") -> ModuleType:
    """A module that is the stage `name`, with this `apply`."""
    made = ModuleType(module or name)
    made.__dict__.update(NAME=name, apply=apply)
    return made


def in_order(function: Callable[[Any], Any], items: Iterable[Any], *, name: str) -> Iterator[Any]:
    """Tasks run in this process, one after the other."""
    return map(function, items)


def backwards(function: Callable[[Any], Any], items: Iterable[Any], *, name: str) -> Iterator[Any]:
    """Tasks run last first; their results come in order."""
    return iter([function(item) for item in reversed(list(items))][::-1])


# Input files and recipes.


def write_jsonl(path: Path, records: Iterable[Any]) -> Path:
    """A file of JSON lines, its folder made where it is missing; a str is a line as it stands."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [r if isinstance(r, str) else json.dumps(r, ensure_ascii=False) for r in records]
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def write_messy(folder: Path, tickets: int = 240) -> Path:
    """The demo's messy sample, one of its JSONL files gzipped."""
    sample.write(str(folder), seed=5, tickets=tickets)
    last = folder / "chat/2.jsonl"
    (folder / "chat/2.jsonl.gz").write_bytes(gzip.compress(last.read_bytes(), mtime=0))
    last.unlink()
    return folder


def recipe_of(output: object, path: object, name: str = "sums", **more: Any) -> dict[str, Any]:
    """A recipe with one source, of which only the path is given; `UNEXAMINED` unless it says otherwise."""
    return {
        "output": str(output),
        "sources": [{"name": name, "path": str(path)}],
        "examine": UNEXAMINED,
        **more,
    }


def messy_recipe(inputs: object, output: object, **more: Any) -> dict[str, Any]:
    """A recipe over what `write_messy` wrote, cut into many fragments."""
    turns = {"role": "speaker", "content": "text", "roles": {"customer": "user", "agent": "assistant"}}
    sources: list[dict[str, Any]] = [
        {"name": "chat", "path": f"{inputs}/chat", "shape": "messages"},
        {"name": "forms", "path": f"{inputs}/forms"},
        {"name": "archive", "path": f"{inputs}/archive.json"},
        {
            "name": "turns",
            "path": f"{inputs}/turns",
            "group_by": "conversation",
            "order_by": "turn",
            "columns": turns,
        },
    ]
    usual = {"quarantine": {"limit": 0.2}, "tokenise": {"max_length": 256}, "pack": {"window": 40}}
    return {"output": str(output), "sources": sources, "fragment_size": "4KiB", **usual, **more}


def save_recipe(path: Path, data: dict[str, Any]) -> str:
    """Write a recipe file; returns its path."""
    path.write_text(yaml.safe_dump(data), encoding="utf-8")
    return str(path)


# The command, and runs.


def run_command(arguments: list[str]) -> tuple[int, str, str]:
    """The command in this process: exit code, standard output, standard error."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = cli.main(arguments)
    return code, out.getvalue(), err.getvalue()


def prepare(path: Path, data: dict[str, Any]) -> dict[str, Any]:
    """`headrace prepare` on recipe `data`, saved at `path`; returns run.json."""
    code, _, err = run_command(["prepare", save_recipe(path, data)])
    assert not code, err
    assert err == ""
    written: dict[str, Any] = json.loads(storage.read_bytes(storage.join(data["output"], "run.json")))
    return written


def commits(run: object, name: str) -> Commits:
    """Commit records of a pass in a local run: (mtime in ns, inode) by file name."""
    records = {p.name: p.stat() for p in sorted(Path(str(run), "ledger", name).glob("0*.json"))}
    return {n: (s.st_mtime_ns, s.st_ino) for n, s in records.items()}


def balanced(book: dict[str, Any]) -> bool:
    """Whether what came in is kept, dropped or quarantined."""
    total: int = book["kept"] + sum(book["dropped"].values()) + sum(book["quarantined"].values())
    return total == book["in"]


@dataclass(frozen=True)
class Finished:
    """A prepared run over the messy sample: nobody changes it; who must, copies it."""

    inputs: Path
    recipe: str
    path: Path
    out: str  # what `prepare --json` printed

    @property
    def json(self) -> dict[str, Any]:
        """run.json as it stands."""
        read: dict[str, Any] = json.loads((self.path / "run.json").read_bytes())
        return read

    @property
    def digest(self) -> str:
        """Digest of the run."""
        return str(self.json["digest"])


def finish(folder: Path) -> Finished:
    """Write the messy sample below `folder` and prepare it; Ray must be up, or is started."""
    inputs, path = write_messy(folder / "in"), folder / "run"
    recipe = save_recipe(folder / "recipe.yaml", messy_recipe(inputs, path))
    code, out, err = run_command(["prepare", recipe, "--json"])
    assert (code, err) == (0, "")
    return Finished(inputs, recipe, path, out)
