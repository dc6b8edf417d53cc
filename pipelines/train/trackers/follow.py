"""A training's numbers in TensorBoard, MLflow, Weights & Biases and trackio, under the same names.

What: `train/loss` (nats a target token), `train/learning_rate`, `train/grad_norm`, `train/tokens`,
`train/tokens_per_second` of each step; `validation/loss` where one was made; `final/...` at the end;
`evaluation/<metric>/base` and `/tuned`; warnings as text. The settings of the training are its parameters.
Never a row, and no path but the model's.

Why here: the driver sees each finished step once, whatever happens to the ranks. A tracker that fails is told
by the kind of its error (its words may quote an address with a password), left out from there on, and the
training goes on. The key of the training names the tracker's run, so that a training that goes on does so
there too.

Cost: a library is imported where a recipe names it; it writes in the thread that tells of steps.
"""

import contextlib
import importlib.util
import io
import math
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from headrace.cluster import storage
from headrace.cluster.errors import RecipeError
from headrace.pipelines.train.trackers.config import (
    EXTRA,
    MODULES,
    Config,
    Mlflow,
    TensorBoard,
    Trackio,
    Wandb,
)

FOLDER = "trackers"  # of a run
Tell = Callable[[str, dict[str, Any]], None]
FINAL = ("best_step", "best_validation", "tokens", "tokens_per_second", "steps")  # of a history


class Training(NamedTuple):
    """Which training it is: its run directory, its key, and the settings that are shown."""

    run: str
    key: str
    settings: Mapping[str, Any]

    @property
    def name(self) -> str:
        """Last part of the run directory."""
        return os.path.basename(self.run.rstrip("/")) or "run"

    def place(self, name: str) -> str:
        """A local path for what a tracker writes: in the run where that is local, else beside us."""
        return os.path.join("." if storage.is_remote(self.run) else self.run, FOLDER, name)


class Sink(NamedTuple):
    """An open run of a tracker: what takes numbers of a step, a warning at a step, and the end."""

    numbers: Callable[[dict[str, float], int], None]
    words: Callable[[str, str, int], None]
    end: Callable[[bool], None]


def require(config: Config) -> None:
    """That all trackers of a recipe can be used here.

    Raises: RecipeError that says what to install or set.
    """
    for name in config.chosen:
        if importlib.util.find_spec(MODULES[name]) is None:
            raise RecipeError(f"trackers.{name}: {MODULES[name]} is not installed; {EXTRA}")
    online = config.wandb is not None and config.wandb.mode == "online"
    if online and not os.environ.get("WANDB_API_KEY") and not _logged_in():
        raise RecipeError(
            "trackers.wandb: there is no key: set WANDB_API_KEY, run `wandb login`, or write mode: offline"
        )


def _logged_in() -> bool:
    """Whether `wandb login` has left a key."""
    for path in (os.environ.get("NETRC", ""), os.path.expanduser("~/.netrc"), os.path.expanduser("~/_netrc")):
        with contextlib.suppress(OSError), open(path, encoding="utf-8") as file:
            if "wandb" in file.read():
                return True
    return False


@dataclass
class Following:
    """The trackers of one training, opened at its first step; `training` is asked for then."""

    config: Config
    training: Callable[[], Training]
    tell: Tell
    sinks: dict[str, Sink] = field(default_factory=dict)
    failed: set[str] = field(default_factory=set)

    def step(self, step: Any) -> None:
        """Pass on a finished step: an object with step, loss, learning_rate, ..."""
        self._open(step.step)
        found = numbers(step)
        self._each(lambda sink: sink.numbers(found, step.step))

    def warn(self, code: str, words: str, step: int) -> None:
        """Pass on a warning."""
        self._each(lambda sink: sink.words(f"warning/{code}", words, step))

    def final(self, found: Mapping[str, float], step: int, *, anew: bool = False) -> None:
        """Pass on numbers of the end. anew: although no step was passed on before."""
        if anew:
            self._open(step)
        shown = {name: float(value) for name, value in found.items() if _is_number(value)}
        self._each(lambda sink: sink.numbers(shown, step))

    def close(self, *, well: bool) -> None:
        """End the runs of all trackers."""
        self._each(lambda sink: sink.end(well))
        self.sinks.clear()

    def _open(self, first: int) -> None:
        for name, section in self.config.chosen.items():
            if name not in self.sinks and name not in self.failed:
                with self._guarded(name):
                    self.sinks[name] = OPENERS[name](section, self.training(), first)

    def _each(self, call: Callable[[Sink], None]) -> None:
        for name, sink in list(self.sinks.items()):
            with self._guarded(name):
                call(sink)

    @contextlib.contextmanager
    def _guarded(self, name: str) -> Iterator[None]:
        """Nothing that a tracker does ends a training, or is printed among our lines."""
        try:
            with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
                yield
        except Exception as error:  # noqa: BLE001 - whatever a library or a network raises
            self.failed.add(name)
            self.sinks.pop(name, None)
            text = (
                f"trackers.{name} failed ({type(error).__name__}) and is left out from here on; the training "
                "goes on"
            )
            self.tell(text, {"event": "warning", "tracker": name})


@contextlib.contextmanager
def following(config: Config, training: Callable[[], Training], tell: Tell) -> Iterator[Following]:
    """The trackers of a training, ended however it ends."""
    trackers = Following(config, training, tell)
    try:
        yield trackers
    except BaseException:
        trackers.close(well=False)
        raise
    trackers.close(well=True)


def numbers(step: Any) -> dict[str, float]:
    """A step's numbers by the names that all trackers have; none that is no number."""
    speed = step.tokens / step.seconds if step.seconds else None
    found = {
        "train/loss": step.loss,
        "train/learning_rate": step.learning_rate,
        "train/grad_norm": getattr(step, "grad_norm", None),
        "train/tokens": step.tokens,
        "train/tokens_per_second": speed,
        "validation/loss": step.validation,
    }
    return {name: float(value) for name, value in found.items() if _is_number(value)}


def ended(history: Mapping[str, Any]) -> dict[str, float]:
    """What is said at the end of a training."""
    return {f"final/{name}": history[name] for name in FINAL if _is_number(history.get(name))}


def evaluated(result: Mapping[str, Any]) -> dict[str, float]:
    """What is said of an evaluation: each metric of both models."""
    sides = ("base", "tuned")
    return {f"evaluation/{metric}/{side}": pair[side] for metric, pair in result.items() for side in sides}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _tensorboard(section: TensorBoard, training: Training, first: int) -> Sink:
    from torch.utils.tensorboard import SummaryWriter

    folder = os.path.join(section.directory or training.place("tensorboard"), training.key)
    writer = SummaryWriter(folder, purge_step=first)
    shown = "\n".join(f"    {name}: {value}" for name, value in training.settings.items())
    writer.add_text("settings", shown, first)

    def take(found: dict[str, float], step: int) -> None:
        for name, value in found.items():
            writer.add_scalar(name, value, step)
        writer.flush()

    return Sink(take, lambda name, text, step: writer.add_text(name, text, step), lambda well: writer.close())


def _mlflow(section: Mlflow, training: Training, first: int) -> Sink:
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Param

    uri = section.uri or os.environ.get("MLFLOW_TRACKING_URI")
    if uri is None:
        path = os.path.abspath(training.place("mlflow.db"))
        os.makedirs(os.path.dirname(path), exist_ok=True)
        uri = f"sqlite:///{path}"
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name(section.experiment)
    number = experiment.experiment_id if experiment else client.create_experiment(section.experiment)
    found = client.search_runs([number], f"tags.`headrace.training` = '{training.key}'", max_results=1)
    if found:
        run = found[0].info.run_id
        client.update_run(run, status="RUNNING")
    else:
        tags = {"headrace.training": training.key}
        run = client.create_run(number, tags=tags, run_name=section.name or training.name).info.run_id
        params = [Param(name, str(value)[:500]) for name, value in training.settings.items()]
        client.log_batch(run, params=params)

    def take(values: dict[str, float], step: int) -> None:
        now = int(time.time() * 1000)
        client.log_batch(run, metrics=[Metric(name, value, now, step) for name, value in values.items()])

    def end(well: bool) -> None:
        client.set_terminated(run, "FINISHED" if well else "FAILED")

    return Sink(take, lambda name, text, step: client.set_tag(run, name, f"step {step}: {text}"), end)


def _wandb(section: Wandb, training: Training, first: int) -> Sink:
    import wandb

    folder = training.place("wandb")
    os.makedirs(folder, exist_ok=True)
    run = wandb.init(
        project=section.project,
        entity=section.entity,
        name=section.name or training.name,
        mode=section.mode,
        id=training.key,
        resume="allow",
        dir=folder,
        config=dict(training.settings),
        save_code=False,
        settings=wandb.Settings(
            console="off", silent=True, x_disable_stats=True, x_disable_meta=True, disable_git=True
        ),
    )

    def words(name: str, text: str, step: int) -> None:
        run.summary[name] = f"step {step}: {text}"

    return Sink(lambda found, step: run.log(found, step=step), words, lambda well: run.finish(not well))


def _trackio(section: Trackio, training: Training, first: int) -> Sink:
    import trackio

    run = trackio.init(
        project=section.project,
        name=f"{section.name or training.name}-{training.key[:8]}",
        space_id=section.space,
        config=dict(training.settings),
        resume="allow",
        embed=False,
        auto_log_gpu=False,
        auto_log_cpu=False,
    )

    def words(name: str, text: str, step: int) -> None:
        run.alert(title=name, text=f"step {step}: {text}")

    return Sink(lambda found, step: run.log(found, step=step), words, lambda well: run.finish())


OPENERS: dict[str, Callable[[Any, Training, int], Sink]] = {
    "tensorboard": _tensorboard,
    "mlflow": _mlflow,
    "wandb": _wandb,
    "trackio": _trackio,
}
