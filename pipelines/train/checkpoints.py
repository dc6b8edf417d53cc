"""Checkpoints of an adapter's training, so that a killed training goes on where it was.

::

    checkpoints/<key>/step-000120/adapter_config.json  adapter_model.safetensors   what peft loads
                                  optimizer.safetensors                            moments of AdamW
                                  checkpoint.json                                  written last
    checkpoints/<key>/best/       the adapter of least validation loss so far, the same without optimizer
    checkpoints/<key>/history.json

Every training has a home of its own, by its key: another one takes nothing away.
`checkpoint.json` is the commit marker: it holds the key of the training, the step, the history up to
it, and size and hash of the other files. A directory without it, or of other sizes, is no checkpoint.
Nothing is pickled. No state of a random generator is kept: the order of rows and the dropout of a
step are functions of (seed, step), and so is the learning rate.

Cost: two moments and the adapter, in float32: 12 bytes a trained weight.
"""

import json
from typing import Any

import torch
import xxhash
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors

from headrace.cluster import ledger, storage
from headrace.cluster.errors import Fault

FOLDER = "checkpoints"
BEST = "best"
MARKER = "checkpoint.json"
OPTIMIZER = "optimizer.safetensors"

Record = dict[str, Any]


def home(run: str, key: str) -> str:
    """Where the training `key` of a run leaves its checkpoints."""
    return storage.join(run, FOLDER, key)


def found(run: str) -> list[str]:
    """Checkpoints of all trainings of a run, each as its directory below `checkpoints/`."""
    entries = storage.listing(storage.join(run, FOLDER))
    below = [e.path.rpartition(f"/{FOLDER}/")[2] for e in entries if e.path.endswith(f"/{MARKER}")]
    return sorted(place.removesuffix(f"/{MARKER}") for place in below)


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
    try:
        record = json.loads(storage.read_bytes(storage.join(home, folder, MARKER)))
    except (FileNotFoundError, ValueError):
        return None
    sizes = {e.path.rsplit("/", 1)[-1]: e.size for e in storage.listing(storage.join(home, folder))}
    whole = all(sizes.get(file) == about["size"] for file, about in record["files"].items())
    return dict(record) if whole else None


def fetch(home: str, folder: str, record: Record, file: str) -> bytes:
    """One file of a checkpoint. Raises: Fault where it is not what the marker says."""
    data = storage.read_bytes(storage.join(home, folder, file))
    if xxhash.xxh3_64_hexdigest(data) != record["files"][file]["xxh3"]:
        raise Fault(f"{storage.join(home, folder, file)} is damaged; remove that directory and start again")
    return data


def steps(home: str) -> list[int]:
    """Steps that have a directory, oldest first, whole or not."""
    folders = {e.path.rsplit("/", 2)[-2] for e in storage.listing(home)}
    return sorted(int(f.removeprefix("step-")) for f in folders if f.startswith("step-"))


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
        # The count of steps stays on the CPU, as AdamW itself keeps it.
        optimizer.state[parameter] = {
            k: v if k == "step" else v.to(parameter.device) for k, v in kinds.items()
        }
