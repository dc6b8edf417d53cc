"""What a run's books say, by what a diagnosis asks of them. Nothing is measured here."""

from collections.abc import Iterator, Mapping
from typing import Any

from headrace.pipelines.evaluate import decision, slices

PARTS = 3  # that are named where it is worse


def told(name: str) -> str:
    """A metric's name in words."""
    return name.replace("_", " ")


class Books:
    """What a run's books say, by what is asked of them."""

    def __init__(self, run: Mapping[str, Any]) -> None:
        self.run = run
        self.train: Mapping[str, Any] = run.get("train") or {}
        scores = run.get("evaluate") or {}
        self.primary = None if scores.get("stale") else decision.deciding(scores)
        # Over the samples that do not stand in training, where the evaluation tells them apart.
        every = {name: score for name, score in scores.items() if isinstance(score, Mapping)}
        self.scores = {name: {**score, **(score.get("clean") or {})} for name, score in every.items()}

    def gates(self, *names: str) -> list[str]:
        """What ringing gates of these names say."""
        held = self.run.get("gates") or {}
        rings = [held[name] for name in names if (held.get(name) or {}).get("state") in ("warn", "fail")]
        return [decision.sentence(gate.get("words")) for gate in rings]

    def watch(self, *codes: str) -> list[str]:
        """What training's watch has said under these codes."""
        said = [*(self.train.get("warnings") or ()), *self._stopped()]
        return [decision.sentence(one.get("words")) for one in said if one.get("code") in codes]

    def _stopped(self) -> Iterator[Mapping[str, Any]]:
        stopped = self.train.get("stopped")
        if stopped:
            yield {"code": stopped.get("reason"), **stopped}

    def advice(self, *codes: str) -> list[str]:
        """What the advice on the data says against training on it, under these codes."""
        reasons = (self.run.get("advice") or {}).get("reasons") or ()
        grave = [one for one in reasons if one.get("level") in ("stop", "mend")]
        return [decision.sentence(one.get("words")) for one in grave if one.get("code") in codes]

    def verdict(self, name: str | None = None) -> str:
        """The verdict on a metric, or on the one that decides; "" where there is none."""
        name = name or (self.primary[0] if self.primary else "")
        return str(self.scores.get(name, {}).get("verdict") or "")

    def moved(self, name: str | None = None) -> str:
        """How a metric, or the one that decides, moved, as a sentence."""
        if name is None:
            assert self.primary is not None, "asked of a run that was evaluated"
            name = self.primary[0]
        score = self.scores[name]
        if score.get("base") is None or score.get("tuned") is None:
            return f"{told(name)} could not be measured"
        return f"{told(name)} went from {score['base']:.4g} to {score['tuned']:.4g} ({score['verdict']})"

    def worse(self) -> list[str]:
        """The parts of the samples on which the metric that decides is worse than with the base."""
        if self.primary is None:
            return []
        found = [part for part in self.run.get("slices") or () if part["verdict"] == "worse"]
        return [slices.told(part, told(self.primary[0])) for part in found[:PARTS]]

    def no_gain(self) -> bool:
        """Whether the metric that decides shows no gain, of samples enough to show one."""
        return self.verdict() in ("worse", "no clear difference")
