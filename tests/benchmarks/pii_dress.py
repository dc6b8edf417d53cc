"""What becomes of values in other dress: every kind in every dress is masked, rung or missed.

Masked: all its letters and digits are in findings that are replaced; rung: not so, but the gate's own look
sees it; missed: neither. The values and dresses are those of `tests/pipelines/dresses.py`.

    python tests/benchmarks/pii_dress.py [--out FILE]

writes a CSV with a line a value and dress: kind, dress, what becomes of it, what the gate sees of it (rung or
nothing), date, commit, processor and load. Half a minute.
"""

import argparse
import csv
import sys
from collections import Counter
from pathlib import Path

from bench_stages import HERE, place

sys.path.insert(0, str(HERE.parents[1]))

from headrace.pipelines.stages.pii import stage as pii
from tests.pipelines.dresses import Case, cases

try:
    from headrace.pipelines.stages.pii.second_look import proven
except ImportError:  # a version of before
    proven = None  # type: ignore[assignment]

HEADER = ["kind", "dress", "outcome", "gate", "date", "commit", "cpu", "load"]
THRESHOLD = 0.4


def outcomes(chosen: list[Case]) -> list[tuple[str, str]]:
    """(masked, rung or missed; rung or nothing) of each case."""
    covered: list[set[int]] = [set() for _ in chosen]
    for one in pii.find([case.text for case in chosen]).to_pylist():
        if one["score"] >= THRESHOLD and one["entity"] not in ("URL", "DATE_TIME"):
            covered[one["row"]].update(range(one["start"], one["end"]))
    made = []
    for case, marks in zip(chosen, covered, strict=True):
        letters = {at for at in range(case.start, case.end) if case.text[at].isalnum()}
        rung = proven and any(one.entity == case.entity for one in proven(case.text))
        made.append(("masked" if letters <= marks else "rung" if rung else "missed", "rung" if rung else ""))
    return made


def main() -> None:
    """Look, print, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=HERE / "pii_dress.csv")
    chosen = list(cases())
    count: Counter[str] = Counter()
    where = place()
    with parser.parse_args().out.open("w", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(HEADER)
        for case, (outcome, gate) in zip(chosen, outcomes(chosen), strict=True):
            count[outcome] += 1
            count[f"gate: {gate or 'nothing'}"] += 1
            writer.writerow([case.kind, case.dress, outcome, gate, *where])
    print(dict(count))


if __name__ == "__main__":
    main()
