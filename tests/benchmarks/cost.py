"""What deduplication costs at 1e8, 1e9 and 1e10 rows, from what `bench_pass.py` measured.

    python tests/benchmarks/cost.py

reads pass.csv (its largest case) and writes COST.md. Nothing here was run at those sizes: each figure is a
measured constant times the rows, sorting steps times log(rows) as well.
"""

import csv
import math
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROW = 1500  # bytes of text of a row, as in the benchmark
CORES = 64  # of a node
SORTING = ("order", "block", "gather", "decide", "cluster")  # n log n; the others walk rows once
WHOLE = ("order", "gather", "decide", "cluster")  # one task over small columns of all rows
SIZES = (10**8, 10**9, 10**10)
PUBLISHED = """\
| NeMo Curator, fuzzy deduplication (published) | 8 TB | 0.5 h on 4 nodes of 8 H100 | 16 GPU-hours |
| data-juicer 2, deduplication (published) | 1 TB | 50.8 min on 640 cores | 542 core-hours |"""


def constants() -> tuple[int, dict[str, dict[str, float]], dict[str, float], dict[str, str]]:
    """Documents of the largest case, its figures by step, bytes of memory that the steps over all rows grow
    by for a row (from the case before it), and where it was measured."""
    with (HERE / "pass.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    before, largest = sorted({int(line["documents"]) for line in lines})[-2:]
    chosen, smaller = ([x for x in lines if int(x["documents"]) == n] for n in (largest, before))
    names = ("us_a_row", "memory_mib", "bytes_a_row")
    steps = {line["step"]: {n: float(line[n]) for n in names} for line in chosen}
    less = {line["step"]: float(line["memory_mib"]) for line in smaller}
    growth = {n: (steps[n]["memory_mib"] - less[n]) * 2**20 / (largest - before) for n in WHOLE}
    return largest, steps, growth, {n: chosen[0][n] for n in ("date", "commit", "cpu")}


def core_hours(rows: float, measured: int, steps: dict[str, dict[str, float]]) -> tuple[float, float]:
    """Of fingerprinting (pass 1) and of pass 2."""
    growth = math.log(rows) / math.log(measured)
    sketching = steps["fingerprint (pass 1)"]["us_a_row"] * rows / 3.6e9
    rest = sum(
        s["us_a_row"] * rows * (growth if name in SORTING else 1) / 3.6e9
        for name, s in steps.items()
        if not name.startswith(("fingerprint", "all"))
    )
    return sketching, rest


def size(value: float) -> str:
    """Bytes for people."""
    for unit in ("B", "KB", "MB", "GB"):
        if value < 1000:
            return f"{value:.3g} {unit}"
        value /= 1000
    return f"{value:.3g} TB"


def text() -> str:
    """COST.md."""
    measured, steps, held, place = constants()
    moved = sum(s["bytes_a_row"] for n, s in steps.items() if not n.startswith(("fingerprint", "all")))
    bounded = max(s["memory_mib"] for n, s in steps.items() if n not in (*WHOLE, "all of pass 2"))
    lines = [
        "# What deduplication costs",
        "",
        "Written by `cost.py` from `pass.csv`; nothing was run at these sizes. Constants: "
        f"{measured:,} documents of 1 to 2 KB, {place['cpu']}, commit {place['commit']}, {place['date']}.",
        "",
        "| step | us of CPU a row | MiB of memory a task | bytes a row written |",
        "|---|---|---|---|",
        *(
            f"| {name} | {s['us_a_row']:.2f} | {s['memory_mib']:.0f} | {s['bytes_a_row']:.0f} |"
            for name, s in steps.items()
        ),
        "",
        "Rows of 1,500 bytes; nodes of 64 cores. Pass 1's reading, cleaning and PII are not in it.",
        "",
        "| rows | text | core-hours of fingerprints | core-hours of pass 2 | node-hours "
        "| written for the shuffle | largest task |",
        "|---|---|---|---|---|---|---|",
    ]
    for rows in SIZES:
        sketching, rest = core_hours(rows, measured, steps)
        largest = max(bounded * 2**20, *(h * rows for h in held.values()))
        spent = f"{sketching:.2f} | {rest:.2f} | {(sketching + rest) / CORES:.3f}"
        needed = f"{size(moved * rows)} | {size(largest)}"
        lines.append(f"| {rows:.0e} | {size(rows * ROW)} | {spent} | {needed} |")
    lines += [
        "",
        "Four steps are one task for the whole run, the first over small columns of all rows, the others "
        "over rows of pairs; their memory grows by "
        + ", ".join(f"{n} {h:.0f} bytes a row" for n, h in held.items())
        + ". They set the ceiling of this form, for they run on one core (together "
        f"{sum(steps[n]['us_a_row'] for n in WHOLE) * 1e9 / 6e7:.0f} minutes at 1e9 rows) and in one node's "
        "memory. "
        f"All others held {bounded:.0f} MiB at most here and grow no further than their share: blocking 41 "
        "bytes a row of 8 million rows, verification 64 MiB of text.",
        "",
        "Beside what others have published, on their own data and machines, reading and writing of text "
        "included:",
        "",
        "| tool | text | time | in all |",
        "|---|---|---|---|",
        PUBLISHED,
    ]
    for amount in (8e12, 1e12):
        sketching, rest = core_hours(amount / ROW, measured, steps)
        minutes = (sketching + rest) / 640 * 60
        time = f"{minutes:.1f} min on 640 cores if all steps spread | {sketching + rest:.0f} core-hours"
        lines.append(f"| headrace (by this model, not run) | {size(amount)} | {time} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    (HERE / "COST.md").write_text(text(), encoding="utf-8")
