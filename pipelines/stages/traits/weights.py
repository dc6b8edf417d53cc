"""How often training draws a row by its traits: the factors of `sources[].weights`, multiplied.

Cost: a look at a small column for each value that is weighed.
"""

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from headrace.pipelines.stages.traits.stage import having

Weights = Mapping[str, Mapping[str, float]]  # by trait and value


def of_rows(table: pa.Table, given: Mapping[str, Weights]) -> NDArray[np.float64]:
    """The weight of each row by its traits, ``float64[N]``; given: the weights of each source, by its name.

    A value that is not named counts 1, and so does a row of which nothing was told.
    """
    found = np.ones(table.num_rows)
    if not given:
        return found
    traits = table["traits"].combine_chunks()
    for source, weights in sorted(given.items()):
        own = pc.equal(table["source"], source).to_numpy()
        for trait, by_value in sorted(weights.items()):
            column = pa.chunked_array([pc.struct_field(traits, trait)])
            for value, factor in sorted(by_value.items()):
                found[own & having(column, (value,))] *= factor
    return found
