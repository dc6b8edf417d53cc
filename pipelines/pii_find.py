"""All findings in texts: of Presidio's recognisers, as the recipe's `pii` asks for them."""

import pyarrow as pa

from pipelines.pii_config import Config
from pipelines.pii_engine import Found, scanner


def found_in(texts: pa.Array, config: Config) -> Found:
    """Findings of all texts (string or large_string[N]) in order, whatever their score."""
    return scanner(config.context).find(texts.cast(pa.large_string()))


def looked_for(config: Config) -> dict[str, list[str]]:
    """Entities that each recogniser looks for, by its name."""
    found = {one.name: sorted(one.supported_entities) for one in scanner(config.context).recognizers}
    return dict(sorted(found.items()))
