"""All findings in texts: Presidio's recognisers and ours together, as the recipe's `pii` asks for them.

A text that wears other dress than plain (`dress`) is looked through twice, as it is and as it is meant: what
is found in the latter alone is found where it stands in the former. The step `dress` can be left out.
"""

import functools
import re
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from headrace.cluster.errors import RecipeError
from headrace.pipelines import arrays
from headrace.pipelines.section import hint
from headrace.pipelines.stages.pii.config import Config, Ner
from headrace.pipelines.stages.pii.dress import Plain, may_be_dressed, undressed_suspect
from headrace.pipelines.stages.pii.findings import Finding, Findings
from headrace.pipelines.stages.pii.overlaps import without_weaker
from headrace.pipelines.stages.pii.own_scanner import own_scanner
from headrace.pipelines.stages.pii.presidio.recognizer_names import LOCALES
from headrace.pipelines.stages.pii.presidio.scanner import Scanner, scanner
from headrace.pipelines.stages.pii.presidio.setup import LANGUAGE
from headrace.pipelines.stages.pii.recognizers.catalogue import RECOGNIZERS
from headrace.pipelines.stages.pii.together import by_text, sorted_but, together, with_others

# What stands before an address in the address of a site, and nearly never in one of a mailbox.
AHEAD = re.compile(r"[^@]*[/=?&|{}'*#^!$~`](?=[^@])")


def findings_in(texts: pa.Array, config: Config) -> Findings:
    """Findings of all texts (string or large_string[N]) in order, whatever their score.

    Of equal texts (system prompts, greetings) one is looked through for all.
    """
    coded = texts.cast(pa.large_string()).dictionary_encode()
    found = _findings(coded.dictionary, config)
    return _spread(found, coded.indices) if len(coded.dictionary) < len(coded) else found


def _spread(found: Findings, numbers: pa.Array) -> Findings:
    """Findings in distinct texts as those of all texts, of which `numbers` has each one's (null: no text)."""
    of = numbers.fill_null(-1).to_numpy(zero_copy_only=False)
    count = int(of.max(initial=-1)) + 2  # the last is that of no text
    sizes = np.bincount(found.rows, minlength=count)
    failed = np.isin(of, list(found.failures))
    failures = {row: found.failures[of[row]] for row in np.flatnonzero(failed).tolist()}
    spread = found.taken(arrays.ranges(arrays.offsets(sizes)[of], sizes[of]))
    return spread._replace(rows=np.repeat(np.arange(len(of)), sizes[of]), failures=failures)


def _findings(texts: pa.Array, config: Config) -> Findings:
    """Findings in texts (large_string[N]) as they are and, of those in other dress, as they are meant."""
    found = _found(texts, config)
    if config.recognizers != "all" or "dress" in config.without:
        return found
    rows = may_be_dressed(texts)
    both = ((row, text, undressed_suspect(text)) for row, text in zip(rows, _texts(texts, rows), strict=True))
    dressed = {int(row): (text, plain) for row, text, plain in both if plain}
    return _with_dressed(found, dressed, config) if dressed else found


def _texts(texts: pa.Array, rows: Sequence[int] | NDArray[np.int64]) -> list[str]:
    chosen: list[str] = texts.take(pa.array(rows, pa.int64())).to_pylist()
    return chosen


def _with_dressed(found: Findings, dressed: dict[int, tuple[str, Plain]], config: Config) -> Findings:
    """`found`, and what is found in the texts (by row) that are `dressed`, as they are meant.

    Of the latter what is not replaced tells nothing that the former does not. No model is asked again, and
    what is far from all dress is not looked through again.
    """
    patterns = config.model_copy(update={"ner": Ner()})
    parts = [(row, *span) for row, (_, plain) in dressed.items() for span in plain.windows()]
    texts = [dressed[row][1].text[start:end] for row, start, end in parts]
    again = _found(pa.array(texts, pa.large_string()), patterns)
    more: dict[int, list[Finding]] = {}
    for at, finding in zip(again.rows.tolist(), again.findings, strict=True):
        if finding.score < config.threshold or _is_kept(finding.entity, config):
            continue
        row, shift, _ = parts[at]
        moved = finding._replace(start=finding.start + shift, end=finding.end + shift)
        more.setdefault(row, []).append(_original(dressed[row][1], moved))
    there = found.of_texts(more)
    by_row = by_text(found.taken(there))
    for row, findings in more.items():
        known = by_row.get(row, [])
        spans = {(one.start, one.end, one.entity) for one in known}
        both = known + [one for one in findings if (one.start, one.end, one.entity) not in spans]
        if len(both) > len(known) and "overlaps" not in config.without:
            idle = frozenset(one.entity for one in both if _is_idle(one.entity, config))
            both = without_weaker(dressed[row][0], both, idle)
        by_row[row] = sorted(both)
    failures = {**found.failures, **{parts[at][0]: cause for at, cause in again.failures.items()}}
    pairs = ((row, one) for row, findings in by_row.items() for one in findings)
    return with_others(found.taken(~there)._replace(failures=failures), pairs)


def _original(plain: Plain, finding: Finding) -> Finding:
    """A finding in a plain text, where it stands in the text that it was."""
    first = finding.start
    if finding.entity == "EMAIL_ADDRESS":
        ahead = AHEAD.match(plain.text, first, finding.end)
        first = ahead.end() if ahead else first
    start, end = plain.origin(first, finding.end)
    return finding._replace(start=start, end=end)


def _is_idle(entity: str, config: Config) -> bool:
    return config.kind_of(entity, "") == "keep"


def _is_kept(entity: str, config: Config) -> bool:
    """Whether no role replaces values of `entity`."""
    return all(config.kind_of(entity, role) == "keep" for role in ("", *config.roles))


def _found(texts: pa.Array, config: Config) -> Findings:
    """Findings in texts (large_string[N]) as they are."""
    off = frozenset(config.without)
    parts = [scanner(config.context).find(texts)]
    parts += [_abroad(locale, config.context).find(texts) for locale in sorted(set(config.locales))]
    if config.recognizers == "all":
        parts.append(own_scanner(off).find(texts))
    if config.has_model:
        from headrace.pipelines.stages.pii.ner import search as ner_search  # what it imports takes seconds

        parts.append(ner_search.names(texts, config.ner))
    if config.recognizers != "all":
        return sorted_but(parts, off)
    return together(texts, parts, off, functools.partial(_is_idle, config=config))


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
