"""A base model and the tuned one, while both are loaded: for whoever asks them something else.

Cost: none of its own; one set of weights serves both where the tuned model is the base with an adapter.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from headrace.pipelines.evaluate.arms import asking, wanted
from headrace.pipelines.evaluate.arms.asking import Manner
from headrace.pipelines.evaluate.arms.pieces import Pieces
from headrace.pipelines.train.watch import samples

ADAPTED = "lora_"  # in the names of an adapter's weights


@dataclass(frozen=True)
class Loaded:
    """A model as it was and tuned, for whoever asks it something else.

    room: tokens that its context holds. forced: as in `Measured`. said: answers of at most so many tokens to
    prompts, and whether each came to its end. Both are told first what they are asked for, a name of its own,
    by which batches are kept: those of one name that were asked before a kill are not asked again. without:
    within it the model is as it was; merged: within it the adapter is merged into the weights, and what it
    gives is whether it could be; afterwards weights may differ by a rounding. timed: seconds that answers of
    just so many tokens take, and GiB.
    """

    tokenizer: Any
    room: float
    forced: Callable[[str, list[samples.Sample]], NDArray[np.float64]]
    said: Callable[[str, list[NDArray[np.int64]], int], tuple[list[str], list[bool]]]
    without: Callable[[], AbstractContextManager[Any]]
    merged: Callable[[], AbstractContextManager[bool]]
    timed: Callable[[list[NDArray[np.int64]], int], tuple[float, float]]


def loaded(both: "Both", manner: Manner, room: float, kept: Pieces) -> Loaded:
    """Both models, for whoever asks them something else. kept: where batches of theirs are kept."""

    def said(what: str, asked: list[NDArray[np.int64]], most: int) -> tuple[list[str], list[bool]]:
        made = asking.said(both.asked, asked, manner._replace(longest=most), kept, f"{what}_{both.name}")
        assert made is not None, "nobody else asks some"
        return [answer for _, answer in made[0]], made[1]

    def forced(what: str, some: list[samples.Sample]) -> NDArray[np.float64]:
        sums = asking.sums(both.asked, some, manner, kept, f"{what}_{both.name}")
        assert sums is not None, "nobody else asks some"
        return sums

    def timed(prompts: list[NDArray[np.int64]], tokens: int) -> tuple[float, float]:
        return both.timed(
            lambda: samples.generated(
                both.asked, prompts, set(), manner.tokenizer, most=tokens, size=len(prompts)
            )
        )

    return Loaded(manner.tokenizer, room, forced, said, both.without, both.merged, timed)


class Both:
    """A base model and the tuned one, which may be the base with an adapter; `asked` is the one of them, and
    `name` says which.
    """

    def __init__(self, base: Any, tuned: Any) -> None:
        self._base, self.asked, self.name = base, tuned, wanted.TUNED
        self.adapted = hasattr(tuned, "disable_adapter")  # whether an adapter stands beside the weights now

    @contextmanager
    def without(self) -> Iterator[None]:
        """Within it the base is asked."""
        tuned, self.name = self.asked, wanted.BASE
        if self.adapted:
            self.adapted = False
            with tuned.disable_adapter():
                yield
            self.adapted = True
        else:
            self.asked = self._base
            yield
            self.asked = tuned
        self.name = wanted.TUNED

    @contextmanager
    def merged(self) -> Iterator[bool]:
        """Within it the adapter is merged into the weights, where there is one that can be."""
        able = self.adapted
        try:
            if able:
                self.asked.merge_adapter(safe_merge=False)
        except (ValueError, NotImplementedError, RuntimeError):  # of weights that nothing can be added to
            able = False
        self.adapted = self.adapted and not able
        yield able
        if able:
            self.asked.unmerge_adapter()
            self.adapted = True

    def timed(self, work: Callable[[], object]) -> tuple[float, float]:
        """Seconds that some work of the asked model takes, and GiB: of its weights, on a GPU with what the
        work needs beside them.
        """
        gpu = self.asked.device.type == "cuda"
        held = sum(
            p.numel() * p.element_size()
            for name, p in self.asked.named_parameters()
            if self.adapted or ADAPTED not in name
        )
        before = 0
        if gpu:
            torch.cuda.synchronize()
            torch.cuda.reset_peak_memory_stats(self.asked.device)
            before = torch.cuda.memory_allocated(self.asked.device)
        started = time.perf_counter()
        work()
        if gpu:
            torch.cuda.synchronize()
            held += torch.cuda.max_memory_allocated(self.asked.device) - before
        return time.perf_counter() - started, held / 2**30
