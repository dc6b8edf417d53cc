"""The report's first page: ship, mend or don't tune, in one sentence, its reasons, and what is not known.

What: run.json says what was decided (`verdict`), what the data are fit for (`advice`), how the last command
ended (`ended`) and what is of something else by now (`stale`). The sentence is that of the gravest of these;
nothing is measured or weighed here.

Cost: none to speak of; run.json alone.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Literal, NamedTuple

from headrace.pipelines.evaluate import decision
from headrace.pipelines.evaluate.config import LEAST
from headrace.pipelines.report import comparison, plots

Run = Mapping[str, Any]
Mood = Literal["good", "warn", "bad", "none"]

STRONGEST = 3  # reasons on the first page
NAMED = 3  # gates in the sentence
MOODS: Mapping[str, Mood] = {"ship": "good", "mend": "warn", "do_not_tune": "bad"}
ADVICE: Mapping[str, Mood] = {"go": "good", "mend first": "warn", "do not tune": "bad"}
FIT = {
    "go": "the data are fit to train on",
    "mend first": "mend the data first",
    "do not tune": "don't tune on these data",
}
LEVELS: Mapping[str, Mood] = {"stop": "bad", "mend": "warn", "note": "none", "fine": "good"}
# Where the end of what was seen meets the advice on what to do: a new sentence.
ADVISED = re.compile(r"(?<=[\w)%])\.\s+(?=[A-Z])")
PIECES = re.compile("`([^`]+)`")


class Reason(NamedTuple):
    """A reason of the decision: what was seen, what to do about it ("" where nothing), and the section of the
    page that shows it.
    """

    words: str
    remedy: str
    section: str
    mood: Mood


class Opening(NamedTuple):
    """The first page: its sentence in two parts, how it looks, reasons with how many more there are, and what
    is not known.
    """

    headline: str
    rest: str
    mood: Mood
    reasons: list[Reason]
    more: int
    missing: list[str]


def view(run: Run) -> Opening:
    """The first page of a run, whatever there is of it."""
    headline, rest, mood = _sentence(run)
    reasons = list(_reasons(run))
    more = max(0, len(reasons) - STRONGEST)
    return Opening(headline, rest, mood, reasons[:STRONGEST], more, list(_missing(run)))


def gates(run: Run, *states: str) -> list[str]:
    """Names of the gates in one of these states, by name."""
    return sorted(name for name, gate in (run.get("gates") or {}).items() if decision.state(gate) in states)


def _decision(run: Run) -> Mapping[str, Any] | None:
    """What was decided, where that is still of what is there, and no command is about to decide anew."""
    return None if run.get("stale") or _under_way(run) else run.get("verdict")


def _under_way(run: Run) -> bool:
    """Whether a command has begun and not said how it ended: it is at work, or was killed."""
    ended = run.get("ended")
    return _unfinished(run) if ended is None else ended.get("code") is None


def _sentence(run: Run) -> tuple[str, str, Mood]:
    """What is decided, what goes with it, and how it looks."""
    ended, rows = run.get("ended") or {}, run.get("rows") or {}
    if unbalanced(rows):
        return "Do not use this output", "the books do not balance", "bad"
    decided = _decision(run)
    if _under_way(run):
        return "Not done yet", f"headrace {ended.get('command', 'prepare')} has not come to its end", "warn"
    if (_unfinished(run) or not decided) and ended.get("code"):
        whole = ended.get("gate") and not _unfinished(run)
        headline = "Mend it first" if whole else "Stopped before it was done"
        return headline, decision.sentence(ended.get("words")), "bad"
    if decided:
        return str(decided["words"]), _moved(run), MOODS.get(str(decided["decision"]), "none")
    if run.get("stale"):
        what = "the evaluation" if "evaluate" in run["stale"] else "the adapter"
        return "Not decided", f"{what} that is there {next(iter(run['stale'].values()))}", "warn"
    if _scores(run):
        return "Not decided", _moved(run), "warn"
    if run.get("train"):
        return "Not decided yet", "a model is trained, and was not held against its base", "warn"
    advised = str((run.get("advice") or {}).get("verdict"))
    if advised in FIT:
        return "No model yet", FIT[advised], ADVICE[advised]
    return "No model yet", "this report covers the preparation of the data alone", "none"


def _unfinished(run: Run) -> bool:
    """Whether the data were not prepared to their end: books without a digest, or none at all."""
    ended = run.get("ended")
    began = bool(run.get("rows")) if ended is None else ended.get("code") != 0
    return began and "digest" not in run


def unbalanced(rows: Mapping[str, Any]) -> bool:
    """Whether books do not add up."""
    out = sum((rows.get("dropped") or {}).values()) + sum((rows.get("quarantined") or {}).values())
    return bool(rows) and rows.get("in", 0) != rows.get("kept", 0) + out


def _moved(run: Run) -> str:
    """What the metric that decides did, and what the gates say, as a clause."""
    name, primary = decision.deciding(_scores(run)) or ("", {"base": None, "tuned": None})
    clause = "the metric that decides was not measured"
    primary = {**primary, **(primary.get("clean") or {})}  # the decision is one over clean rows
    if None not in (primary["base"], primary["tuned"]):
        n = primary["n"]
        told = comparison.called(name)
        clause = f"{told} went from {plots.figures(primary['base'])} to {plots.figures(primary['tuned'])}"
        clause += f" {comparison.UNITS[name]}" if name in comparison.UNITS else ""
        clause += f" on {n:,} held-out sample{'s' if n != 1 else ''} ({_verdict(primary)})"
    rang = gates(run, "fail", "warn")
    held = len(gates(run, "pass"))
    if rang:
        names = ", ".join(rang[:NAMED]) + (f" and {len(rang) - NAMED} more" if len(rang) > NAMED else "")
        ring = "rings" if len(rang) == 1 else "ring"
        return f"{clause}, but {len(rang)} of {held + len(rang)} gates (checks for damage) {ring}: {names}"
    return f"{clause}, and all {held} gates (checks for damage) hold" if held else clause


def _verdict(score: Mapping[str, Any]) -> str:
    return "too few samples" if score["n"] < LEAST else str(score["verdict"])


def _scores(run: Run) -> dict[str, Any]:
    return {name: s for name, s in (run.get("evaluate") or {}).items() if isinstance(s, Mapping)}


def _reasons(run: Run) -> Iterator[Reason]:
    """Reasons of the decision, or of the advice where nothing is decided; the strongest first."""
    decided = _decision(run)
    for one in (decided or {}).get("reasons") or ():
        seen, remedy = _parted(str(one["words"]))
        yield Reason(seen, remedy, _section(str(one["code"])), MOODS.get(str(one["for"]), "none"))
    if decided:
        return
    for gate in gates(run, "fail"):
        if gate != (run.get("ended") or {}).get("gate"):  # what ended the run stands in full above
            seen, remedy = _parted(decision.sentence(run["gates"][gate].get("words")))
            yield Reason(f"the gate {gate} failed: {seen}", remedy, "gates", "bad")
    if (run.get("advice") or {}).get("reasons"):
        for one in sorted(run["advice"]["reasons"], key=lambda r: list(LEVELS).index(r["level"])):
            seen, remedy = _parted(str(one["words"]), "; ")
            yield Reason(seen, remedy, "advice", LEVELS[one["level"]])


def _parted(words: str, mark: str = "") -> tuple[str, str]:
    """What was seen, and what to do: two clauses, without the stop at their end."""
    if mark:
        seen, _, remedy = words.partition(mark)
    else:
        seen, *rest = ADVISED.split(words, maxsplit=1)
        remedy = rest[0] if rest else ""
    return seen.strip().rstrip("."), remedy.strip().rstrip(".")


def _section(code: str) -> str:
    """The section of the page that shows what a reason is of."""
    for prefix, section in (("evaluate", "evaluation"), ("train.", "training"), ("advice.", "advice")):
        if code.startswith(prefix):
            return section
    return "gates"


def _missing(run: Run) -> Iterator[str]:
    """What is not known of this run, each as a sentence without its stop."""
    if _unfinished(run):
        if not run.get("rows"):
            yield "No records are counted: nothing was read to its end"
        else:
            yield "The books are those of what was committed when it ended"
        yield "Duplicates, splits and packed rows are not there, or not all of them"
    if not run.get("train") and not run.get("evaluate"):
        yield "No model has been trained: `headrace train` on the recipe does so"
    elif not run.get("evaluate"):
        yield "The tuned model was not held against its base: `headrace evaluate` on the recipe does so"
    for name in (run.get("advice") or {}).get("not_looked_at") or ():
        yield f"{UNSEEN.get(name, name.replace('_', ' ').capitalize() + ' were not looked at')}"


UNSEEN = {
    "leaks": "Leaks of public evaluation sets were not looked for: `decontaminate.against` names the sets",
    "spot_check": "No person has rated rows: `headrace sample` draws some",
    "label_noise": "Labels were not checked: no source has any",
}


def quoted(text: str) -> list[tuple[str, bool]]:
    """Pieces of a text, and whether each stands between backticks, as code does in a terminal."""
    return [(piece, at % 2 == 1) for at, piece in enumerate(PIECES.split(text)) if piece]


def facts(run: Run, recipe: Mapping[str, Any], directory: str) -> list[tuple[str, str]]:
    """What a stranger asks first: which model, when, where, on how many rows, how surely."""
    primary = decision.deciding(_scores(run))
    told: list[tuple[str, str]] = []
    if recipe.get("model"):
        told.append(("Base model", str(recipe["model"])))
    if run.get("train") and "train" not in (run.get("stale") or {}):
        told.append(("Adapter", f"{directory.rstrip('/')}/adapter"))
    if primary and not run.get("stale"):
        name, score = primary
        split = (recipe.get("evaluate") or {}).get("split", "test")
        told.append(
            ("Judged on", f"{score['n']:,} held-out samples of {split}, by {comparison.called(name)}")
        )
        told.append(("Intervals", "95%: in ninety-five of a hundred such runs they hold the true value"))
    told.append(("Run", directory))
    if run.get("date"):
        command = (run.get("ended") or {}).get("command")
        told.append(
            ("Last command", f"headrace {command}, ended {run['date']}" if command else str(run["date"]))
        )
    return told
