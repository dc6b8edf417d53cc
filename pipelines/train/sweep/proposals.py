"""Our search as Ray Tune asks for it."""

from typing import Any

from ray.tune.search import Searcher

from headrace.cluster.errors import Fault, ModelError
from headrace.pipelines.train.sweep.search import Search


class Proposals(Searcher):
    """Hands out trials in the order of `Search`, and tells it of their ends."""

    def __init__(self, search: Search) -> None:
        super().__init__(metric="loss", mode="min")
        self.failed: list[BaseException] = []
        self._search = search
        self._numbers: dict[str, int] = {}

    def suggest(self, trial_id: str) -> Any:
        """The number of the trial to begin; None where it has to wait; FINISHED."""
        try:
            action = "over" if self.failed else self._search.next_action()
            if isinstance(action, int):
                self._search.begin(action)
                self._numbers[trial_id] = action
                return {"number": action}
        except Exception as error:  # noqa: BLE001 - Ray Tune would swallow it; the driver raises it
            self.failed.append(error)
            return Searcher.FINISHED
        return None if action == "wait" else Searcher.FINISHED

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Take a trial's end."""
        number = self._numbers.pop(trial_id)
        try:
            if error:  # Ray Tune tells what it was in its results
                raise Fault(f"trial {number} of the sweep failed")
            if refusal := (result or {}).get("refusal"):
                raise ModelError(refusal)
            self._search.end(number)
        except Exception as failed:  # noqa: BLE001 - as above
            self._search.running.discard(number)
            self.failed.append(failed)

    def save(self, checkpoint_path: str) -> None:
        """Nothing: what there is to know lies in the run."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing: what there is to know lies in the run."""
