"""What the product says of rows: each alarm gives a flag a row, as a user would see it.

Rows go through cleaning and the removal of duplicates, and then through the check itself, as in a run but for
Ray: `run` of the check's module, whose findings are read back. With `truth` a row counts as flagged only
where the right thing is said of it: the leaked item is named, the value is gone, the text is as it was.
"""

import re
import shutil
import tempfile
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import yaml

from headrace.cluster import storage
from headrace.pipelines import schema
from headrace.pipelines.examine.contradictions import answers as kinds
from headrace.pipelines.examine.contradictions import run as contradictions_check
from headrace.pipelines.examine.diversity import run as diversity_check
from headrace.pipelines.examine.formats import run as formats_check
from headrace.pipelines.examine.label_noise import run as label_check
from headrace.pipelines.examine.leaks import index, items, match
from headrace.pipelines.examine.leaks.config import Against
from headrace.pipelines.examine.leaks.config import Config as Leaks
from headrace.pipelines.examine.reasoning import run as reasoning_check
from headrace.pipelines.stages.clean import stage as clean
from headrace.pipelines.stages.dedup import decide, in_memory
from headrace.pipelines.stages.dedup.config import Config as Dedup
from headrace.pipelines.stages.dedup.stage import removed_table, rule_of_copies
from headrace.pipelines.stages.fingerprint import stage as fingerprint
from headrace.pipelines.stages.pii import stage as pii
from headrace.pipelines.stages.pii.config import Config as Pii
from headrace.pipelines.stages.tokenise import pretrained
from headrace.pipelines.stages.tokenise import stage as tokenise
from tests import builders
from tests.benchmarks.gauntlet.sets import Row

Flags = np.ndarray[Any, np.dtype[np.bool_]]
Truth = Mapping[int, object]
Alarm = Callable[..., Flags]
TAG = re.compile(r"<([A-Z_]+)_\d+>")  # what stands for a value
LIMIT = 256  # tokens, where rows are to be too long
ENDED = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
PROMPTED = "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
# Templates of our own: two that write no end, one that reasons.
TEMPLATES = {
    "headings": "{% for m in messages %}### {{ m.role }}:\n{{ m.content }}\n\n{% endfor %}"
    "{% if add_generation_prompt %}### assistant:\n{% endif %}",
    "names": "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant: {% endif %}",
    "reasons": ENDED.replace(
        "{{ m.content }}",
        "{% set c = m.content %}{% if m.role == 'assistant' and not loop.last and '</think>' in c %}"
        "{% set c = c.split('</think>')[-1] %}{% endif %}{{ c }}",
    )
    + PROMPTED,
}


@lru_cache(maxsize=8)
def model(template: str | None) -> str | None:
    """A directory with the shipped tokenizer and one of `TEMPLATES`; None for the shipped one itself."""
    if template is None:
        return None
    folder = Path(tempfile.mkdtemp(prefix="gauntlet-model-"))
    for file in Path(pretrained.SHIPPED).iterdir():
        shutil.copy(file, folder / file.name)
    (folder / "chat_template.jinja").write_text(TEMPLATES[template])
    return str(folder)


def cleaned(rows: list[Row]) -> pa.Table:
    """Rows as pass 1 has them after cleaning; `row_id` is the place."""
    return clean.apply(builders.table(*rows), clean.Config())


def examined(
    check: ModuleType, rows: list[Row], template: str | None = None
) -> tuple[dict[str, Any], pa.Table]:
    """What a check reports of rows, and what it writes down; by its defaults, and those of `dedup`."""
    table = cleaned(rows)
    table = fingerprint.apply(table.filter(schema.live(table)).combine_chunks(), fingerprint.Config())
    settings = Dedup()
    ranked, matches = in_memory.matched(table, settings)
    verdict = decide.decide(ranked.n, matches, settings.threshold, rule_of_copies(settings))
    removed = removed_table(ranked["row_id"], ranked["simhash"], verdict)
    with tempfile.TemporaryDirectory() as folder:
        paths = builders.write_parts(Path(folder), table, [])
        Path(folder, "duplicates").mkdir()
        storage.write_ranges(f"{folder}/duplicates/removed.parquet", removed)
        recipe = yaml.safe_dump({"model": model(template)})
        Path(folder, "recipe.yaml").write_text(recipe)
        report = check.run(paths, folder, check.Config(), builders.in_order)
        return report, storage.read_table(f"{folder}/findings/{check.NAME}.parquet")


def counted(table: pa.Table, kind: str) -> Flags:
    """Rows of which `changed` counts something of a kind."""
    changes = table["changed"].to_pylist() if "changed" in table.column_names else [None] * table.num_rows
    return np.array([dict(counts or ()).get(kind, 0) > 0 for counts in changes], np.bool_)


def flagged(rows: list[Row], ids: pa.ChunkedArray | pa.Array) -> Flags:
    """A flag a row, set at some row ids."""
    flags = np.zeros(len(rows), np.bool_)
    flags[np.asarray(ids, np.int64)] = True
    return flags


def contradictions(rows: list[Row], truth: Truth | None = None) -> Flags:
    """Rows in a contradiction, of those that the removal of duplicates has left."""
    _, found = examined(contradictions_check, rows)
    return flagged(rows, found.filter(pc.is_in(found["kind"], pa.array(kinds.CONFLICTS)))["row_id"])


def labels(rows: list[Row], truth: Truth | None = None) -> Flags:
    """Rows with a suspect label."""
    return flagged(rows, examined(label_check, rows)[1]["row_id"])


def drift(rows: list[Row], truth: Truth | None = None) -> Flags:
    """Rows whose answer begins in a format and does not end in it."""
    _, found = examined(formats_check, rows)
    return flagged(rows, found.filter(pc.invert(found["valid"]))["row_id"])


def traces(rows: list[Row], truth: Truth | None = None) -> Flags:
    """Rows whose reasoning is missing, empty or not closed, for a model that reasons."""
    _, found = examined(reasoning_check, rows, "reasons")
    wrong = pc.is_in(found["kind"], pa.array(["without", "empty", "unbalanced"]))
    return flagged(rows, found.filter(wrong)["row_id"])


def rewordings(rows: list[Row], truth: Truth | None = None) -> Flags:
    """All rows or none: whether the set is said to ask little."""
    report, _ = examined(diversity_check, rows)
    return np.full(len(rows), report["verdict"] in ("reworded", "repetitive"))


@lru_cache(maxsize=1)
def evaluation(data: Path) -> tuple[pa.Table, index.Index]:
    """Items of the evaluation sets, and what is searched for them."""
    sets = [
        Against(path=str(data / "eval")),
        Against(path=str(data / "instruct/gsm8k/test.jsonl"), name="gsm8k"),
    ]
    table = items.load(sets)
    return table, index.build(table, Leaks())


def leaks(data: Path) -> Alarm:
    """Rows that hold an evaluation item; with `truth`, the one that was planted."""

    def alarm(rows: list[Row], truth: Truth | None = None) -> Flags:
        asked = pa.array(
            ["\n".join(t for r, t in row if r != "assistant") for row in rows], pa.large_string()
        )
        told = pa.array(["\n".join(t for r, t in row if r == "assistant") for row in rows], pa.large_string())
        hits = match.find(asked, told, evaluation(data)[1], Leaks()).to_pylist()
        return flagged(
            rows, [h["row"] for h in hits if truth is None or truth.get(h["row"], h["item"]) == h["item"]]
        )

    return alarm


def personal(names: bool) -> Alarm:
    """Rows in which a name, or anything but names, is masked; with `truth`, those in which the planted value
    is not left."""

    def alarm(rows: list[Row], truth: Truth | None = None) -> Flags:
        masked = pii.apply(cleaned(rows), Pii())
        texts = ["\0".join(contents) for contents in builders.contents_of(masked)]
        if truth is not None:
            return np.array([at in truth and str(truth[at]) not in text for at, text in enumerate(texts)])
        tags = [{entity == "PERSON" for entity in TAG.findall(text)} for text in texts]
        return np.array([names in found for found in tags], np.bool_)

    return alarm


def mojibake(rows: list[Row], truth: Truth | None = None) -> Flags:
    """Rows said to be repaired; with `truth`, those whose question is as it was before it was broken."""
    table = cleaned(rows)
    if truth is None:
        return counted(table, "clean.repaired")
    wanted = cleaned([[*rows[at][:-2], ("user", str(said)), rows[at][-1]] for at, said in truth.items()])
    right = dict(zip(truth, builders.contents_of(wanted), strict=True))
    return np.array([right.get(at) == said for at, said in enumerate(builders.contents_of(table))], np.bool_)


def tokens(row: Row) -> int:
    """Tokens of a row, as transformers' own tokenizer counts them."""
    said = [{"role": role, "content": content} for role, content in row]
    return len(_tokenizer().apply_chat_template(said, tokenize=True, return_dict=False))


@lru_cache(maxsize=1)
def _tokenizer() -> Any:
    return pretrained.load(None)


def tokenised(rows: list[Row], template: str | None, **settings: Any) -> pa.Table:
    """Rows as pass 3 marks them, and what it says of them."""
    config = tokenise.Config(**settings)
    return tokenise.apply(cleaned(rows), config, tokenise.tokenizer(model(template), config), {})[0]


def shortened(rows: list[Row], truth: Truth | None = None) -> Flags:
    """Rows that lose their end to the length limit, where they are cut off."""
    table = tokenised(rows, None, max_length=LIMIT, overlong="truncate")
    return np.asarray(table["shortened"].to_numpy(), np.bool_)


def unended(template: str | None) -> Alarm:
    """Rows with a turn that ends without a token to stop on, under a chat template."""

    def alarm(rows: list[Row], truth: Truth | None = None) -> Flags:
        return counted(tokenised(rows, template, max_length=8192), "tokenise.unended")

    return alarm
