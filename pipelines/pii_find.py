"""All findings in texts, of recognisers and of the model of names, as the recipe's `pii` asks for them."""

import pyarrow as pa

from pipelines.pii_config import Config
from pipelines.pii_engine import Found, scanner


def found_in(texts: pa.Array, config: Config) -> Found:
    """Findings of all texts (string or large_string[N]) in order, whatever their score."""
    found = scanner(config.context).find(texts.cast(pa.large_string()))
    if config.ner.engine == "none":
        return found
    from pipelines import pii_ner  # what it imports takes seconds

    return pii_ner.joined(found, pii_ner.names(texts, config.ner))


def looked_for(config: Config) -> dict[str, list[str]]:
    """Entities that each recogniser looks for, by its name."""
    found = {one.name: sorted(one.supported_entities) for one in scanner(config.context).recognizers}
    return dict(sorted(found.items()))
