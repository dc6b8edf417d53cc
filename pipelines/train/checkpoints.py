"""Checkpoints of a training, so that a killed one goes on where it was.

::

    trainings/<key>/step-000120/adapter_config.json  adapter_model.safetensors   what peft loads
                                optimizer.safetensors                            moments of AdamW
                                checkpoint.json                                  written last
    trainings/<key>/best/       the best adapter so far, the same without optimizer
    trainings/<key>/used/       which packed rows each step has used (see `used`)
    trainings/<key>/starts/     a file a start: the step it went on from, and its ranks
    trainings/<key>/history.json

Every training has a home of its own, by its key (see `trainings`): another one takes nothing away.
`checkpoint.json` is the commit marker: it holds the key of the training, the step, the history up to
it, and size and hash of the other files. A directory without it, or of other sizes, is no checkpoint.
Nothing is pickled. No state of a random generator is kept: the order of rows and the dropout of a
step are functions of (seed, step), and so is the learning rate.

Cost: two moments and the adapter, in float32: 12 bytes a trained weight.
"""

from typing import Any

import torch
import xxhash
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors

from headrace.cluster import ledger, storage
from headrace.cluster.errors import Fault, FullDiskError
from headrace.cluster.stores import disk
from headrace.pipelines import trainings

BEST = "best"
MARKER = "checkpoint.json"
OPTIMIZER = "optimizer.safetensors"
STARTS = "starts"
# Lists of a history, of every step and of every validation.
HISTORY = (
    "loss",
    "grad_norm",
    "learning_rate",
    "tokens",
    "seconds",
    "rows",
    "validation",
    "validation_steps",
)

STOPPED = "stopped.json"  # why a training was stopped by what it showed, until it goes on

Record = dict[str, Any]


def history() -> Record:
    """What a training has to tell before its first step."""
    empty: Record = {name: [] for name in (*HISTORY, "general", "metric", "skipped", "warnings")}
    return {
        **empty,
        "base": {"validation": None, "general": None, "metric": None, "guessed": None},
        "best": None,
        "smoke": None,
    }


def found(run: str) -> list[str]:
    """Checkpoints of all trainings of a run, each as its directory below `trainings/`."""
    entries = storage.listing(storage.join(run, trainings.FOLDER))
    below = [e.path.rpartition(f"/{trainings.FOLDER}/")[2] for e in entries if e.path.endswith(f"/{MARKER}")]
    return sorted(place.removesuffix(f"/{MARKER}") for place in below)


def note_start(home: str, step: int, ranks: int) -> None:
    """Leave a note of a start that goes on from `step`. Raises: StorageError."""
    number = len(storage.listing(storage.join(home, STARTS)))
    storage.put(
        storage.join(home, STARTS, f"{number:06d}.json"), ledger.dumps({"step": step, "ranks": ranks})
    )


def starts(home: str) -> list[Record]:
    """Each start of a training: the step that it went on from, and its ranks."""
    found = (storage.read_object(entry.path) for entry in storage.listing(storage.join(home, STARTS)))
    return [start for start in found if start is not None]


def require_room(home: str, weights: int, keep: int) -> None:
    """Hold the disk against what a training will write, before its first step.

    weights: bytes of what is trained; AdamW's moments take twice as much beside them. A new checkpoint is
    written before the oldest goes; the best adapter, the one of the training and its copy come to them.

    Raises: FullDiskError. Object storage is not asked.
    """
    free = disk.free(home)
    if free is None:
        return
    checkpoint = 3 * weights
    there = sum(entry.size for entry in storage.listing(home))
    needed = (keep + 1) * checkpoint + 3 * weights - there
    if free < needed:
        raise FullDiskError(
            f"{home}: {disk.in_words(free)} are free and this training will write about "
            f"{disk.in_words(needed)} ({keep + 1} checkpoints of {disk.in_words(checkpoint)}, and the "
            "adapter): free some space (`headrace clean RUN` removes superseded trainings), or lower "
            "train.keep_checkpoints"
        )


def name(step: int) -> str:
    """Directory of the checkpoint after `step` steps."""
    return f"step-{step:06d}"


def write(home: str, folder: str, record: Record, files: dict[str, bytes]) -> None:
    """Write `files` and then the marker with `record` (key, step, ...) into `folder` of a training's home."""
    written = {}
    for file, data in sorted(files.items()):
        storage.put(storage.join(home, folder, file), data)
        written[file] = {"size": len(data), "xxh3": xxhash.xxh3_64_hexdigest(data)}
    storage.put(storage.join(home, folder, MARKER), ledger.dumps({**record, "files": written}))


def read(home: str, folder: str) -> Record | None:
    """The marker of `folder`; None where there is none that is whole."""
    record = storage.read_object(storage.join(home, folder, MARKER))
    if record is None or not _is_marker(record):
        return None
    sizes = {e.path.rsplit("/", 1)[-1]: e.size for e in storage.listing(storage.join(home, folder))}
    whole = all(sizes.get(file) == about["size"] for file, about in record["files"].items())
    return record if whole else None


def _is_marker(record: Record) -> bool:
    """Whether what was read has the shape of a marker: JSON of anything else may stand where one was."""
    if not isinstance(record.get("key"), str):
        return False
    step, files, history = record.get("step"), record.get("files"), record.get("history")
    if not isinstance(step, int) or not isinstance(files, dict) or not files:
        return False
    described = all(isinstance(about, dict) and {"size", "xxh3"} <= about.keys() for about in files.values())
    if "history" not in record:  # of `best`
        return described and "validation_loss" in record
    if not isinstance(history, dict) or not all(isinstance(history.get(name), list) for name in HISTORY):
        return False
    return described and len(history["loss"]) == step


def fetch(home: str, folder: str, record: Record, file: str) -> bytes:
    """One file of a checkpoint. Raises: Fault where it is not what the marker says."""
    data = storage.read_bytes(storage.join(home, folder, file))
    if xxhash.xxh3_64_hexdigest(data) != record["files"][file]["xxh3"]:
        raise Fault(
            f"{storage.join(home, folder, file)} was damaged while this training ran; start `headrace train` "
            "again: it goes on from the newest checkpoint that is whole"
        )
    return data


def is_whole(home: str, folder: str, record: Record) -> bool:
    """Whether every file of a checkpoint holds the bytes that its marker says. Raises: StorageError."""
    try:
        for file in record["files"]:
            fetch(home, folder, record, file)
    except (Fault, FileNotFoundError):
        return False
    return True


def steps(home: str) -> list[int]:
    """Steps that have a directory, oldest first, whole or not."""
    folders = {e.path.rsplit("/", 2)[-2] for e in storage.listing(home)}
    numbers = [f.removeprefix("step-") for f in folders if f.startswith("step-")]
    return sorted(int(n) for n in numbers if n.isdecimal() and name(int(n)) == f"step-{n}")


def resumed(home: str, key: str, last: int) -> int:
    """The step that the training `key` goes on from, 0 for its start; checkpoints after it are removed.

    It is the newest checkpoint whose every byte is there. Where `best/` is not, and cannot come any more
    because the step that it is of is done, it is the newest one before that step: the steps between are
    trained again, and leave it again. `last`: the last step of the training, which is its best where there
    is no validation.

    Raises: StorageError.
    """
    before: int | None = None  # `best/` has to be made again: by steps from before this one
    chosen = 0
    best = read(home, BEST)
    if best is not None and (best["key"] != key or not is_whole(home, BEST, best)):
        best = None
    for step in reversed(steps(home)):
        record = read(home, name(step))
        if record is None or record["key"] != key or not is_whole(home, name(step), record):
            continue
        if before is None:
            needed = _best_step(record, last)
            if not needed or (best is not None and (best["step"] == needed or best["step"] > step)):
                chosen = step
                break
            before = needed
        if step < before:
            chosen = step
            break
    for step in steps(home):
        if step > chosen:
            _remove(home, step)
    return chosen


def _best_step(record: Record, last: int) -> int:
    """The step of the best adapter up to a checkpoint; 0 where there is none yet."""
    best = record["history"].get("best")
    if best:
        return int(best["step"])
    return last if record["step"] == last else 0


def newest(home: str, key: str) -> Record | None:
    """Marker of the newest whole checkpoint of the training `key`."""
    for step in reversed(steps(home)):
        record = read(home, name(step))
        if record is not None and record["key"] == key:
            return record
    return None


def prune(home: str, keep: int) -> None:
    """Remove all but the newest `keep` checkpoints, markers first."""
    for step in steps(home)[:-keep]:
        _remove(home, step)


def _remove(home: str, step: int) -> None:
    storage.delete(storage.join(home, name(step), MARKER))
    storage.delete(storage.join(home, name(step)))


def optimizer_file(optimizer: torch.optim.Optimizer, names: list[str]) -> bytes:
    """AdamW's state of each of its parameters, by the parameter's name, as a safetensors file."""
    held = {}
    for parameter, named in zip(optimizer.param_groups[0]["params"], names, strict=True):
        for kind, value in optimizer.state[parameter].items():
            held[f"{named}/{kind}"] = value.detach().to("cpu").contiguous()
    return save_tensors(held)


def load_optimizer(optimizer: torch.optim.Optimizer, names: list[str], data: bytes) -> None:
    """Set AdamW's state from what `optimizer_file` gave."""
    held = load_tensors(data)
    for parameter, named in zip(optimizer.param_groups[0]["params"], names, strict=True):
        kinds = {k.rsplit("/", 1)[1]: v for k, v in held.items() if k.rsplit("/", 1)[0] == named}
        optimizer.state[parameter] = {k: v.to(parameter.device) for k, v in kinds.items()}
