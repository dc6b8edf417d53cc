"""Where is it worse: the metric that decides, over parts of the samples.

What: samples are taken by source, language, task, label, and by length in three parts. Each part of at least
`LEAST` samples is compared by itself; p-values are corrected for the number of parts, so that a part is
called better or worse only where chance does not explain it among so many.

Cost: a test and an interval a part.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headrace.pipelines.evaluate import statistics
from headrace.pipelines.evaluate.config import LEAST, LOWER_IS_BETTER

Traits = Mapping[str, Sequence[str]]  # by trait its value of each sample, "" where it has none
MOST = 60  # parts, the largest first


def of(lengths: Sequence[int], traits: Traits, label: Sequence[str]) -> dict[str, list[str]]:
    """The part that each sample is in, by what they are parted."""
    by = {name: list(values) for name, values in traits.items()}
    if label:
        by["label"] = list(label)
    if len(lengths) >= 3 * LEAST:
        ends = np.quantile(np.array(lengths), [1 / 3, 2 / 3])
        third = np.searchsorted(ends, lengths, side="left")
        names = [f"to {ends[0]:.0f} tokens", f"to {ends[1]:.0f} tokens", f"over {ends[1]:.0f} tokens"]
        by["length"] = [names[int(n)] for n in third]
    return by


def compared(
    metric: str,
    paired: statistics.Paired,
    places: NDArray[np.int64],
    by: Mapping[str, Sequence[str]],
    seed: int,
) -> list[dict[str, Any]]:
    """Each part with at least `LEAST` samples of the metric: by, value, n, base, tuned, interval, p, verdict.

    Those that are worse come first, then by how the change compares, then by name. What has one part alone is
    not parted.
    """
    parts = []
    for name, values in by.items():
        of_sample = np.array(values, dtype=object)[places]
        found, counts = np.unique(of_sample.astype(str), return_counts=True)
        large = [(str(v), int(n)) for v, n in zip(found, counts, strict=True) if v and n >= LEAST]
        if len([v for v in found if v]) > 1:
            parts += [(name, value, n, np.flatnonzero(of_sample == value)) for value, n in large]
    parts = sorted(parts, key=lambda part: (-part[2], part[:2]))[:MOST]
    results = {}
    for name, value, _, rows in parts:
        own = paired._replace(base=paired.base[rows], tuned=paired.tuned[rows])
        results[name, value] = statistics.compare(own, seed=seed)
    p = statistics.corrected({f"{n}\0{v}": c.p for (n, v), c in results.items()})
    found_of = []
    for (name, value), one in results.items():
        corrected = p[f"{name}\0{value}"]
        verdict = statistics.verdict(one, corrected, lower_is_better=metric in LOWER_IS_BETTER)
        both = {"base": one.base, "tuned": one.tuned, "interval": [one.low, one.high]}
        if np.isfinite([one.base, one.tuned, one.low, one.high]).all():
            found_of.append(
                {"by": name, "value": value, "n": one.n, **both, "p": corrected, "verdict": verdict}
            )
    sign = 1 if metric in LOWER_IS_BETTER else -1
    order = {"worse": 0, "no clear difference": 1, "too few samples": 2, "better": 3}
    return sorted(
        found_of, key=lambda r: (order[r["verdict"]], sign * (r["base"] - r["tuned"]), r["by"], r["value"])
    )


def told(part: Mapping[str, Any], metric: str) -> str:
    """A part in words, as the end of a sentence. metric: as people call it."""
    low, high = part["interval"]
    return (
        f"where the {part['by']} is {part['value']}, {metric} went from {part['base']:.4g} to "
        f"{part['tuned']:.4g} (95% interval of the change {low:+.3g} to {high:+.3g}, {part['n']:,} samples)"
    )
