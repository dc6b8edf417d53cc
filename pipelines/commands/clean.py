"""What trainings of a run are superseded, and their removal."""

from headrace.cluster.errors import OutputError
from headrace.cluster.stores import disk
from headrace.pipelines import recipe, trainings
from headrace.pipelines.console import Line

NOTHING = "nothing to remove: every training here is the one that was asked for last, or that of adapter/"


def superseded(run: str) -> list[trainings.Home]:
    """What `remove` would remove. Raises: OutputError where `run` is no run of ours, StorageError."""
    number, _ = recipe.kept(run)
    if number is None:
        raise OutputError(f"{run!r} is not a run directory: it has no recipe.yaml of headrace")
    return [left for left in trainings.homes(run) if left.superseded]


def lines(left: list[trainings.Home]) -> list[Line]:
    """What can be removed, a line a training, and one for all."""
    if not left:
        return [Line(f"clean: {NOTHING}", {"bytes": 0})]
    each = [
        Line(f"clean: {one.path}: {disk.in_words(one.bytes)}", {"path": one.path, "bytes": one.bytes})
        for one in left
    ]
    total = sum(one.bytes for one in left)
    places = f"{len(left)} place{'s' * (len(left) != 1)}"
    return [*each, Line(f"clean: {disk.in_words(total)} in {places} can be removed", {"bytes": total})]


def remove(run: str, left: list[trainings.Home]) -> None:
    """Remove trainings. Raises: StorageError."""
    for one in left:
        trainings.remove(run, one)
