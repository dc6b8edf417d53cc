"""What an evaluation says in the terminal of the tuned model, beside its base and the other arms."""

from collections.abc import Iterator
from typing import Any

from headrace.pipelines.evaluate import decision


def score(metric: str, pair: dict[str, Any]) -> str:
    names = ("base", "few_shot", "tuned")
    numbers = [f"{name.replace('_', '-')} {pair[name]:.4g}" for name in names if pair.get(name) is not None]
    decides = "; this decides" if pair["primary"] else ""
    lines = [f"  {metric}: {', '.join(numbers) or 'not measured'} ({pair['verdict']}{decides})"]
    if pair["primary"]:
        lines += [f"    {words}" for words in _beside(pair)]
    return "\n".join(lines)


def _beside(pair: dict[str, Any]) -> Iterator[str]:
    """What the tuned model is beside each arm, and over the samples that do not stand in training."""
    for name, arm in pair.get("arms", {}).items():
        value = "not measured" if arm["value"] is None else f"{arm['value']:.4g}"
        yield f"beside {decision.named(name)} ({value}): {arm['verdict']}"
    if clean := pair.get("clean"):
        left = f"without the {pair['n'] - clean['n']:,} samples that stand in training"
        values = [f"{name} {clean[name]:.4g}" for name in ("base", "tuned") if clean[name] is not None]
        yield f"{left}: {', '.join(values) or 'nothing to measure'} ({clean['verdict']})"


def notes(told: dict[str, Any]) -> Iterator[str]:
    """What the prompts of arms had no room for, and what they could not be asked."""
    for name, arm in told.get("arms", {}).items():
        if arm["fewer"]:
            yield f"  {decision.named(name)}: {arm['fewer']:,} prompts have room in the context for less"
        if not arm.get("same_rows", True):
            yield (
                f"  {decision.named(name)} was trained on other rows, or does not say on which: what is held "
                "out here may be what it has learned"
            )
        if arm["unasked"]:
            yield f"  {decision.named(name)}: {arm['unasked']:,} samples could not be put into its form"
