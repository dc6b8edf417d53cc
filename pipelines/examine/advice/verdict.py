"""One verdict, and the reasons it rests on: go, mend first, do not tune.

What: each reason has a code, a level, words, a number, rows to look at, a command that shows them, and the
source of its rule. A reason of level "stop" makes the verdict *do not tune*, else one of level "mend" makes
it *mend first*; "note" and "fine" leave it at *go*. What nobody has looked at is said to be that.

Why: a tired reader wants one word first, and then only what it rests on.
Source: at each rule.
"""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from headrace.pipelines.examine.advice import looks
from headrace.pipelines.examine.advice.config import Config, Kind
from headrace.pipelines.examine.advice.facts import CHECKS, Facts
from headrace.pipelines.examine.advice.reasons import LEVELS, OWN, Level, Reason, reason
from headrace.pipelines.examine.advice.sizes import LABELLED, LIMA, SETFIT, kind_of, size_of

VERDICTS: dict[Level, str] = {"stop": "do not tune", "mend": "mend first", "note": "go", "fine": "go"}
NONE = 0.9  # share of rows without an answer from which there is nothing to learn
ASKED = 0.02  # share of rows that ask for facts below which that is not worth a word
TEST = 100  # rows of a test set below which hardly any gain can be told: an interval of 10 points each way
REWORDED = 0.1  # effective prompts a row below which most rows teach nothing new
LOST = 0.5  # share of records lost above which the recipe reads them wrongly, or the data is another
ERRORS = "https://arxiv.org/abs/2411.00640"
RETRIEVE = "https://arxiv.org/abs/2312.05934, https://arxiv.org/abs/2405.05904"


class Advice(NamedTuple):
    """A verdict, its reasons (the gravest first), the kind of set, and what nobody looked at."""

    verdict: str
    reasons: list[Reason]
    kind: Kind
    why_kind: str
    unseen: list[str]


def advise(facts: Facts, config: Config) -> Advice:
    """The verdict on a set."""
    kind, why = kind_of(facts, config)
    found = list(_reasons(facts, config))
    found.sort(key=lambda one: LEVELS.index(one.level))
    unseen = [name for name in CHECKS if name not in facts.checks]
    unseen += ["traits"] if facts.tasks is None else []
    return Advice(VERDICTS[found[0].level], found, kind, why, unseen)


def as_json(advice: Advice, facts: Facts) -> dict[str, Any]:
    """`advice` of run.json."""
    return {
        "verdict": advice.verdict,
        "reasons": [one._asdict() for one in advice.reasons],
        "kind": advice.kind,
        "why_kind": advice.why_kind,
        "effective_prompts": facts.effective,
        "rows": facts.rows,
        "not_looked_at": advice.unseen,
    }


def _reasons(facts: Facts, config: Config) -> Iterator[Reason]:
    yield _size(facts, config)
    if not facts.rows:
        return
    for one in (
        _facts,
        _lost,
        looks.opened,
        _diversity,
        _contradictions,
        _labels,
        _leaks,
        _test,
        _shortened,
        _checked,
    ):
        found = one(facts, config)
        if found is not None:
            yield found
    yield from _structure(facts, config)
    empty = int((facts.flags or {}).get("empty_answer", 0))
    if facts.told and empty >= NONE * facts.told and config.suspect < 1:
        words = (
            f"{empty:,} of {facts.told:,} rows have no answer of an assistant, so nothing can be learnt but "
            "how users write (if you train for that: `advise.suspect: 1`); name the column or "
            "the roles of answers"
        )
        yield reason(facts, "answers", "stop", words, empty / facts.told, OWN, of="empty_answer")
        return
    yield from looks.of_forms(facts, config)
    yield from looks.of_flags(facts, config)


def _size(facts: Facts, config: Config) -> Reason:
    kind, _ = kind_of(facts, config)
    size, n = size_of(kind, config), facts.size
    counted = f"{n:,} effective example{'s' * (n != 1)}"
    rows = f"{counted} of {facts.rows:,} rows" if n < facts.rows else f"{facts.rows:,} rows"
    rows = f"{facts.rows:,} row" if facts.rows == 1 else rows
    few = f"under {size.least:,} expect nothing"
    if not facts.rows:
        words = f"none of {facts.records:,} records is left to learn from: look at shape and columns first"
        show = f"headrace rejected {facts.name}" if facts.name else "headrace check RECIPE"
        return reason(facts, "size", "stop", words, 0, OWN, show=show)
    if facts.partial and n < size.some:
        words = f"{rows} in the sample, and the files hold more: raise --sample to tell ({size.means})"
        return reason(facts, "size", "note", words, n, size.source)
    each = facts.rows // facts.labels if facts.labelled > facts.rows / 2 and facts.labels else 0
    if n < size.some and each >= LABELLED:
        words = (
            f"{rows}, and {each:,} rows a label: {LABELLED} are where labels begin to be learnt, though a"
            " plain classifier may learn them as well: hold the gain against one"
        )
        return reason(facts, "size", "note", words, n, SETFIT)
    if n < size.least:
        words = f"{rows}: {few} for a {kind} set. {instead(n)}"
        return reason(facts, "size", "stop", words, n, size.source)
    if n < size.some:
        words = (
            f"{rows}: between {size.least:,} and {size.some:,} a gain is a matter of luck; gather "
            f"{size.some - n:,} more that ask other things, or hold the gain against a prompt with examples"
        )
        return reason(facts, "size", "mend", words, n, size.source)
    if n < size.enough:
        words = f"{rows} can be enough: {size.means}"
        return reason(facts, "size", "note", words, n, size.source)
    return reason(facts, "size", "fine", f"{rows} are enough for a {kind} set: {size.means}", n, size.source)


def instead(n: int) -> str:
    """What to do with so few examples."""
    if n < 6:  # nothing would be left to measure by
        return "Put them into the prompt of a good model, and gather more to measure it on"
    if n < 100:
        some = min(n - n // 3, 20)
        return f"Put up to {some} of them into the prompt of a good model, and measure it on the others"
    return (
        "Put the best 20 into the prompt of a good model, measure it on the others, and gather more meanwhile"
    )


def _facts(facts: Facts, config: Config) -> Reason | None:
    """Whether the rows teach what a model is to know: that is retrieval; how it is to act is tuning."""
    if not facts.tasks or not facts.told:
        return None
    n = int(facts.tasks.get("knowledge", 0))
    share = n / facts.told
    known = sorted((facts.rules or {}).items())
    rules = [f"{k.partition('.')[2].replace('_', ' ')} {v:,}" for k, v in known if k.startswith("knowledge.")]
    by = f", by rule: {', '.join(rules)}" if rules else ""
    told = f"{share:.0%} of the rows ask for facts alone, as it looks ({n:,} of {facts.told:,}{by})"
    more: dict[str, Any] = {"of": "knowledge"}
    if facts.labelled > facts.rows / 2:
        return reason(facts, "facts", "fine", "the answers are labels: no facts are taught", 0, RETRIEVE)
    reasoned = kind_of(facts, config)[0] == "traces"  # what they teach is how to come to the answer
    if share >= config.facts and not reasoned:
        words = (
            f'{told}: "it does not know" is a case for retrieval; tune where it "does not act or sound" right'
        )
        return reason(facts, "facts", "stop", words, share, RETRIEVE, **more)
    if share >= config.facts / 2 and not reasoned:
        words = (
            f"{told}: put what the base model does not know yet into retrieval and leave those rows out "
            "(`traits: {drop: {task: [knowledge]}}`); new facts are learnt slowly and make it invent others"
        )
        return reason(facts, "facts", "mend", words, share, RETRIEVE, **more)
    if share >= ASKED:
        words = f"{told}: what the base model does not know of them is for retrieval"
        return reason(facts, "facts", "note", words, share, RETRIEVE, **more)
    return reason(facts, "facts", "fine", "hardly a row asks for facts alone", share, RETRIEVE)


def _lost(facts: Facts, config: Config) -> Reason | None:
    other = {k: n for k, n in facts.lost.items() if not k.startswith("dedup.")}
    n = sum(other.values())
    if n <= config.suspect * facts.records:
        return None
    first = min(other, key=lambda reason: (-other[reason], reason))
    words = f"{n:,} of {facts.records:,} records were lost before anything was learnt, most by {first}"
    show = f"headrace rejected {facts.name} --reason {first}" if facts.name else "headrace check RECIPE"
    level: Level = "mend" if n > LOST * facts.records else "note"
    return reason(facts, "lost", level, words, n / facts.records, OWN, show=show)


def _diversity(facts: Facts, config: Config) -> Reason | None:
    found, number = facts.checks.get("diversity"), facts.effective
    if found is None or number is None or not found.get("rows"):
        return None
    rows = int(found["rows"])
    share = (facts.different or 0) / rows
    told = f"the prompts ask about {number:,.0f} different things in {rows:,} rows"
    parts = sum(float(cluster["share"]) for cluster in facts.large)
    if parts > REWORDED:
        many = f"{len(facts.large)} groups" if len(facts.large) > 1 else "one group"
        told += (
            f" ({parts:.0%} are alike, in {many}; each group counted once, they are {facts.different:,.0f})"
        )
    largest = list(found.get("largest") or [])
    more: dict[str, Any] = {"rows": largest[0].get("row_ids") if largest else [], "findings": "diversity"}
    if rows < TEST:
        return reason(facts, "diversity", "fine", told, share, LIMA)
    if facts.labelled > facts.rows / 2:
        words = f"{told}: rewordings of the same question are what labels are learnt from"
        return reason(facts, "diversity", "note", words, share, LIMA, **more)
    if share < REWORDED:
        words = (
            f"{told}: few questions in other words; keep some rows of each, and spend the rest on new ones"
        )
        return reason(facts, "diversity", "mend", words, share, LIMA, **more)
    if parts > REWORDED:
        words = f"{told}: look at some, and leave out what only repeats"
        return reason(facts, "diversity", "note", words, share, LIMA, **more)
    return reason(facts, "diversity", "fine", told, share, LIMA)


def _contradictions(facts: Facts, config: Config) -> Reason | None:
    found = facts.checks.get("contradictions")
    if found is None:
        return None
    n, rows = int(found.get("conflicting", 0)), int(found.get("rows", 0)) or facts.rows
    gone = int(found.get("rows_gone", 0))
    largest = list(found.get("largest") or [])
    more: dict[str, Any] = {
        "rows": largest[0].get("row_ids") if largest else [],
        "findings": "contradictions",
    }
    told = f"{n:,} of {rows:,} rows answer the same prompt otherwise ({n / max(rows, 1):.1%})"
    if gone:
        words = f"{told}; {gone:,} of them went by examine.contradictions.policy"
        return reason(facts, "contradictions", "note", words, n / max(rows, 1), OWN, **more)
    if n > config.suspect * rows:
        words = (
            f"{told}: the model can only guess which is right; mend them, or `examine.contradictions.policy`"
        )
        return reason(facts, "contradictions", "mend", words, n / rows, OWN, **more)
    words = told if n else f"no two of {rows:,} rows contradict each other"
    return reason(facts, "contradictions", "note" if n else "fine", words, n / max(rows, 1), OWN, **more)


def _labels(facts: Facts, config: Config) -> Reason | None:
    found = facts.checks.get("label_noise")
    if found is None:
        return None
    labelled = list(found.get("sources") or ())
    sources = [s for s in labelled if s.get("told", True)]
    if not sources:
        names = ", ".join(str(s["source"]) for s in labelled)
        words = f"the prompts hardly tell the labels of {names}: whether those are right nobody looked"
        none = "the answers are no labels (few short ones that come again and again), so none was looked at"
        return reason(facts, "label_noise", "note" if names else "fine", words if names else none, 0, OWN)
    n, rows = int(found.get("suspects", 0)), sum(int(s.get("judged", s.get("rows", 0))) for s in sources)
    gone = found.get("policy", "keep") != "keep"
    share = f"{n / max(rows, 1):.1%}; half of such were, where people looked"
    told = f"{n:,} of {rows:,} labels are likely wrong ({share})"
    more: dict[str, Any] = {"rows": found.get("rows_listed"), "findings": "label_noise"}
    source = "https://arxiv.org/abs/2103.14749"
    if n > config.suspect * rows and not gone:
        words = f"{told}: look at them before training; a day of labelling gains more than a larger model"
        return reason(facts, "label_noise", "mend", words, n / rows, source, **more)
    words = f"{told}; they went by examine.label_noise.policy" if gone and n else told
    words = words if n else f"none of {rows:,} labels looks wrong"
    return reason(facts, "label_noise", "note" if n else "fine", words, n / max(rows, 1), source, **more)


def _leaks(facts: Facts, config: Config) -> Reason | None:
    found = facts.checks.get("leaks")
    if found is None:
        return None
    n, gone = int(found.get("rows_hit", 0)), int(found.get("rows_gone", 0))
    names = ", ".join(sorted(found.get("sets") or {})) or "the evaluation sets"
    listed = [row for row, _ in found.get("listed") or ()]
    source = "https://arxiv.org/abs/2005.14165, appendix C"
    more: dict[str, Any] = {"rows": listed, "findings": "leaks"}
    if n > gone:
        words = f"{n - gone:,} rows hold items of {names} and stay: a score on these sets would mean nothing"
        return reason(facts, "leaks", "mend", words, n - gone, source, **more)
    words = f"{gone:,} rows that held items of {names} went" if gone else f"no row holds an item of {names}"
    return reason(facts, "leaks", "note" if gone else "fine", words, gone, source, **more)


def _test(facts: Facts, config: Config) -> Reason | None:
    n = (facts.sides or {}).get("test")
    if n is None or facts.partial:
        return None
    if n == 0:
        words = f"no row is held out as a test: nothing can show a gain; set `split.test: {TEST}`"
        return reason(facts, "test", "mend", words, 0, ERRORS)
    width = 98 / n**0.5
    roomy = facts.rows >= 3 * TEST
    then = f"set `split.test: {TEST}`" if roomy else "no split of so few rows can show one"
    words = (
        f"{n:,} rows are held out as a test: a gain under {width:.0f} points of 100 cannot be told from luck"
    )
    if n < TEST:
        return reason(facts, "test", "mend", f"{words}; {then}", n, ERRORS)
    return reason(facts, "test", "fine", words, n, ERRORS)


def _shortened(facts: Facts, config: Config) -> Reason | None:
    if facts.shortened <= config.suspect * facts.rows:
        return None
    words = f"{facts.shortened:,} rows lose a part to the length limit: raise `tokenise.max_length`"
    return reason(facts, "shortened", "mend", words, facts.shortened / facts.rows, OWN)


def _checked(facts: Facts, config: Config) -> Reason | None:
    found = facts.checks.get("spot_check")
    if found is None or found.get("pass_rate") is None:  # scores alone say of no row that it is right
        return None
    rate, most = float(found["pass_rate"]), float(found["interval"][1])
    words = f"people found {rate:.0%} of the {found['judged']:,} rows that they judged right"
    if most < 1 - config.suspect:
        words = f"{words}, which makes it {most:.0%} of all at most: mend what they named"
        return reason(facts, "spot_check", "mend", words, rate, OWN)
    return reason(facts, "spot_check", "fine", words, rate, OWN)


def _structure(facts: Facts, config: Config) -> Iterator[Reason]:
    """Formats and reasoning, by their own verdict and words; a few rows are a note, whatever they break."""
    for name in ("formats", "reasoning"):
        found = facts.checks.get(name) or {}
        n = _number(found)
        level: Level = "mend" if n > config.suspect * facts.rows else "note"
        for words in _sentences(found) if found.get("verdict") == "mend" else ():
            yield reason(facts, name, level, words, n, OWN, findings=name)


def _sentences(found: Mapping[str, Any]) -> list[str]:
    words = found.get("words") or []
    return [words] if isinstance(words, str) else list(words)


def _number(found: Mapping[str, Any]) -> int:
    """How many rows a check finds fault with."""
    return int(found.get("faults") or found.get("broken") or sum((found.get("kinds") or {}).values()))
