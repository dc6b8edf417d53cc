"""Findings of pii beside plain Presidio's over many texts, which are kept: for `bench_pii --everything`.

Plain Presidio takes an hour for all of them, so what it finds is put into a folder, a file a batch of texts,
under the texts' hash and the versions of its libraries. A run that was broken off goes on there, and a
changed engine is compared within minutes. A text that was compared once is not compared again.

What recognisers find does not depend on tokens; both modes share it, the tokens and nothing else.
"""

import hashlib
import json
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from headrace.pipelines.stages.pii.findings import Finding
from headrace.pipelines.stages.pii.presidio.scanner import scanner
from headrace.pipelines.stages.pii.presidio.setup import engine, versions

MODES = (False, True)  # context words: as with a bare blank tokenizer, and live
TEXTS, BYTES = 2000, 400_000  # of a batch, at most
EVERY = 30  # seconds between lines on how far it is
Findings = list[list[Finding]]  # of each text


class Count(NamedTuple):
    """What was compared; the last two by mode."""

    texts: int
    bytes: int
    findings: tuple[int, int]
    differ: tuple[int, int]


class Compared:
    """Compares texts, none twice; plain findings are kept in `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.seen: set[bytes] = set()
        folder.mkdir(parents=True, exist_ok=True)

    def compare(self, name: str, texts: Iterable[str]) -> Count:
        """Compare those of `texts` that were not met before, in both modes."""
        total, shown = Count(0, 0, (0, 0), (0, 0)), time.monotonic()
        for batch in self._batches(texts):
            total = _added(total, self._batch(name, batch))
            if time.monotonic() - shown > EVERY:
                shown = time.monotonic()
                print(f"{time.strftime('%H:%M:%S')} {name} {total}", flush=True)
        return total

    def _batches(self, texts: Iterable[str]) -> Iterator[list[str]]:
        batch: list[str] = []
        size = 0
        for text in texts:
            raw = text.encode("utf-8", "replace")  # a half of a surrogate pair is no character
            key = hashlib.blake2b(raw, digest_size=16).digest()
            if not raw or key in self.seen:
                continue
            self.seen.add(key)
            if batch and (len(batch) == TEXTS or size + len(raw) > BYTES):
                yield batch
                batch, size = [], 0
            batch.append(raw.decode())
            size += len(raw)
        if batch:
            yield batch

    def _batch(self, name: str, texts: list[str]) -> Count:
        due = self._plain(texts)
        found, differ = [], []
        for context, wanted in zip(MODES, due, strict=True):
            got = ours(texts, context)
            wrong = [at for at in range(len(texts)) if wanted[at] != got[at]]
            for at in wrong:
                self._differs(name, context, texts[at], wanted[at], got[at])
            found.append(sum(map(len, wanted)))
            differ.append(len(wrong))
        size = sum(len(text.encode()) for text in texts)
        return Count(len(texts), size, (found[0], found[1]), (differ[0], differ[1]))

    def _differs(
        self, name: str, context: bool, text: str, due: list[Finding], got: list[Finding] | None
    ) -> None:
        record = {"name": name, "context": context, "text": text, "due": due, "got": got}
        with (self.folder / "differ.jsonl").open("a") as stream:
            stream.write(json.dumps(record) + "\n")
        difference = sorted(set(due) ^ set(got or []))
        print("DIFFERS", name, context, repr(text[:300]), difference[:6], flush=True)

    def _plain(self, texts: list[str]) -> tuple[Findings, Findings]:
        """What plain Presidio finds in both modes."""
        key = hashlib.sha256(json.dumps(versions(), sort_keys=True).encode())
        for text in texts:
            raw = text.encode()
            key.update(len(raw).to_bytes(8, "little") + raw)
        file = self.folder / f"{key.hexdigest()[:40]}.parquet"
        if file.exists():
            return _loaded(pq.read_table(file), len(texts))
        both = [plain_both(text) for text in texts]
        rows = [
            {"text": at, "context": context, **finding._asdict()}
            for at, found in enumerate(both)
            for context, findings in zip(MODES, found, strict=True)
            for finding in findings
        ]
        made = pa.Table.from_pylist(rows, SCHEMA)
        pq.write_table(made, file.with_suffix(".part"), compression="zstd")
        file.with_suffix(".part").rename(file)
        return _loaded(made, len(texts))


SCHEMA = pa.schema(
    [
        ("text", pa.int32()),
        ("context", pa.bool_()),
        ("start", pa.int32()),
        ("end", pa.int32()),
        ("entity", pa.string()),
        ("score", pa.float64()),
        ("recognizer", pa.string()),
    ]
)


def ours(texts: list[str], context: bool) -> list[list[Finding] | None]:
    """What pii finds; null for a text that it could not examine."""
    found = scanner(context).find(pa.array(texts, pa.large_string()))
    got: list[list[Finding] | None] = [None if at in found.failures else [] for at in range(len(texts))]
    for row, finding in zip(found.rows, found.findings, strict=True):
        one = got[row]
        if one is not None:
            one.append(finding)
    return got


def plain_both(text: str) -> tuple[list[Finding], list[Finding]]:
    """What Presidio's own engine finds in both modes; its recognisers are asked once."""
    _remember()
    nlp = engine().nlp_engine
    document = nlp.nlp["en"](text)
    bare = _analyzed(text, nlp._doc_to_nlp_artifact(document, "en"))
    for token in document:
        token.lemma_ = token.text
    return bare, _analyzed(text, nlp._doc_to_nlp_artifact(document, "en"))


def _analyzed(text: str, artifacts: Any) -> list[Finding]:
    results = engine().analyze(text, "en", nlp_artifacts=artifacts)
    return sorted(
        Finding(r.start, r.end, r.entity_type, float(r.score), r.recognition_metadata["recognizer_name"])
        for r in results
    )


def _remember() -> None:
    """Let each recogniser answer a text that it has just been asked about with the same results."""
    for recognizer in engine().registry.recognizers:
        if not isinstance(vars(recognizer).get("analyze"), _Once):
            recognizer.analyze = _Once(recognizer.analyze)


class _Once:
    """A recogniser's `analyze` that remembers its last text."""

    def __init__(self, analyze: Callable[..., Any]) -> None:
        self.analyze = analyze
        self.text: str | None = None
        self.results: list[Any] = []

    def __call__(self, text: str, entities: list[str], nlp_artifacts: Any = None) -> list[Any]:
        """The results; Presidio copies them before it changes them."""
        if text != self.text:
            self.results = self.analyze(text=text, entities=entities, nlp_artifacts=nlp_artifacts) or []
            self.text = text
        return list(self.results)


def _loaded(table: pa.Table, count: int) -> tuple[Findings, Findings]:
    """Findings of each text, sorted, by mode."""
    both: tuple[Findings, Findings] = [[] for _ in range(count)], [[] for _ in range(count)]
    columns = [column.to_pylist() for column in table.columns]
    for text, context, start, end, entity, score, name in zip(*columns, strict=True):
        both[context][text].append(Finding(start, end, entity, score, name))
    return both


def _added(one: Count, other: Count) -> Count:
    return Count(
        one.texts + other.texts,
        one.bytes + other.bytes,
        (one.findings[0] + other.findings[0], one.findings[1] + other.findings[1]),
        (one.differ[0] + other.differ[0], one.differ[1] + other.differ[1]),
    )
