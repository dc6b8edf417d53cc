"""Where another trainer's rows lie, where the run goes, and what is held out."""

import os
import re
from collections.abc import Sequence
from typing import Any

from headrace.cluster import storage
from headrace.pipelines.commands.imported.draft import Draft

HUB = re.compile(r"[\w.-]+/[\w.-]+")  # a name of Hugging Face's hub
BESIDE = "data"  # folder that data sets of the hub are to be downloaded into


def output(made: Draft, key: str, otherwise: str) -> str:
    """A run directory named after where the trainer wrote."""
    given = made.get(key)
    if not isinstance(given, str):
        return f"runs/{otherwise}"
    made.taken.add(key)
    names = [part for part in given.split("/") if part not in ("", ".", "..")]
    made.notes.append(f"output is a directory of headrace's own, named after {key}")
    return f"runs/{'-'.join(names[-2:]) or otherwise}"


def path(rows: Draft, given: Any, files: Sequence[str] = ()) -> Any:
    """Path of a data set: as it stands where it is one, else where a download puts it."""
    text = str(given)
    if not _on_hub(text):
        return [storage.join(text, f) for f in files] if files else text
    here = f"{BESIDE}/{text.rpartition('/')[2]}"
    rows.notes.append(
        f"{text} is a data set of Hugging Face's hub: `hf download {text} --repo-type dataset --local-dir "
        f"{here}` puts it where sources[].path looks for it"
    )
    return [f"{here}/{f}" for f in files] if files else here


def _on_hub(text: str) -> bool:
    ends = os.path.splitext(text)[1].lower() in (
        ".json",
        ".jsonl",
        ".csv",
        ".tsv",
        ".parquet",
        ".txt",
        ".arrow",
    )
    return bool(HUB.fullmatch(text)) and not ends and not os.path.exists(text) and text[0] not in "./~"


def with_names(sources: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The sources with names of their own, where two would have one."""
    names: set[str] = set()
    named = []
    for source in sources:
        first = source["path"][0] if isinstance(source["path"], list) else source["path"]
        last = re.sub(r"[*?\[\]]", "", os.path.splitext(first.rstrip("/").rpartition("/")[2])[0]) or "rows"
        name, number = str(source.get("name") or last), 2
        while name in names:
            name, number = f"{source.get('name') or last}-{number}", number + 1
        names.add(name)
        named.append({"name": name, **{k: v for k, v in source.items() if k != "name"}})
    return named


def held_out(made: Draft, size: float, key: str, by_source: bool) -> None:
    """What the split keeps back: as much as there, and nothing for a verdict, which is said."""
    validation = 0 if by_source else size
    made.put("split", {"validation": validation, "test": 0}, *([key] if key in made.given else []))
    if validation or by_source:
        made.put("evaluate.split", "validation")
        made.notes.append(
            "no rows are held out but those of validation, which the trained model is also compared by: a "
            "split.test of their own makes the verdict fair"
        )
    else:
        made.notes.append(
            "no rows are held out (split.validation, split.test): nothing tells whether the training helps"
        )
