"""The tasks of lm-evaluation-harness that a recipe names: loaded, refused where that cannot be, and hashed.

What: names are looked for among the task files of `gates.harness.include` first, and only then among those
that the package brings along (which takes it seconds to read). Nothing is fetched from anywhere unless the
recipe says so, no code of a data set is run, and tasks that run what a model says are refused.

Source: https://github.com/EleutherAI/lm-evaluation-harness, an extra: ``pip install 'headrace[harness]'``.
Cost: that of reading the tasks' data sets.
"""

import contextlib
import io
import json
import logging
import os
from collections.abc import Iterator, Mapping
from importlib import metadata
from importlib.util import find_spec
from typing import Any

import xxhash

from headrace.cluster import ledger
from headrace.cluster.errors import RecipeError, UserError
from headrace.pipelines.evaluate.gates.config import Harness

PACKAGE = "lm_eval"
KEY = "gates.harness.tasks"
# Of a task's configuration: the path of its file, which is another on each machine.
OF_PLACE = ("metadata", "config_source")

Found = Mapping[str, Any]  # what its `TaskManager.load` gives: tasks and groups by name


def require() -> None:
    """Raises: UserError where the harness is not installed."""
    if find_spec(PACKAGE) is None:
        raise UserError(
            "gates.harness asks tasks of lm-evaluation-harness, which is not installed: pip install "
            "'headrace[harness]' (or lm_eval>=0.4.13), or leave gates.harness out"
        )


def load(config: Harness) -> Found:
    """The tasks that a recipe names. Raises: RecipeError of one that cannot be loaded, UserError."""
    require()
    if config.include is not None and not os.path.isdir(config.include):
        raise RecipeError(f"gates.harness.include: {config.include!r} is no directory of this machine")
    with quiet(), _local(config):
        from lm_eval.tasks import TaskManager

        manager = TaskManager(include_path=config.include, include_defaults=False)
        if not {*config.tasks} <= {*manager.all_tasks}:
            manager = TaskManager(include_path=config.include)
        for name in config.tasks:
            if name not in manager.all_tasks:
                where = f" nor {config.include}" if config.include else ""
                raise RecipeError(
                    f"{KEY}: neither lm-evaluation-harness{where} has a task {name!r} (a file that is no "
                    "YAML is passed over)"
                )
        loaded: Found = manager.load(list(config.tasks))
    for name, task in loaded["tasks"].items():
        if getattr(task, "UNSAFE_CODE", False):
            raise RecipeError(
                f"{KEY}: {name!r} runs what the model says, which is not done here: leave it out"
            )
    return loaded


def digest(config: Harness | None) -> str:
    """A digest of what is asked and how it is judged; "" where no task is. Raises: as `load`."""
    if config is None:
        return ""
    tasks = load(config)["tasks"]
    about = [[name, _about(task), _documents(task, config.limit)] for name, task in sorted(tasks.items())]
    settings = config.model_dump(mode="json", exclude={"include", "fetch"})
    return ledger.key(metadata.version(PACKAGE), settings, about)


def _about(task: Any) -> str:
    """A task's own settings, without where its file lies."""
    settings = dict(task.dump_config())
    settings[OF_PLACE[0]] = {k: v for k, v in (settings.get(OF_PLACE[0]) or {}).items() if k != OF_PLACE[1]}
    settings.pop("dataset_kwargs", None)  # paths: the documents are hashed
    return json.dumps(settings, sort_keys=True, default=str)


def _documents(task: Any, limit: int) -> str:
    """A digest of the documents that are asked."""
    whole = xxhash.xxh3_128()
    for _, document in task.doc_iterator(rank=0, limit=limit, world_size=1):
        whole.update(json.dumps(document, sort_keys=True, default=str).encode())
    return whole.hexdigest()


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Without the bars and the log of the harness, which tell documents."""
    logger = logging.getLogger(PACKAGE)
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logger.setLevel(before)


@contextlib.contextmanager
def _local(config: Harness) -> Iterator[None]:
    """Within it data sets are read from this machine alone, unless the recipe lets them be fetched.

    Raises: RecipeError of a task whose data set cannot be read.
    """
    import datasets
    from huggingface_hub import constants

    own = datasets.load_dataset
    switches: tuple[Any, ...] = (datasets.config, constants)
    before = [one.HF_HUB_OFFLINE for one in switches]

    def read(path: str, *given: Any, **more: Any) -> Any:
        if not config.fetch and "://" in json.dumps([path, more], default=str):
            raise RecipeError(f"{KEY}: {_unread(path)} lies at a URL, and {_fetched()}")
        more.pop("trust_remote_code", None)  # which a task may ask for, and older versions of datasets grant
        try:
            return own(path, *given, **more)
        except ConnectionError as error:
            raise RecipeError(f"{KEY}: {_unread(path)} is not on this machine, and {_fetched()}") from error
        except Exception as error:
            why = type(error).__name__  # of a file that is no JSON the message holds a part
            raise RecipeError(f"{KEY}: {_unread(path)} cannot be read ({why})") from error

    if not config.fetch:
        for one in switches:
            one.HF_HUB_OFFLINE = True
    datasets.load_dataset = read
    try:
        yield
    finally:
        datasets.load_dataset = own
        for one, value in zip(switches, before, strict=True):
            one.HF_HUB_OFFLINE = value


def _unread(path: str) -> str:
    return f"a data set that these tasks ask of ({path!r})"


def _fetched() -> str:
    return (
        "nothing is fetched: set gates.harness.fetch: true to fetch it, or put it into a file of this machine"
    )
