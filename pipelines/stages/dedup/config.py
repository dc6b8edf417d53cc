"""The config of `dedup`, apart from its code."""

from typing import Literal

from pydantic import Field, model_validator

from headrace.pipelines.section import Section
from headrace.pipelines.stages.fingerprint.config import KEYED


class Passages(Section):
    """What becomes of passages that many plain texts share."""

    enabled: bool = False
    """Look for passages (boilerplate) that several texts share. Conversations are left alone."""
    average: int = Field(128, ge=32, le=65536)
    """About how many bytes a chunk has, by which passages are found; none shorter than half of it is. The
    smaller, the more of short boilerplate is found."""
    copies: int = Field(3, ge=2)
    """Least number of rows that share a repeated passage. Two may quote one another."""
    action: Literal["cut", "mark"] = "cut"
    """cut: leave it in the first of the rows, by the order that decides which duplicate stays, and cut it
    from the others; mark: only list it in duplicates/."""


class Config(Section):
    """What counts as a duplicate."""

    exact: bool = True
    """Remove rows with the same roles and contents."""
    near: bool = True
    """Remove rows whose prompt and answer are each alike (exact copies among them). Answers that come to
    different results (a number, yes or no, what code returns) are no duplicates: both rows stay, on one side
    of the split, and `examine.contradictions` looks at them. With `sources[].loss: last` a conversation and
    one that goes on from it are none either."""
    passages: Passages = Passages()
    threshold: float = Field(0.8, gt=0, le=1)
    """Least Jaccard similarity of both parts, over windows of the folded text; where one part is too short to
    compare and equal, what differs in the other counts double (.8 asks for .9), and beside a very short
    answer ("true") only the same prompt goes: others are listed as alike and share a side of the split. Below
    .7 many pairs are never looked at: see `candidates` for the share that is found."""
    candidates: Literal["bands", "simhash", "both"] = "bands"
    """How rows that may be alike are found; all of them are then compared by their texts. bands: rows that
    share a band of the MinHash of a part, .985 of the pairs at a similarity of .80, nearly all above .85.
    simhash: rows whose SimHashes differ in few bits of 64 (up to 12, by `threshold`), nearly all pairs above
    .9, some 9 of 10 from .80 to .85; takes longer. both: what either finds."""
    margin: float = Field(0.05, ge=0, lt=1)
    """Pairs this far below the threshold are listed as borderline, and share a side of the split."""
    min_features: int = Field(160, ge=1, le=KEYED)
    """Parts with fewer windows are compared as they are, after folding case and spaces: in a sentence one
    word, often a short one, makes another statement and would pass a threshold of .8 (with 72 windows, 20 of
    158,000 different sentences of 112 languages did, a "not" among them; with 160 none)."""
    against: tuple[str, ...] = ()
    """Earlier runs and fingerprint directories (`headrace fingerprints`), local or s3://: rows like one
    that those hold are removed, and name the run and the row."""
    alarm: float = Field(0.5, gt=0, le=1)
    """Share of a source's rows; where more than that goes as duplicates, the run says so."""
    on_alarm: Literal["warn", "stop"] = "warn"
    """stop: end the run then (exit 3) before anything is packed; it goes on where `alarm` is raised."""

    device: Literal["auto", "cpu", "gpu"] = "auto"
    """What sketches texts, and compares their SimHashes where `candidates` asks for that: auto takes the
    cluster's GPUs where it has any, for sketches by a pool of actors with one each; gpu refuses to run
    without. The result is the same to the bit."""

    @model_validator(mode="after")
    def _something_to_compare(self) -> "Config":
        if self.against and not (self.exact or self.near):
            raise ValueError("against needs exact or near: nothing is compared without them")
        return self
