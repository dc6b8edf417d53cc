"""The flow: which stages a row goes through, which passes a run is made of, in order.

The passes are imported where they are run: Ray Data and the stages' code take seconds, which whoever asks
only for the order of the stages need not pay.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any, Literal

from headrace.cluster import here, storage
from headrace.cluster.errors import (
    DamagedError,
    GateError,
    QuarantineError,
    SourceError,
)
from headrace.pipelines import ending, rundir, starting
from headrace.pipelines.console import Mode, say
from headrace.pipelines.examine.advice import verdict
from headrace.pipelines.recipe import Recipe
from headrace.pipelines.tuning import evaluating, ready, sweeping, training

# All stages, in the order in which a row meets them: what report, `explain` and tests call stages.
FIRST = ("clean", "steps", "quality", "traits", "pii", "fingerprint")
STAGES = ("read", *FIRST, "dedup", "examine", "split", "tokenise", "pack", "gate")
# Pass 1, after reading: every part of every fragment goes through these modules.
ROW_STAGES = tuple(f"headrace.pipelines.stages.{name}.stage" for name in FIRST)
# Pass 2 (`passes.dedup`): exact, near, clusters, sides, over the whole run; then, where asked for,
# repeated passages. Then what looks at the whole set (`passes.examine`), a check at a time.
# Pass 3 (`pack_worker.work`), every window: dedup marks, passages cut, split, tokenise, pack.
# Then the gate (`gate.worker.work`) looks through what every window wrote.

# Passes that write outputs, by their names in the ledger.
OUTPUTS = ("prepare", "dedup", "passages", "examine", "mix", "pack")


def prepare(recipe: Recipe, mode: Mode) -> dict[str, Any]:
    """Passes 1 to 3: raw shards to packed/, with a report; returns run.json.

    Raises: GateError where PII is found in packed/ and the recipe says so, QuarantineError where more
    records of a source cannot be used than it allows, SourceError where nothing is left (run.json and the
    report are written first).
    """
    rundir.writable(recipe)  # another's directory is left as it is
    with ending.recorded("prepare", STAGES, recipe.output, mode):
        return _prepared(_opened(recipe, mode), mode)


def _opened(recipe: Recipe, mode: Mode) -> rundir.Run:
    """Make the run directory ours and start Ray. Raises: what `rundir.claim` raises."""
    from headrace.pipelines.stages.pii import search as pii_search
    from headrace.pipelines.stages.steps import code as steps_code

    recipe.pii.require_key()
    pii_search.require_known(recipe.pii)
    steps_code.require(recipe.steps)
    recipe.clean.loaded()
    run = rundir.claim(recipe)
    for path in run.remade:
        say(
            mode,
            "warning",
            f"{run.path}/{path} was gone or damaged and is written anew: the sources were looked at again",
        )
    starting.start(run.recipe, mode)
    return run


def _prepared(run: rundir.Run, mode: Mode) -> dict[str, Any]:
    """The passes, until none of their outputs is found to be damaged; returns run.json."""
    from headrace.pipelines.passes import outputs, units
    from headrace.pipelines.passes import pack as pack_pass

    pack_pass.look(run, mode)
    while True:  # `discard` raises of what this start has written itself
        try:
            return _passes(run, mode)
        except DamagedError as error:
            outputs.discard(run, error, OUTPUTS, units.workers(run), mode)
        except (GateError, QuarantineError):  # `_stopping` has written what is known
            raise
        except BaseException:
            with suppress(Exception):
                _note_books(run)
            raise


def _note_books(run: rundir.Run, rows: Sequence[Any] | None = None) -> None:
    """Write the books of what pass 1 has committed, where run.json tells of no run that came to its end.

    rows: its commit records; left out: those that the ledger holds.
    """
    from headrace.cluster import ledger
    from headrace.pipelines.passes import parts, summary

    if "digest" in summary.read(run.path):
        return
    rows = list(ledger.load(run.path, parts.PREPARE).values()) if rows is None else rows
    if rows:
        summary.write(run.path, summary.begun(run, rows, None, ()))


def _passes(run: rundir.Run, mode: Mode) -> dict[str, Any]:
    """Passes 1 to 3 and the gate. Raises: DamagedError of an output that has to be made again."""
    from headrace.cluster import stream
    from headrace.pipelines.passes import dedup as dedup_pass
    from headrace.pipelines.passes import digest, outputs, proof, summary, units
    from headrace.pipelines.passes import examine as examine_pass
    from headrace.pipelines.passes import mix as mix_pass
    from headrace.pipelines.passes import pack as pack_pass
    from headrace.pipelines.passes import prepare as prepare_pass
    from headrace.pipelines.passes.gate import driver as gate_pass

    rows = prepare_pass.prepare(run, ROW_STAGES, mode)
    _note_books(run, rows)  # a run that is killed later has these
    with _stopping(run, rows):
        prepare_pass.judge_quarantine(run, rows)
    duplicates = dedup_pass.deduplicate(run, rows, mode)
    with _stopping(run, rows, duplicates):
        dedup_pass.alarm(run, duplicates, mode)
    shared = dedup_pass.find_passages(run, rows, duplicates, mode)
    examined = examine_pass.examine(run, rows, duplicates, mode)
    tokens = pack_pass.settle(run, rows)
    with _stopping(run, rows, duplicates):
        examine_pass.judge(examined, mode)
    gone = examine_pass.dropping(examined)
    planned = pack_pass.plan(run, rows, duplicates, shared, gone, tokens)
    drawn = mix_pass.settle(run, planned, mode)
    below = {name: pool["below"] for name, pool in drawn.items()}
    windows = pack_pass.pack(run, rows, planned, mode, below)
    with _stopping(run, rows, duplicates, windows):
        prepare_pass.judge_quarantine(run, rows, windows)
    proven = proof.prove(run, rows, duplicates, windows, mode)
    scanned = gate_pass.scan(run, rows, shared, windows, tokens, mode)
    seen = gate_pass.summary(scanned)
    gate_pass.audit(run, rows, seen)
    sums = {o["path"]: o["xxh3"] for w in windows for o in w["outputs"] if "split" in o}
    packed = digest.digest(run.path, partial(stream.each, workers=units.workers(run)), sums)
    sections = summary.prepare(run, rows, duplicates, shared, examined, windows, [proven, *scanned], packed)
    rated = summary.spot_check(run.path, packed)
    splits = {**proven["counts"], **summary.sides(windows)}
    sections["examine"] = {**examine_pass.reports(examined), "splits": splits}
    sections["examine"] |= {"spot_check": rated} if rated else {}
    sections["mix"] = drawn or None
    sections["remade"] = outputs.remade(run)
    sections["gates"] = {**summary.gates(run.path), **summary.passed(run.recipe)}
    sections["advice"] = _advice(run, sections)
    run_json = summary.write(run.path, sections)
    summary.say_prepared(run_json, mode)
    gate_pass.judge(run, seen, mode)
    if not run_json["rows"]["kept"]:
        raise SourceError(summary.nothing_kept(run_json["rows"], run.path)).at("kept")
    return run_json


def _advice(run: rundir.Run, sections: dict[str, Any]) -> dict[str, Any]:
    """What run.json says the run is fit for."""
    from headrace.pipelines.commands.advise import gather

    # Not its path: run.json says the same wherever the run lies.
    found = here.once(partial(gather.told, run.path, {**sections, "train": None}, "RUN"), name="advice")
    return verdict.as_json(verdict.advise(found, run.recipe.advise), found)


@contextmanager
def _stopping(
    run: rundir.Run, rows: Sequence[Any], duplicates: Any = None, windows: Sequence[Any] = ()
) -> Iterator[None]:
    """Write the books so far where a gate ends the run: what run.json said of later passes is true no
    more.
    """
    from headrace.pipelines.passes import summary
    from headrace.pipelines.passes.gate import audit as pii_audit

    try:
        yield
    except (GateError, QuarantineError):
        summary.write(run.path, summary.begun(run, rows, duplicates, windows), without=summary.LATER)
        storage.delete(storage.join(run.path, pii_audit.FILE))
        raise


def train(recipe: Recipe, mode: Mode) -> dict[str, Any]:
    """packed/ to adapter/, with a report; returns run.json."""
    with ending.recorded("train", STAGES, recipe.output, mode):
        return training.train(recipe, mode)


def tried(recipe: Recipe, mode: Mode, what: Literal["probe", "learning_curve"]) -> dict[str, Any]:
    """What a short training, or trainings on shares of the rows, tell of them; returns run.json.

    `adapter/` stays as it is.
    """
    with ending.recorded("train", STAGES, recipe.output, mode):
        return training.tried(recipe, mode, what)


def evaluate(recipe: Recipe, mode: Mode, *, baseline: bool = False) -> dict[str, Any]:
    """Base beside tuned on the held-out split, with a report; returns run.json.

    baseline: all but the tuned model, before any training; so too where there is no adapter yet.

    Raises: GateError where the recipe asks for a gain that is not there (run.json is written first).
    """
    with ending.recorded("evaluate", STAGES, recipe.output, mode):
        return evaluating.evaluate(recipe, mode, baseline=baseline)


def sweep(recipe: Recipe, mode: Mode) -> dict[str, Any]:
    """Trainings in search of better settings, with a recipe of the best; returns run.json.

    Raises: SourceError where no rows are held out for validation.
    """
    with ending.recorded("sweep", STAGES, recipe.output, mode):
        return sweeping.sweep(recipe, mode)


def run(recipe: Recipe, mode: Mode) -> dict[str, Any]:
    """The whole way: prepare, train and evaluate where there is a model, report."""
    from headrace.pipelines.passes import summary

    rundir.writable(recipe)
    held = ending.GATES if recipe.model is not None else ("prepare",)
    with ending.recorded("run", STAGES, recipe.output, mode, parts=tuple(held)):
        if recipe.model is not None:  # what would fail in hours fails now
            ready.model(recipe)
            evaluating.require(recipe)
        _prepared(_opened(recipe, mode), mode)
        if recipe.model is None:
            say(mode, "warning", "no model in the recipe: prepared and reported, nothing was trained")
        else:
            evaluating.learn(recipe, mode)
    return summary.read(recipe.output)


def report(recipe: Recipe, mode: Mode) -> str:
    """Build the report from what the run has written so far; returns the path of its page.

    Raises: OutputError where it has written nothing yet.
    """
    from headrace.pipelines.passes import summary

    if not storage.exists(storage.join(recipe.output, "run.json")):
        summary.require_prepared(recipe.output)
    return ending.report(recipe.output, STAGES, mode)
