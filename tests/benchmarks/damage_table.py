"""The table of damages: each kind of file of a run, deleted, cut, with a flipped bit; what `verify` says,
and the same command.

    python tests/benchmarks/damage_table.py FOLDER             # on disk
    python tests/benchmarks/damage_table.py s3://BUCKET/RUN    # the same on S3, by the usual environment
"""

import os
import sys
import tempfile
from pathlib import Path

from headrace.cluster import storage
from headrace.pipelines.passes import summary
from tests.builders import run_command, save_recipe
from tests.pipelines import damage


def main(output: str) -> int:
    """Print the table; 1 where a digest changed or damage was not seen by either command."""
    folder = Path(tempfile.mkdtemp())
    recipe = save_recipe(folder / "recipe.yaml", damage.recipe(damage.write_inputs(folder / "in"), output))
    code, _, err = run_command(["prepare", recipe])
    assert not code, err
    digest, failed = summary.read(output)["digest"], 0
    print(f"{'kind':20} {'fault':8} {'verify':28} {'prepare':44} digest  then")
    for kind, pattern in damage.KINDS.items():
        for fault, hurt in damage.FAULTS.items():
            path = damage.file_of(output, pattern)
            hurt(storage.join(output, path))
            said = _verify(output)
            code, _, err = run_command(["prepare", recipe])
            told = f"{code} {(err.splitlines() or ['as if nothing was'])[0].replace(output, 'RUN')}"
            if code and kind == "plan":
                storage.delete(storage.join(output, path))
                code, _, err = run_command(["prepare", recipe])
            now = _digest(output)
            left = _verify(output, "--remove")
            if left[0] != "0":
                run_command(["prepare", recipe])
            then = _verify(output)[0]
            same = now == digest and _digest(output) == digest
            failed += not same or then != "0"
            print(
                f"{kind:20} {fault:8} {said:28} {told[:70]:70} {'same' if same else 'OTHER':6} "
                f"{'stands' if left[0] == '0' else 'removed, made again'} {then}",
                flush=True,
            )
    return int(failed > 0)


def _verify(output: str, *flags: str) -> str:
    code, out, _ = run_command(["verify", output, "--json", *flags])
    wrong = sorted(
        {
            line.partition('"check": "')[2].partition('"')[0]
            for line in out.splitlines()
            if '"stands": false' in line
        }
    )
    return f"{code} {', '.join(wrong) or 'all stands'}"


def _digest(output: str) -> str:
    return str(summary.read(output).get("digest"))


if __name__ == "__main__":
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    raise SystemExit(main(sys.argv[1]))
