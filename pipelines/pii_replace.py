"""Replacing what was found by tags.

What: of a text's findings, those to be replaced are joined where they overlap, and each such stretch
becomes one tag, ``<ENTITY>``, of the finding that counts most: higher score, then longer, then earlier,
then by the entity's name. The whole stretch goes, so that no digits of a weaker finding stay behind.

Cost: a Python step a finding; texts without one are never touched.
"""

from collections.abc import Iterable

from pipelines.pii_presidio import Finding


def stretches(findings: Iterable[Finding]) -> list[Finding]:
    """Findings that overlap joined into one that spans them all, with the entity of the strongest; sorted."""
    joined: list[list[Finding]] = []
    end = -1
    for finding in sorted(findings):
        if finding.start < end:
            joined[-1].append(finding)
        else:
            joined.append([finding])
        end = max(end, finding.end)
    return [_widened(group) for group in joined]


def replaced(text: str, found: Iterable[Finding]) -> str:
    """`text` with each of the stretches `found` (apart, sorted) as a tag."""
    parts, at = [], 0
    for finding in found:
        parts += [text[at : finding.start], f"<{finding.entity}>"]
        at = finding.end
    return "".join([*parts, text[at:]])


def _widened(group: list[Finding]) -> Finding:
    strongest = min(group, key=lambda f: (-f.score, f.start - f.end, f.start, f.entity))
    return strongest._replace(start=min(f.start for f in group), end=max(f.end for f in group))
