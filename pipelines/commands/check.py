"""What can be known to be wrong before any work: sources, credentials, model, tokenizer, disk."""

import uuid
from collections.abc import Sequence

from headrace.cluster import storage
from headrace.cluster.errors import StorageError
from headrace.cluster.stores import disk
from headrace.pipelines import model_files, rundir
from headrace.pipelines.commands import check_template, init_text
from headrace.pipelines.console import Mode, say
from headrace.pipelines.evaluate.judged import endpoint, function
from headrace.pipelines.recipe import Recipe
from headrace.pipelines.stages.dedup import against
from headrace.pipelines.stages.pii import coverage as pii_coverage
from headrace.pipelines.stages.pii import search as pii_search
from headrace.pipelines.stages.read import inputs
from headrace.pipelines.stages.read.files import notes
from headrace.pipelines.stages.read.shapes import Columns
from headrace.pipelines.stages.read.source import Source
from headrace.pipelines.stages.steps import code as steps_code

DONE = "everything that the run leans on is there"
DISK_FACTOR = 1.5  # bytes that a run writes for a byte of input: masked rows, tokens, labels, positions


def check(recipe: Recipe, mode: Mode, *, training: bool, ahead: bool = False) -> Recipe:
    """Look at everything that the run will lean on, and say what was found; returns the resolved recipe.

    training: at the model, too. ahead: of a run, which loads the tokenizer itself before any work.

    Raises: the UserError of the first thing that is wrong.
    """
    recipe.pii.require_key()
    pii_search.require_known(recipe.pii)
    steps_code.require(recipe.steps)
    recipe.clean.loaded()
    rundir.reachable(recipe)
    earlier = rundir.writable(recipe)
    resolved = rundir.resolve(recipe, earlier)
    total = _sources(resolved, mode, ahead)
    against.opened(resolved.dedup.against, recipe.output, resolved.fingerprint.ngram)
    _room(recipe.output, total)
    _writable(recipe.output)
    if resolved.model is not None:
        model_files.tokenizer_directory(resolved.model)
    if not ahead:
        from headrace.pipelines.passes import pack_worker  # as below

        seen = pack_worker.look(resolved)
        say(mode, "tokenizer", seen.text, engine=seen.engine, vocabulary=seen.vocabulary)
        check_template.say_template(resolved, mode)
    _names(resolved, mode)
    if training:
        _training(resolved, mode)
    say(mode, "output", f"output: {recipe.output} ({'goes on' if earlier else 'new'})")
    return resolved


def _sources(resolved: Recipe, mode: Mode, ahead: bool) -> int:
    """Say what each source holds; returns the bytes of all."""
    total = 0
    for source in resolved.sources:
        found = inputs.found(source)
        size = sum(f.size for f in found.files)
        total += size
        linked = f" ({found.linked} through links)" if found.linked else ""
        text = f"source {source.name}: {len(found.files)} files{linked}, {size:,} bytes"
        said = {"files": len(found.files), "linked": found.linked, "bytes": size, "dates": source.dates}
        order = f", dates {source.dates}" if resolved.clean.by_source and source.dates else ""
        say(mode, "source", f"{text}, {source.format}, {_shape(source)}{order}", source=source.name, **said)
        for note in [*found.notes, *notes.of(source, found.files, members=not ahead)]:
            say(mode, "warning", note, source=source.name)
    return total


def _training(resolved: Recipe, mode: Mode) -> None:
    """Look at what training and evaluation lean on, and say what was found."""
    endpoint.require(resolved.evaluate.judge)
    function.texts(resolved.evaluate.functions)
    if resolved.trackers.chosen:
        from headrace.pipelines.train.trackers import follow

        follow.require(resolved.trackers)
        say(mode, "trackers", f"trackers: {', '.join(resolved.trackers.chosen)}")
    if resolved.model is None:
        return
    from headrace.pipelines.commands import check_memory  # torch takes seconds to import
    from headrace.pipelines.evaluate.arms import wanted
    from headrace.pipelines.evaluate.gates import probing
    from headrace.pipelines.train import driver as train

    foreseen = train.check(resolved.train, resolved.model)
    if any(source.shape == "preference" for source in resolved.sources):
        from headrace.pipelines.train import preference

        preference.check(resolved.train)
    wanted.check(resolved.evaluate, resolved.model)
    probing.check(resolved.gates)
    say(mode, "model", f"model: {resolved.model}")
    for text in foreseen.lines:
        say(mode, "model", text, **foreseen.ways[0]._asdict())
    check_memory.say_memory(resolved, foreseen.ways[0].attention, mode)


def sample(recipe: Recipe, mode: Mode, stages: Sequence[str], count: int) -> str:
    """Say what a run would make of the first `count` records of every file; returns what is to be said last.

    Raises: as `check_sample.lines`.
    """
    if not count:
        return DONE
    from headrace.pipelines.commands import check_sample  # stages and tokenizer take seconds to import

    told = []
    for line in check_sample.lines(recipe, stages, count):
        say(mode, "sample", line.text, **line.fields)
        told.append(line)
    seen, lost = check_sample.lost(told)
    return f"{DONE}; of {seen:,} records looked at {lost:,} would be lost" if lost else DONE


def _shape(source: Source) -> str:
    """The shape of a resolved source, with the columns that have other names than usual."""
    given = source.columns.model_dump(mode="json", exclude_none=True)
    usual = source.model_copy(update={"columns": Columns()}).completed().model_dump(mode="json")
    other = [
        f"{k}: {init_text.flow(v)}"
        for k, v in given.items()
        if v != usual[k] and k not in ("roles", "speakers")
    ]
    inner = [f"records: {source.records}"] if source.records else []
    return f"{source.shape}" + (f" ({', '.join([*inner, *other])})" if inner or other else "")


def _names(recipe: Recipe, mode: Mode) -> None:
    """Load the model of names, where there is one. Raises: ModelError."""
    covered = pii_coverage.coverage(recipe.pii)
    text = pii_coverage.sentence(covered)
    if recipe.pii.has_model:
        from headrace.pipelines.stages.pii.ner import search as ner_search  # what it imports takes seconds

        left = ner_search.unused(recipe.pii.ner)
        if left:
            text += f"; its labels {', '.join(left)} stand for no entity (pii.ner.labels)"
    say(mode, "coverage", text, **covered)


def _room(output: str, total: int) -> None:
    """Raises: StorageError where the disk below a local output cannot hold what will be written."""
    free = disk.free(output)
    if free is not None and free < total * DISK_FACTOR:
        raise StorageError(
            f"output {output!r}: {free:,} bytes are free and about {int(total * DISK_FACTOR):,} are needed; "
            "free some space or name another directory"
        )


def _writable(output: str) -> None:
    """Write and remove one small object. Raises: StorageError."""
    path = storage.join(output, f"{storage.TEMPORARY}check-{uuid.uuid4().hex}")
    storage.put(path, b"headrace")
    storage.delete(path)
