"""What a run does, as Prometheus metrics: counted by the driver as commits come in.

A cluster's Ray exports them on the metrics port of the driver's node (one that we start for a run exports
none), with `ray_` before every name and `_total` behind every counter. No label holds a row, a path or text:
the only labels are the pass, the stage and the outcome, so the number of series does not grow with the data.

Cost: a few counter increments a commit; nothing a row. Without Ray nothing is recorded.

Source: https://docs.ray.io/en/latest/ray-observability/user-guides/add-app-metrics.html
"""

from collections.abc import Mapping
from typing import Any, Literal

import ray
from ray.util.metrics import Counter, Gauge

KEPT, DROPPED, QUARANTINED = OUTCOMES = ("kept", "dropped", "quarantined")

# name -> (kind, labels, description); `infra/grafana/headrace.json` shows every one of them.
METRICS: dict[str, tuple[Literal["counter", "gauge"], tuple[str, ...], str]] = {
    "headrace_records": ("counter", ("pass", "outcome"), "Records that a pass has booked, by outcome."),
    "headrace_bytes": ("counter", ("pass",), "Bytes of content that entered a pass."),
    "headrace_commits": ("counter", ("pass",), "Commit records that a pass has written."),
    "headrace_stage_cpu_seconds": ("counter", ("stage",), "CPU seconds of a stage, summed over workers."),
    "headrace_stage_bytes": ("counter", ("stage",), "Bytes of content that entered a stage."),
    "headrace_units_done": ("gauge", ("pass",), "Units of a pass that are committed, earlier runs included."),
    "headrace_units": ("gauge", ("pass",), "Units of a pass in all."),
}


def exported() -> dict[str, tuple[str, ...]]:
    """Every metric's name as Prometheus sees it, with its labels."""
    return {
        f"ray_{name}_total" if kind == "counter" else f"ray_{name}": labels
        for name, (kind, labels, _) in METRICS.items()
    }


class Recorder:
    """Counts commits in Ray's metrics; does nothing where this process is not connected to Ray."""

    def __init__(self) -> None:
        self._metrics: dict[str, Any] = {}

    def commit(
        self,
        pass_name: str,
        *,
        kept: int = 0,
        dropped: int = 0,
        quarantined: int = 0,
        bytes: int = 0,
        stages: Mapping[str, Mapping[str, float]] | None = None,
    ) -> None:
        """Count one commit record of `pass_name`.

        `kept`, `dropped` and `quarantined` are records, `bytes` is the UTF-8 content that entered;
        `stages` holds `seconds` (CPU) and `bytes` by stage name.
        """
        if not ray.is_initialized():
            return
        for outcome, records in zip(OUTCOMES, (kept, dropped, quarantined), strict=True):
            self._add("headrace_records", records, {"pass": pass_name, "outcome": outcome})
        self._add("headrace_bytes", bytes, {"pass": pass_name})
        self._add("headrace_commits", 1, {"pass": pass_name})
        for stage, spent in (stages or {}).items():
            self._add("headrace_stage_cpu_seconds", spent.get("seconds", 0), {"stage": stage})
            self._add("headrace_stage_bytes", spent.get("bytes", 0), {"stage": stage})

    def units(self, pass_name: str, done: int, total: int) -> None:
        """Set how many units of a pass are committed, and how many there are."""
        if not ray.is_initialized():
            return
        self._metric("headrace_units_done").set(done, tags={"pass": pass_name})
        self._metric("headrace_units").set(total, tags={"pass": pass_name})

    def _add(self, name: str, value: float, tags: dict[str, str]) -> None:
        if value > 0:  # Ray refuses to count nothing
            self._metric(name).inc(value, tags=tags)

    def _metric(self, name: str) -> Any:
        if name not in self._metrics:  # made late: the first needs a running Ray
            kind, labels, description = METRICS[name]
            make = Counter if kind == "counter" else Gauge
            self._metrics[name] = make(name, description=description, tag_keys=labels)
        return self._metrics[name]
