"""The turns of many conversations as flat arrays: removing, merging and judging them without a loop.

Cost: a handful of NumPy passes over one small integer a message; text is copied only where turns merge.
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from headrace.kernels.arrow import one_span
from headrace.pipelines.schema import ROLES

SYSTEM, USER, ASSISTANT, TOOL, TEXT, REJECTED = range(len(ROLES))
REASONS = (
    "",
    "empty",
    "empty_answer",
    "unknown_role",
    "no_user",
    "late_system",
    "stray_tool",
    "no_alternation",
)
EMPTY, EMPTY_ANSWER, UNKNOWN_ROLE, NO_USER, LATE_SYSTEM, STRAY_TOOL, NO_ALTERNATION = range(1, len(REASONS))


@dataclass(frozen=True)
class Turns:
    """rows int64[M] ascending, roles int32[M] (index into ``schema.ROLES``, -1 unknown), texts string[M]."""

    rows: NDArray[np.int64]
    roles: NDArray[np.int32]
    texts: pa.Array

    def filled(self) -> NDArray[np.bool_]:
        """Which turns have any content: ``bool[M]``."""
        span = one_span(self.texts)
        return span.stops > span.starts

    def keep(self, mask: NDArray[np.bool_]) -> "Turns":
        """The turns under `mask`."""
        if mask.all():
            return self
        return Turns(self.rows[mask], self.roles[mask], self.texts.filter(pa.array(mask)))


def opened(turns: Turns) -> Turns:
    """Without the assistant and tool turns before a row's first user turn; rows without one stay."""
    if not len(turns.rows):
        return turns
    first = np.zeros(int(turns.rows[-1]) + 1, np.int64)
    users = np.flatnonzero(turns.roles == USER)[::-1]
    first[turns.rows[users]] = users  # of a row's users the earliest is written last
    early = np.arange(len(turns.rows)) < first[turns.rows]
    return turns.keep(~(early & np.isin(turns.roles, (ASSISTANT, TOOL))))


def join(turns: Turns, separator: str) -> Turns:
    """Consecutive turns of one row and role as one; tool turns stay apart."""
    same = _repeats(turns)
    same[turns.roles == TOOL] = False
    if not same.any():
        return turns
    starts = np.flatnonzero(~same)
    offsets = pa.array(np.append(starts, len(same)).astype(np.int64))
    lists = pa.LargeListArray.from_arrays(offsets, turns.texts.cast(pa.string()))
    return Turns(
        turns.rows[starts], turns.roles[starts], pc.binary_join(lists, separator).cast(pa.large_string())
    )


def judge_order(turns: Turns, n_rows: int, *, needs_user: bool) -> NDArray[np.int8]:
    """Why the order of a row's turns cannot stand: ``int8[n_rows]``, an index into `REASONS`.

    Where several reasons hold, the first in `REASONS` is given.
    """
    reasons, roles = np.zeros(n_rows, np.int8), turns.roles

    def owning(some: Turns, mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
        return _owners(some, mask, n_rows)

    repeats, after = _repeats(turns), _previous(turns)
    text = owning(turns, roles == TEXT)
    speech = ~np.isin(roles, (SYSTEM, TOOL))
    spoken = turns.keep(speech)
    twice = _repeats(spoken) & ~_follows_tool(turns)[speech]
    reasons[owning(spoken, twice) | (text & owning(turns, roles != TEXT))] = NO_ALTERNATION
    # A rejected answer ends its row, right behind the chosen one.
    followed = np.zeros(len(roles), np.bool_)
    followed[:-1] = turns.rows[1:] == turns.rows[:-1]
    reasons[owning(turns, (roles == REJECTED) & ((after != ASSISTANT) | followed))] = NO_ALTERNATION
    reasons[owning(turns, (roles == TOOL) & ~np.isin(after, (ASSISTANT, TOOL)))] = STRAY_TOOL
    reasons[owning(turns, (roles == SYSTEM) & ((after >= 0) | repeats))] = LATE_SYSTEM
    if needs_user:
        reasons[~owning(turns, (roles == USER) | (roles == TEXT))] = NO_USER
    return reasons


def judge_content(came: Turns, n_rows: int, *, needs_answer: bool) -> NDArray[np.int8]:
    """Which rows have no content, none in any assistant turn or in one of two answers, or an unknown role: as
    `judge_order`.

    `came` are the turns before the empty ones were removed.
    """
    reasons, filled, answers = np.zeros(n_rows, np.int8), came.filled(), came.roles == ASSISTANT
    reasons[_owners(came, came.roles < 0, n_rows)] = UNKNOWN_ROLE
    if needs_answer:
        answered = _owners(came, filled & answers, n_rows)
        reasons[_owners(came, answers, n_rows) & ~answered] = EMPTY_ANSWER
        worse = came.roles == REJECTED
        ahead = np.append(worse[1:], False)  # the chosen answer stands right before
        reasons[_owners(came, (worse | (ahead & answers)) & ~filled, n_rows)] = EMPTY_ANSWER
    reasons[~_owners(came, filled, n_rows)] = EMPTY
    return reasons


def _owners(turns: Turns, mask: NDArray[np.bool_], n_rows: int) -> NDArray[np.bool_]:
    """Which rows own a turn under `mask`: ``bool[n_rows]``."""
    owners = np.zeros(n_rows, np.bool_)
    owners[turns.rows[mask]] = True
    return owners


def _repeats(turns: Turns) -> NDArray[np.bool_]:
    """Whether a turn has the row and role of the one before it: ``bool[M]``."""
    same = np.zeros(len(turns.rows), np.bool_)
    same[1:] = (turns.rows[1:] == turns.rows[:-1]) & (turns.roles[1:] == turns.roles[:-1])
    return same


def _previous(turns: Turns) -> NDArray[np.int32]:
    """Role of the turn before in the same row, -1 where there is none: ``int32[M]``."""
    before = np.full(len(turns.rows), -1, np.int32)
    inside = turns.rows[1:] == turns.rows[:-1]
    before[1:][inside] = turns.roles[:-1][inside]
    return before


def _follows_tool(turns: Turns) -> NDArray[np.bool_]:
    """Whether the turn just before is a tool's: an assistant may speak again after one. ``bool[M]``."""
    after: NDArray[np.bool_] = _previous(turns) == TOOL
    return after
