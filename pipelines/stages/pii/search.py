"""All findings in texts: Presidio's recognisers and ours together, as the recipe's `pii` asks for them."""

import functools

import pyarrow as pa

from headrace.cluster.errors import RecipeError
from headrace.pipelines.section import hint
from headrace.pipelines.stages.pii.config import Config
from headrace.pipelines.stages.pii.findings import Finding
from headrace.pipelines.stages.pii.overlaps import resolved
from headrace.pipelines.stages.pii.own_scanner import own_scanner
from headrace.pipelines.stages.pii.presidio.recognizer_names import LOCALES
from headrace.pipelines.stages.pii.presidio.scanner import Findings, Scanner, scanner
from headrace.pipelines.stages.pii.presidio.setup import LANGUAGE
from headrace.pipelines.stages.pii.recognizers.catalogue import RECOGNIZERS


def findings_in(texts: pa.Array, config: Config) -> Findings:
    """Findings of all texts (string or large_string[N]) in order, whatever their score."""
    texts = texts.cast(pa.large_string())
    off = frozenset(config.without)
    parts = [scanner(config.context).find(texts)]
    parts += [_abroad(locale, config.context).find(texts) for locale in sorted(set(config.locales))]
    if config.recognizers == "all":
        parts.append(own_scanner(off).find(texts))
    if config.has_model:
        from headrace.pipelines.stages.pii.ner import search as ner_search  # what it imports takes seconds

        parts.append(ner_search.names(texts, config.ner))
    if len(parts) == 1 and not off:
        return parts[0]
    return _together(texts, parts, config)


def _together(texts: pa.Array, parts: list[Findings], config: Config) -> Findings:
    """Findings of several scanners by text but those of recognisers that are off; resolved if ours look."""
    off, judged = frozenset(config.without), config.recognizers == "all"
    failures = functools.reduce(lambda known, part: known | part.failures, parts, dict[int, str]())
    by_row: dict[int, list[Finding]] = {}
    for part in parts:
        for row, finding in zip(part.rows, part.findings, strict=True):
            if finding.recognizer not in off and row not in failures:
                by_row.setdefault(row, []).append(finding)
    rows = sorted(by_row)
    entities = {finding.entity for findings in by_row.values() for finding in findings}
    idle = frozenset(entity for entity in entities if config.kind_of(entity, "") == "keep")
    chosen = texts.take(pa.array(rows, pa.int64())).to_pylist() if judged else [""] * len(rows)
    together = Findings([], [], failures)
    for row, text in zip(rows, chosen, strict=True):
        kept = resolved(text, by_row[row], off, idle) if judged else sorted(by_row[row])
        together.rows.extend([row] * len(kept))
        together.findings.extend(kept)
    return together


@functools.cache
def _abroad(locale: str, context: bool) -> Scanner:
    """The scanner of this process for the recognisers of a country that are not among the default ones."""
    from presidio_analyzer import predefined_recognizers

    kinds = [getattr(predefined_recognizers, name) for name in LOCALES[locale]]
    return Scanner(context=context, recognizers=[kind(supported_language=LANGUAGE) for kind in kinds])


def require_known(config: Config) -> None:
    """Raises: RecipeError for an entity that the recipe names and nothing finds: it would do nothing."""
    if not config.enabled or not any(config.named.values()):
        return
    known = {entity for entities in looked_for(config).values() for entity in entities}
    for key, named in config.named.items():
        for entity in sorted(named - known):
            raise RecipeError(f"pii.{key}: nothing looks for {entity!r}; {hint(entity, known)}")


def looked_for(config: Config) -> dict[str, list[str]]:
    """Entities that each recogniser looks for, by its name."""
    scanners = [scanner(config.context), *(_abroad(locale, config.context) for locale in config.locales)]
    entities = {one.name: sorted(one.supported_entities) for scan in scanners for one in scan.recognizers}
    if config.recognizers == "all":
        entities |= {one.name: [one.entity] for one in RECOGNIZERS}
    if config.has_model:
        from headrace.pipelines.stages.pii.ner import search as ner_search  # as above

        entities[f"{config.ner.engine} model"] = ner_search.entities(config.ner)
    return {name: entities[name] for name in sorted(entities.keys() - set(config.without))}
