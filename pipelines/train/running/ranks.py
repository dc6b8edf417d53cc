"""The ranks of a training, started and started again by Ray Train.

What: `fit` runs `train.worker` on as many workers as the recipe asks for, or as the cluster holds, tells what
they finish, and starts them again where one dies, up to `train.max_failures` times. What only the user can
mend is raised at once.

Cost: of a start, a process a rank that loads PyTorch and the model.
"""

import os
import signal
import tempfile
import threading
from collections.abc import Callable

import ray
from ray.exceptions import RayActorError

from headrace.cluster import watch
from headrace.cluster.errors import Fault, UserError
from headrace.pipelines.train import checkpoints
from headrace.pipelines.train.config import Config, Workers
from headrace.pipelines.train.steps import Job
from headrace.pipelines.train.watch import telling
from headrace.pipelines.train.watch.telling import Progress
from headrace.pipelines.train.watch.watched import Step
from headrace.pipelines.train.worker import on_worker


def fit(job: Job, progress: Progress, each_step: Callable[[Step], None] | None = None) -> None:
    """Run the ranks to the end.

    Raises: HeadraceError of a rank, Fault (workers died too often), UserError (the cluster is too small).
    """
    from ray.train import FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchTrainer

    gpu, ranks = _ranks(job.config)
    mailbox = ray.remote(num_cpus=0)(telling.Mailbox).remote()
    # Ray keeps a marker file of its own there; checkpoints are ours, on the run's storage.
    with (
        tempfile.TemporaryDirectory(prefix="headrace-train-") as scratch,
        telling.reporting(mailbox, progress, each_step),
    ):
        trainer = TorchTrainer(
            on_worker,
            train_loop_config={"job": job, "mailbox": mailbox},
            scaling_config=ScalingConfig(
                num_workers=ranks, use_gpu=gpu, resources_per_worker=_resources(job.config, gpu)
            ),
            run_config=RunConfig(
                name=job.key,
                storage_path=scratch,
                failure_config=FailureConfig(max_failures=job.config.max_failures),
            ),
        )
        handler = signal.getsignal(signal.SIGINT)
        try:
            trainer.fit()
        except ray.train.TrainingFailedError as error:
            ours = ray.get(mailbox.refusal.remote()) or watch.own_cause(error)
            raise ours or _died(job, error) from error
        finally:
            if threading.current_thread() is threading.main_thread():
                signal.signal(signal.SIGINT, handler)  # fit leaves its own
        refusal = ray.get(mailbox.refusal.remote())
        if refusal is not None:
            raise refusal


def _died(job: Job, error: Exception) -> Fault:
    """What ended a training that no error of ours has ended: a process that is gone, or a library's error."""
    failures = [*getattr(error, "worker_failures", {}).values(), getattr(error, "controller_failure", None)]
    # A worker that is gone is an error of its health check, which holds the actor's.
    causes = [getattr(one, "health_check_failure", one) for one in failures if one is not None]
    kinds = sorted({type(cause).__name__ for cause in causes})
    memory = "`headrace check` says what a worker needs, and which train.batch_size would fit"
    if any(isinstance(cause, RayActorError) for cause in causes):
        what = f"a worker of the training was killed; where nobody did that, memory ran out ({memory})"
    elif "OutOfMemoryError" in kinds:
        what = f"a worker of the training ran out of the GPU's memory ({memory})"
    else:
        what = f"a worker of the training failed ({', '.join(kinds)}; Ray's logs hold the traceback)"
    newest = checkpoints.newest(job.home, job.key)
    where = f"from step {newest['step']} of {job.steps}" if newest else "from the first step"
    return Fault(
        f"{what}. It was started again as often as train.max_failures allows ({job.config.max_failures}). "
        f"The same command goes on {where}"
    )


def _resources(config: Config, gpu: bool) -> dict[str, float]:
    return {"CPU": config.cpus_per_worker, **({"GPU": 1} if gpu else {})}


def _ranks(config: Config) -> tuple[bool, int | tuple[int, int]]:
    """Whether to use GPUs, and how many ranks, or the least and the most of them, as Ray Train takes it.

    Raises: UserError where a local Ray cannot hold them. A cluster that is joined may grow, so it is not
    judged by what it has now.
    """
    gpus = int(ray.cluster_resources().get("GPU", 0))
    gpu = gpus > 0 if config.use_gpu == "auto" else config.use_gpu
    elastic = isinstance(config.workers, Workers)
    least = config.workers.least if isinstance(config.workers, Workers) else config.most
    if config.workers == "auto" and gpu and gpus:
        least = gpus
    if not elastic and gpu and gpus:
        least = min(least, gpus)
    needed = _resources(config, gpu)
    if not os.environ.get("RAY_ADDRESS"):
        for name, amount in needed.items():
            there = ray.cluster_resources().get(name, 0)
            if amount * least > there:
                raise UserError(
                    f"train.workers: {least} workers of {amount:g} {name} each, and this Ray has {there:g}; "
                    "lower train.workers or train.cpus_per_worker"
                )
    return gpu, (least, config.most) if elastic else least
