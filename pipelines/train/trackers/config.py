"""The config of `trackers`, apart from its code."""

from typing import Literal

from pydantic import Field, field_validator

from headrace.pipelines.section import Path, Section

EXTRA = "pip install 'headrace[trackers]'"  # what installs them
# The module that each is, by its key.
MODULES = {"tensorboard": "tensorboard", "mlflow": "mlflow", "wandb": "wandb", "trackio": "trackio"}


class TensorBoard(Section):
    """Event files for TensorBoard."""

    directory: Path | None = None
    """Local directory; left out: `trackers/tensorboard` of the run, or of the working directory where the run
    is remote."""


class Mlflow(Section):
    """A run in MLflow. Credentials come from its environment variables."""

    uri: str | None = None
    """Tracking server or store; left out: `MLFLOW_TRACKING_URI`, or `trackers/mlflow.db` of the run."""
    experiment: str = Field("headrace", min_length=1)
    """Experiment of the run."""
    name: str | None = None
    """Name of the run; left out: the name of the run directory."""

    @field_validator("uri")
    @classmethod
    def _no_secret(cls, value: str | None) -> str | None:
        """Raises: ValueError for an address with a password, which would be kept with the run."""
        if value is not None and "@" in value.partition("://")[2].partition("/")[0]:
            raise ValueError("holds a user or password; set MLFLOW_TRACKING_USERNAME and _PASSWORD instead")
        return value


class Wandb(Section):
    """A run in Weights & Biases. Its key comes from WANDB_API_KEY, or from `wandb login`."""

    project: str = Field("headrace", min_length=1)
    """Project of the run."""
    entity: str | None = None
    """User or team; left out: that of the key."""
    name: str | None = None
    """Name of the run; left out: the name of the run directory."""
    mode: Literal["online", "offline"] = "online"
    """offline: written to `trackers/wandb` of the run, for `wandb sync`."""


class Trackio(Section):
    """A run in trackio's local dashboard, or in a Space. The Space's token comes from HF_TOKEN."""

    project: str = Field("headrace", min_length=1)
    """Project of the run."""
    name: str | None = None
    """Name of the run; left out: the name of the run directory."""
    space: str | None = None
    """Hugging Face Space (`user/space`) to write to; left out: this machine."""


class Config(Section):
    """Where a training is followed: numbers, settings and warnings, never a row. One that fails is told and
    left, and the training goes on. `{}` is enough to use one."""

    tensorboard: TensorBoard | None = None
    """Left out: not used."""
    mlflow: Mlflow | None = None
    """Left out: not used."""
    wandb: Wandb | None = None
    """Left out: not used."""
    trackio: Trackio | None = None
    """Left out: not used."""

    @property
    def chosen(self) -> dict[str, Section]:
        """Those that are used, by name."""
        found = {name: getattr(self, name) for name in MODULES}
        return {name: section for name, section in found.items() if section is not None}
