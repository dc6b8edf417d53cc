"""What the report says of people: those who rated rows, and those whom rows name."""

from collections.abc import Mapping
from typing import Any

GROUPS = 12  # of a list
MEASURES = {
    "length": "Length of answers, ratio",
    "refusals": "Refusals, difference",
    "labels": "Labels with another share",
}


def rated(run: Mapping[str, Any]) -> dict[str, Any] | None:
    """Ratings of a draw of rows, with the mean and agreement of each question; None where there are none."""
    said = (run.get("examine") or {}).get("spot_check")
    if not said:
        return None
    scores, agreement = said.get("scores") or {}, said.get("agreement") or {}
    asked = [
        {"name": name, "mean": scores.get(name), "agreement": value}
        for name, value in agreement.items()
        if value is not None or scores.get(name) is not None or name == "verdict"
    ]
    return {**said, "asked": asked}


def named(run: Mapping[str, Any]) -> dict[str, Any] | None:
    """Groups that rows name, by list, the most frequent first; None where none was looked for."""
    said = (run.get("examine") or {}).get("bias")
    if not said:
        return None
    lists = []
    for name, one in said["lists"].items():
        groups = [{"name": group, **own} for group, own in one["groups"].items()]
        groups.sort(key=lambda group: (-group["rows"], group["name"]))
        if groups:
            more = max(0, len(groups) - GROUPS)
            told = [kind for kind in MEASURES if any(group.get(kind) for group in groups)]
            lists.append({**one, "name": name, "groups": groups[:GROUPS], "more": more, "told": told})
    return {**said, "lists": lists, "measures": MEASURES, "swaps": sum(one["swaps"]["rows"] for one in lists)}
