"""What Soup says of the same adapters.

    python -m tests.benchmarks.gauntlet.models.peers --soup PYTHON [--base FOLDER] [--only PLANT] [--out FILE]

Soup (https://github.com/MakazhanAlpamys/Soup, Apache-2.0) runs in a process of its own: `run_live_diagnose`,
the function behind `soup diagnose`, on base and adapter, with the training rows as its data set and skills of
the base as its holdout. Its probe of refusals asks in English, which these models do not speak. An alarm is
a verdict of MINOR or MAJOR. Adapters alone: it loads no whole model beside a base.

Writes a CSV: plant, seed, must, headrace, soup.
"""

import argparse
import csv
import json
import random
import shutil
import subprocess
import tempfile
from pathlib import Path

from tests.benchmarks.gauntlet.models import plants, trial, world
from tests.benchmarks.gauntlet.models.world import Row

HERE = Path(__file__).resolve().parent
SOUP = """
import json, sys
from soup_cli.utils.diagnose.live import run_live_diagnose
given = json.load(sys.stdin)
found = run_live_diagnose(run_id="r", base=given["base"], adapter=given["adapter"], device="cpu",
                          dataset_path="rows.jsonl", holdout_path="holdout.jsonl")
scores = found.scores.values() if hasattr(found.scores, "values") else found.scores
print("FOUND " + json.dumps({s.mode: s.verdict for s in scores}))
"""


def soup(python: str, base: str, run: Path, rows: list[Row], holdout: list[Row]) -> dict[str, str]:
    """Soup's verdict by failure mode."""
    for name, some in (("rows", rows), ("holdout", holdout)):
        turns = [[{"role": "user", "content": a}, {"role": "assistant", "content": b}] for a, b in some]
        lines = (json.dumps({"messages": row}) for row in turns)
        (run / f"{name}.jsonl").write_text("\n".join(lines) + "\n")
    given = json.dumps({"base": base, "adapter": str(run / "adapter")})
    done = subprocess.run(
        [python, "-c", SOUP], input=given, cwd=run, capture_output=True, text=True, check=True
    )
    line = next(line for line in done.stdout.splitlines() if line.startswith("FOUND "))
    return dict(json.loads(line.removeprefix("FOUND ")))


def main() -> None:
    """Train each plant once, and ask both."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--soup", required=True, help="the Python of an environment with soup-cli")
    parser.add_argument("--base", type=Path)
    parser.add_argument("--only", default="")
    parser.add_argument("--out", type=Path, default=HERE / "peers.csv")
    given = parser.parse_args()
    lines: list[tuple[str, ...]] = [("plant", "seed", "must", "headrace", "soup")]
    with tempfile.TemporaryDirectory(prefix="gauntlet-") as folder:
        there = world.made(given.base or Path(folder), 1)
        for name, plant in plants.PLANTS.items():
            setting = plant.make(there, random.Random(f"{name}/0"))
            if given.only not in name or setting.train.method == "full":
                continue
            run = Path(tempfile.mkdtemp(prefix="gauntlet-"))
            said = trial.in_run(there, setting, run, 0)
            rang = []
            if (run / "adapter").exists():
                holdout = [skill.row for skill in there.items[:40]]
                told = soup(given.soup, there.base, run, setting.rows, holdout)
                rang = [f"{mode}:{verdict}" for mode, verdict in sorted(told.items()) if verdict != "OK"]
            shutil.rmtree(run)
            parts = (plant.must, sorted(said.rang), rang)
            lines.append((name, "0", *(" ".join(part) for part in parts)))
            print(*lines[-1], sep=", ", flush=True)
    with given.out.open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(lines)


if __name__ == "__main__":
    main()
