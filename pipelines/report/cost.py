"""The report's part on cost: time, memory and money, as far as they were measured.

Cost: none.
"""

from collections.abc import Mapping
from typing import Any

LEAST = 0.05  # seconds of a stage under which its speed means nothing


def view(run: Mapping[str, Any], recipe: Mapping[str, Any]) -> dict[str, Any]:
    """CPU time of the stages, time and memory of the training, the price of both by the recipe's prices."""
    stages = _stages(run)
    train = run.get("train") or {}
    smoke = train.get("smoke") or {}
    price = (recipe.get("costs") or {}).get("core_hour")
    seconds = stages["total"] if stages else None
    return {
        "stages": stages,
        "prepared": seconds,
        "priced": seconds * price / 3600 if seconds is not None and isinstance(price, int | float) else None,
        "training": {
            "seconds": train.get("seconds"),
            "tokens": train.get("tokens"),
            "speed": train.get("tokens_per_second"),
            "memory": (train.get("memory") or {}).get("peak"),
            "cost": smoke.get("cost"),
        }
        if train
        else None,
        "memory": run.get("memory") if isinstance(run.get("memory"), dict) else {},
    }


def _stages(run: Mapping[str, Any]) -> dict[str, Any] | None:
    stages = run.get("stages")
    if not stages:
        return None
    shown = []
    for name, spent in stages.items():
        seconds, entered = float(spent.get("seconds", 0)), float(spent.get("bytes", 0))
        speed = entered / seconds / 1e6 if seconds >= LEAST and entered else None
        shown.append(
            {"name": name, "seconds": seconds, "rows": spent.get("rows"), "bytes": entered, "speed": speed}
        )
    total = sum(s["seconds"] for s in shown)
    return {"shown": shown, "total": total, "most": max(s["seconds"] for s in shown) or 1.0}
