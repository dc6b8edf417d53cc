"""Deduplication by other tools, each as its own documentation shows it, for `bench_peers.py`.

Runs in an environment of its own (`pip install rensa datasketch text-dedup datatrove 'xxhash<4' spacy
tokenizers indic-nlp-library jieba nltk pyarrow`), as a process that reads texts and answers in JSON:

    python peer_tools.py TOOL TEXTS.arrow LANGUAGE CORES

Each function takes texts in memory and returns the rows that the tool would drop, or None where it decides
nothing. Shingling is the tool's own where it has one; else words (rensa's README) or word 3-grams (rensa's
benchmark). Work that the tool leaves to Python is spread over the cores by forking.
"""

import json
import os
import resource
import struct
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib.metadata import version
from itertools import pairwise
from multiprocessing import get_context
from pathlib import Path
from typing import Any

Texts = list[str]
Removed = list[int] | None
THRESHOLD = 0.8


def word_3grams(text: str) -> list[str]:
    words = text.lower().split()
    return words if len(words) < 3 else [" ".join(words[at : at + 3]) for at in range(len(words) - 2)]


def spread(function: Callable[[int, int], Any], count: int, cores: int) -> list[Any]:
    """``function(first, last)`` over ranges of rows, one process a core (which inherit what is in memory)."""
    global _work
    _work = function
    edges = [count * part // cores for part in range(cores + 1)]
    if cores == 1:
        return [function(0, count)]
    with get_context("fork").Pool(cores) as pool:
        return pool.starmap(_run, list(pairwise(edges)))


def _run(first: int, last: int) -> Any:
    return _work(first, last)


def rensa_words(texts: Texts, language: str, cores: int) -> Removed:
    """README, "Keep unique documents"."""
    from rensa import RMinHashDeduplicator

    tool = RMinHashDeduplicator(threshold=THRESHOLD, num_perm=128, use_lsh=True)
    keep = tool.add_pairs((str(i), text.split()) for i, text in enumerate(texts))
    return [i for i, kept in enumerate(keep) if not kept]


def rensa_3grams(texts: Texts, language: str, cores: int) -> Removed:
    """The same with the shingles of its benchmarks/full_benchmark.py."""
    from rensa import RMinHashDeduplicator

    tool = RMinHashDeduplicator(threshold=THRESHOLD, num_perm=128, use_lsh=True)
    keep = tool.add_pairs((str(i), word_3grams(text)) for i, text in enumerate(texts))
    return [i for i, kept in enumerate(keep) if not kept]


def rensa_rho(texts: Texts, language: str, cores: int) -> Removed:
    """Its fastest way, as in benchmarks/full_benchmark.py: flags on all rows of a match, no decision."""
    from rensa import RMinHash, RMinHashLSH

    grams = (word_3grams(text) for text in texts)
    matrix = RMinHash.digest_matrix_from_token_sets_rho(grams, num_perm=128, seed=42)
    lsh = RMinHashLSH(threshold=THRESHOLD, num_perm=128, num_bands=8)
    lsh.query_duplicate_flags_matrix_one_shot(matrix)
    return None


def datasketch(texts: Texts, language: str, cores: int) -> Removed:
    """Documentation, "MinHash LSH": 128 permutations; a row goes if its estimate with a kept one suffices."""
    from datasketch import MinHash, MinHashLSH

    def sketch(first: int, last: int) -> list[Any]:
        grams = ([gram.encode() for gram in word_3grams(text)] for text in texts[first:last])
        return list(MinHash.generator(grams, num_perm=128))

    sketches = [made for part in spread(sketch, len(texts), cores) for made in part]
    lsh = MinHashLSH(threshold=THRESHOLD, num_perm=128)
    kept: dict[int, Any] = {}
    removed = []
    for row, made in enumerate(sketches):
        if any(made.jaccard(kept[other]) >= THRESHOLD for other in lsh.query(made)):
            removed.append(row)
        else:
            kept[row] = made
            lsh.insert(row, made, check_duplication=False)
    return removed


def text_dedup_minhash(texts: Texts, language: str, cores: int) -> Removed:
    """The steps of `python -m text_dedup.minhash` with its defaults, in memory instead of a data set."""
    import numpy as np
    from text_dedup import minhash
    from text_dedup.utils import UnionFind, optimal_param, sha1_hash

    permutations, bits32, prime = 250, np.uint32(2**32 - 1), np.uint64(2**61 - 1)
    bands, rows = optimal_param(THRESHOLD, permutations, false_positive_weight=0.5, false_negative_weight=0.5)
    ranges = [(at * rows, (at + 1) * rows) for at in range(bands)]
    random = np.random.RandomState(42)
    factors = (
        random.randint(1, prime, size=(permutations,), dtype=np.uint64),
        random.randint(0, prime, size=(permutations,), dtype=np.uint64),
    )

    def sketch(first: int, last: int) -> list[list[bytes]]:
        return [
            minhash.embed_func(
                text,
                0,
                num_perm=permutations,
                ngram_size=5,
                min_length=5,
                hashranges=ranges,
                permutations=factors,
                hash_func=sha1_hash,
                dtype=np.uint64,
                max_hash=bits32,
                modulo_prime=prime,
            )[minhash.SIGNATURE_COLUMN]
            for text in texts[first:last]
        ]

    signatures = [signature for part in spread(sketch, len(texts), cores) for signature in part]
    long = [len(minhash.NON_ALPHA.split(text.lower())) >= 5 for text in texts]  # it drops all others
    tables: list[dict[bytes, int]] = [{} for _ in ranges]
    clusters = UnionFind()
    for row, signature in enumerate(signatures):
        if long[row]:
            for table, key in zip(tables, signature, strict=True):
                clusters.union(row, table.setdefault(key, row))
    return [row for row in range(len(texts)) if not long[row] or clusters.find(row) != row]


def text_dedup_simhash(texts: Texts, language: str, cores: int) -> Removed:
    """The steps of `python -m text_dedup.simhash` with its defaults (64 bits, distance 3)."""
    from bitarray import frozenbitarray
    from text_dedup import simhash
    from text_dedup.utils import UnionFind, xxh3_64_digest

    blocks = simhash._create_permutations(64, k=3, b=4)

    def sketch(first: int, last: int) -> list[tuple[Any, bytes]]:
        found = []
        for text in texts[first:last]:
            made = simhash.embed_func(text, 0, ngram=3, permutations=blocks, hash_func=xxh3_64_digest)
            found.append((made[simhash.KEY_COLUMN], made[simhash.SIGNATURE_COLUMN]))
        return found

    buckets: dict[Any, list[tuple[int, Any]]] = {}
    clusters = UnionFind()
    signatures = [made for part in spread(sketch, len(texts), cores) for made in part]
    for row, (keys, signature) in enumerate(signatures):
        ours = frozenbitarray(buffer=signature)
        for key in keys:
            held = buckets.setdefault(tuple(key), [])
            for other, theirs in held:
                if (ours ^ theirs).count(1) <= 3:
                    clusters.union(row, other)
            held.append((row, ours))
    return [row for row in range(len(texts)) if clusters.find(row) != row]


def datatrove_minhash(texts: Texts, language: str, cores: int) -> Removed:
    """Its example minhash_deduplication.py with the defaults: word 5-grams, 14 buckets of 8 hashes."""
    from datatrove.data import Document
    from datatrove.pipeline.dedup import MinhashDedupBuckets, MinhashDedupCluster, MinhashDedupSignature
    from datatrove.pipeline.dedup.minhash import MinhashConfig
    from loguru import logger

    logger.remove()
    config = MinhashConfig()
    edges = [len(texts) * part // cores for part in range(cores + 1)]
    with tempfile.TemporaryDirectory() as folder:
        signatures, buckets, removals = (f"{folder}/{name}" for name in ("signatures", "buckets", "remove"))

        def sketch(first: int, last: int) -> None:
            step = MinhashDedupSignature(signatures, config=config, language=language)
            documents: Iterator[Document] = (Document(text, "") for text in texts[first:last])
            step.run(documents, rank=edges.index(first), world_size=cores)

        def match(first: int, last: int) -> None:
            for bucket in range(first, last):
                step = MinhashDedupBuckets(signatures, buckets, config=config, lines_to_buffer=1000)
                step.run(None, bucket, config.num_buckets)

        spread(sketch, len(texts), cores)
        spread(match, config.num_buckets, cores)
        MinhashDedupCluster(buckets, removals, config=config, lines_to_buffer=1000).run(None, 0, 1)
        removed = []
        for path in sorted(Path(removals).glob("*.remove")):
            data = path.read_bytes()
            first = edges[int(path.stem)]
            removed += [first + row for row in struct.unpack(f"<{len(data) // 4}I", data)]
    return removed


TOOLS: dict[str, tuple[str, Callable[[Texts, str, int], Removed]]] = {
    "rensa, words": ("rensa", rensa_words),
    "rensa, word 3-grams": ("rensa", rensa_3grams),
    "rensa rho, word 3-grams": ("rensa", rensa_rho),
    "datasketch": ("datasketch", datasketch),
    "text-dedup MinHash": ("text-dedup", text_dedup_minhash),
    "text-dedup SimHash": ("text-dedup", text_dedup_simhash),
    "datatrove": ("datatrove", datatrove_minhash),
}


def main() -> None:
    """Run one tool and print {removed, wall, cpu, version} in JSON, seconds of the call alone."""
    import pyarrow as pa

    package, tool = TOOLS[sys.argv[1]]
    texts: Texts = pa.ipc.open_file(sys.argv[2]).read_all()["text"].to_pylist()
    answer = os.dup(1)
    os.dup2(2, 1)  # what tools print is no answer
    tool(texts[:50], sys.argv[3], 1)  # imports, models
    began, used = time.perf_counter(), _used()
    removed = tool(texts, sys.argv[3], int(sys.argv[4]))
    seconds = {"wall": time.perf_counter() - began, "cpu": _used() - used}
    with os.fdopen(answer, "w") as out:
        json.dump({"removed": removed, "version": version(package), **seconds}, out)


def _used() -> float:
    """Seconds of the processor, of this process and of those it has waited for."""
    both = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in both)


if __name__ == "__main__":
    main()
