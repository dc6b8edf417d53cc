"""Which trial of a sweep comes next, by what is known of the others: the same after a kill as before."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from headrace.cluster.errors import Fault, RecipeError
from headrace.pipelines.train.config import Config as Train
from headrace.pipelines.train.sweep import records, space
from headrace.pipelines.train.sweep.config import Config
from headrace.pipelines.train.sweep.records import Trial

SEEDS = 1000  # number of the first trial of the best settings with another seed


@dataclass
class Search:
    """A sweep under way.

    base, seed: the recipe's. home: where its records lie. parallel: trials at once. running: numbers of those
    under way in this start.
    """

    base: Train
    seed: int
    config: Config
    home: str
    parallel: int
    tell: Callable[[str, dict[str, Any]], None]
    trials: dict[int, Trial] = field(default_factory=dict)
    running: set[int] = field(default_factory=set)

    def next_action(self) -> int | str:
        """The number of the trial to begin now; "wait" for one that runs; "over".

        Raises: RecipeError where there is a limit in money and no price is known.
        """
        for number, trial in sorted(self.trials.items()):
            if trial.result is None and number not in self.running:
                return number
        number = sum(number < SEEDS for number in self.trials)
        if number < self.config.trials and not self._spent():
            ended = all(self.trials[before].result for before in range(number - self.parallel + 1))
            return number if ended else "wait"
        if self.running:
            return "wait"
        if len(self._again()) < self.config.confirm and records.ranked(self.trials):
            return SEEDS + sum(number >= SEEDS for number in self.trials)
        return "over"

    def begin(self, number: int) -> None:
        """Propose a trial that has not been, and note that it runs. Raises: StorageError."""
        if number not in self.trials:
            trial = self._proposed(number)
            records.begin(self.home, trial)
            self.trials[number] = trial
        self.running.add(number)

    def end(self, number: int) -> None:
        """Read how a trial ended, and keep no training but that of the best. Raises: Fault, StorageError."""
        self.running.discard(number)
        self.trials[number] = ended = records.trials(self.home)[number]
        if ended.result is None:
            raise Fault(f"trial {number} ended without a result in {self.home}")
        best = records.ranked(self.trials)
        for other, trial in self.trials.items():
            if trial.result is not None and (not best or other != best[0].number):
                records.clear(self.home, other)
        self.tell(line(ended, self.config.trials), records.row(ended))

    def known(self, number: int) -> list[space.Known]:
        """What may be known when trial `number` begins: of the trials `parallel` places before it."""
        own = self.own()
        return [
            space.Known(
                {**own, **trial.settings},
                trial.result.rungs,
                trial.result.loss if trial.result.state == "done" else None,
            )
            for at, trial in sorted(self.trials.items())
            if at <= number - self.parallel and at < SEEDS and trial.result is not None
        ]

    def own(self) -> dict[str, Any]:
        """The recipe's own values of the keys that are searched."""
        held = self.base.model_dump(mode="json", by_alias=True)
        return {key: held[key] for key in self.config.space}

    def _proposed(self, number: int) -> Trial:
        if number >= SEEDS:
            best = records.ranked(self.trials)[0]
            return Trial(number, "seed", best.settings, self.seed + 1 + len(self._again()), ())
        known = self.known(number)
        cutoffs = space.cutoffs(known, self.config.reduction_factor)
        if number == 0:
            return Trial(0, "recipe", self.own(), self.seed, cutoffs)
        coarse = self.config.trials - round(self.config.fine * self.config.trials)
        among, kind = dict(self.config.space), "coarse"
        before = {at: trial for at, trial in self.trials.items() if at <= number - self.parallel}
        if number >= coarse and (first := records.ranked(before)):
            among, kind = space.narrowed(among, first[0].settings), "fine"
        return Trial(number, kind, space.propose(among, self.seed, number, known), self.seed, cutoffs)

    def _again(self) -> list[Trial]:
        """Trials of the best settings with other seeds."""
        best = records.ranked(self.trials)
        return [
            t for t in self.trials.values() if t.kind == "seed" and best and t.settings == best[0].settings
        ]

    def _spent(self) -> bool:
        """Whether the hours or the money for trials are spent. Raises: RecipeError."""
        seconds, cost = records.spent(self.trials)
        if self.config.money is not None and cost is None:
            raise RecipeError("sweep.money: no price of this GPU is known; set costs.gpu_hour")
        over = self.config.hours is not None and seconds >= 3600 * self.config.hours
        return over or (self.config.money is not None and (cost or 0) >= self.config.money)


def line(trial: Trial, of: int) -> str:
    """A trial that has ended, in words."""
    result = trial.result
    assert result is not None
    what = f"trial {trial.number + 1} of {of} ({trial.kind})"
    what = f"the best settings with seed {trial.seed}" if trial.kind == "seed" else what
    told = {"done": "done", "stopped": "ended early", "failed": "failed"}[result.state]
    loss = "no loss" if result.loss is None else f"validation {result.loss:.4f}"
    settings = ", ".join(f"{key} {shown(value)}" for key, value in trial.settings.items())
    text = f"sweep: {what}: {told} after {result.steps:,} of {result.of:,} steps, {loss}: {settings}"
    return f"{text} ({result.words})" if result.words else text


def shown(value: Any) -> str:
    """A setting, for people."""
    return f"{value:g}" if isinstance(value, float) else str(value)
