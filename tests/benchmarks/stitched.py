"""The preparation as people stitch it together from other tools, for `bench_whole.py --peers`.

Runs in an environment of its own (`pip install ftfy 'datatrove[processing]' 'xxhash<4' presidio-analyzer
presidio-anonymizer spacy jinja2 tokenizers trl datasets torch`), on one core:

    python stitched.py ROWS.jsonl TOKENIZER_FOLDER BYTES

Reads the first rows of BYTES of text and answers in JSON with CPU seconds by step; imports and models are
there before. Each step is what the tool's own documentation shows: ftfy a message; datatrove's
Gopher filters a row, whose verdicts are counted and not followed, as they are meant for pages of the web;
Presidio's recognisers and its anonymizer a message, with a blank spaCy model, which costs least and finds no
names; datatrove's MinHash, whose duplicates go; a ChatML template and `tokenizers` a row; TRL's packing. It
has no examiner, no gate, no books, no split and no proof.
"""

import json
import logging
import resource
import sys
import tempfile
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

LENGTH = 1024
TEMPLATE = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
PACKAGES = ("ftfy", "datatrove", "presidio-analyzer", "presidio-anonymizer", "spacy", "tokenizers", "trl")
Rows = list[list[dict[str, str]]]


def spent() -> float:
    """CPU seconds of this process and of those that it has started and seen end."""
    return sum(
        used.ru_utime + used.ru_stime
        for used in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    )


def read(path: str, size: int) -> Rows:
    """The first rows, of `size` bytes of text together."""
    rows, total = [], 0
    with open(path, encoding="utf-8") as file:
        for line in file:
            rows.append(json.loads(line)["messages"])
            total += sum(len(m["content"].encode()) for m in rows[-1])
            if total >= size:
                return rows
    raise SystemExit(f"{path} holds {total} bytes of text, not {size}")


def mended(rows: Rows) -> Rows:
    from ftfy import fix_text

    return [[{**m, "content": fix_text(m["content"])} for m in row] for row in rows]


def text(row: list[dict[str, str]]) -> str:
    return "\n\n".join(m["content"] for m in row)


def filtered(rows: Rows) -> int:
    """Rows that Gopher's rules would drop."""
    from datatrove.data import Document
    from datatrove.pipeline.filters import GopherQualityFilter, GopherRepetitionFilter

    filters = (GopherRepetitionFilter(), GopherQualityFilter())
    return sum(not all(each.filter(Document(text(row), "")) is True for each in filters) for row in rows)


def masked(rows: Rows) -> Callable[[], Rows]:
    """What masks rows; its start is not part of what is counted."""
    import spacy
    import tldextract.tldextract
    from presidio_analyzer import AnalyzerEngine
    from presidio_analyzer.nlp_engine import SpacyNlpEngine
    from presidio_anonymizer import AnonymizerEngine

    tldextract.tldextract.TLD_EXTRACTOR = tldextract.TLDExtract(suffix_list_urls=(), cache_dir=None)
    engine = SpacyNlpEngine()
    engine.nlp = {"en": spacy.blank("en")}
    analyzer = AnalyzerEngine(nlp_engine=engine, supported_languages=["en"])
    anonymizer = AnonymizerEngine()

    def said(content: str) -> str:
        found = analyzer.analyze(text=content, language="en")
        return anonymizer.anonymize(text=content, analyzer_results=found).text if found else content  # type: ignore[arg-type]

    return lambda: [[{**m, "content": said(m["content"])} for m in row] for row in rows]


def deduplicated(rows: Rows) -> Rows:
    """datatrove's example minhash_deduplication.py, one task a step."""
    from datatrove.data import Document
    from datatrove.pipeline.dedup import MinhashDedupBuckets, MinhashDedupCluster, MinhashDedupSignature
    from datatrove.pipeline.dedup.minhash import MinhashConfig
    from loguru import logger

    logger.remove()
    config = MinhashConfig()
    with tempfile.TemporaryDirectory() as folder:
        signatures, buckets, removals = (f"{folder}/{name}" for name in ("signatures", "buckets", "remove"))
        documents: Iterator[Any] = (Document(text(row), "") for row in rows)
        MinhashDedupSignature(signatures, config=config).run(documents, rank=0, world_size=1)
        for bucket in range(config.num_buckets):
            MinhashDedupBuckets(signatures, buckets, config=config).run(None, bucket, config.num_buckets)
        MinhashDedupCluster(buckets, removals, config=config).run(None, 0, 1)
        gone = {
            int.from_bytes(raw[at : at + 4], "little")
            for path in Path(removals).rglob("*.remove")
            if (raw := path.read_bytes())
            for at in range(0, len(raw), 4)
        }
    return [row for at, row in enumerate(rows) if at not in gone]


def tokenised(rows: Rows, folder: str) -> list[list[int]]:
    from jinja2 import Template
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(f"{folder}/tokenizer.json")
    template = Template(TEMPLATE)
    return [tokenizer.encode(template.render(messages=row)).ids[:LENGTH] for row in rows]


def packed(ids: list[list[int]]) -> int:
    """Packed rows that TRL makes."""
    from datasets import Dataset
    from trl import pack_dataset

    return len(pack_dataset(Dataset.from_dict({"input_ids": ids}), LENGTH))


def main() -> None:
    """Print one line of JSON."""
    path, folder, size = sys.argv[1], sys.argv[2], int(sys.argv[3])
    import datasets

    logging.disable()
    datasets.disable_progress_bars()
    seconds: dict[str, float] = {}

    def timed(name: str, step: Callable[..., Any], *given: Any) -> Any:
        began = spent()
        made = step(*given)
        seconds[name] = spent() - began
        return made

    warm = read(path, 1)
    filtered(mended(warm)), masked(warm)(), packed(tokenised(warm, folder))  # imports and first models
    rows = timed("read", read, path, size)
    rows = timed("ftfy", mended, rows)
    gopher = timed("gopher", filtered, rows)
    rows = timed("presidio", masked(rows))
    kept = timed("minhash", deduplicated, rows)
    ids = timed("template and tokenizers", tokenised, kept, folder)
    full = timed("packing", packed, ids)
    told = {
        "rows": len(rows),
        "gopher_would_drop": gopher,
        "minhash_dropped": len(rows) - len(kept),
        "packed": full,
    }
    versions = {name: version(name) for name in PACKAGES}
    print(json.dumps({"seconds": seconds, "told": told, "versions": versions}))


if __name__ == "__main__":
    main()
