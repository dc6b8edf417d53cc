"""Ship, mend, or don't tune: one word for a run, and the reasons that it rests on, the gravest first.

What: taken together are the verdict of the metric that decides, every gate, what training's watch has said,
and the advice on the data. Nothing is measured here.

    do_not_tune   the tuned model is worse; the base is as good as right already, or better with examples or
                  passages in its prompt; the advice says so
    mend          no gain could be shown over the base, over what a prompt makes of it or over an earlier
                  adapter; or a gate rang: what only warns has no exit code, and is broken all the same
    ship          better, and no gate rang; what training's watch has said is told beside it

All of that over the samples that do not stand in the training rows. Without an evaluation that is of today's
adapter and rows there is no word.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Literal, NamedTuple

from headrace.pipelines.evaluate.config import LOWER_IS_BETTER, SHOTS

Decision = Literal["ship", "mend", "do_not_tune"]


class Way(NamedTuple):
    """Another way than this tuning. arms: what the names of its arms begin with; better, equal: what it says
    of the tuned model where it is better beyond chance, and where it cannot be told apart; instead: what to
    do then.
    """

    arms: str
    code: str
    better: Decision
    equal: Decision
    instead: str


# A prompt costs no training and nothing that tuning breaks, so it has to be beaten; so has an adapter that is
# there. A larger base costs more at each answer: that it is better is told, and is no reason against tuning.
WAYS = (
    Way(
        SHOTS,
        "evaluate.few_shot",
        "do_not_tune",
        "mend",
        "prompt the base with examples instead, or show a gain over that",
    ),
    Way(
        "retrieval",
        "evaluate.retrieval",
        "do_not_tune",
        "mend",
        "give the base the documents instead, or show a gain over that",
    ),
    Way("earlier", "evaluate.earlier", "mend", "mend", "keep the earlier adapter, or show a gain over it"),
    Way("larger", "evaluate.larger", "ship", "ship", "weigh what each costs at each answer"),
)
WORDS: dict[Decision, str] = {
    "ship": "Ship it",
    "mend": "Mend it first",
    "do_not_tune": "Don't tune: use the base",
}
ORDER: tuple[Decision, ...] = ("do_not_tune", "mend", "ship")
OF_SHOTS = re.compile(rf"{SHOTS}(\d+)_(alike|random)")
DRAWN = {"alike": "like the question", "random": "drawn at random"}
NO_METRIC = "name one under evaluate.primary that applies to these answers"
GOOD = 0.95  # of a metric that ends at 1, above which a base leaves little to learn
TO_ONE = {"exact_match", "label_f1", "entity_f1", "sql", "code", "score", "json_schema", "token_accuracy"}


class Reason(NamedTuple):
    """One reason for a decision, as the sentence that a reader needs."""

    decision: Decision
    code: str
    words: str


def decide(run: Mapping[str, Any]) -> dict[str, Any] | None:
    """`verdict` of run.json, from what its other sections say; None where nothing was evaluated.

    run: run.json with evaluate, seeds, power, gates, train, advice and stale, each as far as it is there.
    """
    scores = run.get("evaluate") or {}
    if scores.get("stale") or not (primary := deciding(scores)):
        return None
    found = sorted(_reasons(run, *primary), key=lambda reason: ORDER.index(reason.decision))
    decision = found[0].decision
    return {
        "decision": decision,
        "words": WORDS[decision],
        "reasons": [{"for": r.decision, "code": r.code, "words": r.words} for r in found],
    }


def deciding(scores: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]] | None:
    """The metric that decides, and its score."""
    named = ((name, score) for name, score in scores.items() if isinstance(score, Mapping))
    return next(((name, score) for name, score in named if score.get("primary")), None)


def _reasons(run: Mapping[str, Any], name: str, score: Mapping[str, Any]) -> Iterator[Reason]:
    clean = {**score, **score.get("clean", {})}
    yield _measured(run, name, clean, score["n"] - clean["n"])
    yield from _beside_arms(name, clean)
    yield from _beside_seeds(run.get("seeds"), name, clean)
    for gate, said in sorted((run.get("gates") or {}).items()):
        if state(said) == "fail":
            yield Reason("mend", gate, f"the gate {gate} failed: {sentence(said.get('words'))}")
        elif state(said) == "warn":
            yield Reason("mend", gate, f"the gate {gate} warns: {sentence(said.get('words'))}")
    for warning in (run.get("train") or {}).get("warnings") or ():
        yield Reason("ship", f"train.{warning['code']}", sentence(warning.get("words")))
    advice = run.get("advice") or {}
    stops = [r for r in advice.get("reasons") or () if r.get("level") == "stop"]
    if advice.get("verdict") == "do not tune" and stops:
        yield Reason("do_not_tune", f"advice.{stops[0]['code']}", sentence(stops[0]["words"]))


def state(gate: Mapping[str, Any]) -> str:
    """pass, warn or fail, of a gate as run.json has it."""
    return str(gate.get("state") or ("pass" if gate.get("passed") else "fail"))


def named(arm: str) -> str:
    """What people call an arm."""
    if match := OF_SHOTS.fullmatch(arm):
        return f"the base with {match[1]} example{'s' if match[1] != '1' else ''} {DRAWN[match[2]]}"
    words = {
        "retrieval": "the base with passages of the documents",
        "earlier": "the earlier adapter",
        "larger": "the larger base",
    }
    return words.get(arm, arm.replace("_", " "))


def _measured(run: Mapping[str, Any], name: str, score: Mapping[str, Any], contaminated: int) -> Reason:
    """What the metric that decides says, of the samples that do not stand in training."""
    base, tuned, n = score["base"], score["tuned"], score["n"]
    told = name.replace("_", " ")
    if contaminated and not n:
        return Reason("mend", "evaluate", f"all {contaminated:,} held-out samples stand in the training rows")
    if base is None or tuned is None:
        return Reason("mend", "evaluate", f"{told}, which decides, could not be measured: {NO_METRIC}")
    moved = f"{told} went from {base:.4g} to {tuned:.4g} over {n:,} held-out samples"
    if contaminated:
        moved += f" ({contaminated:,} more stand in the training rows)"
    if score["verdict"] == "better":
        return Reason("ship", "evaluate", f"{moved}: better, beyond chance")
    if score["verdict"] == "worse":
        return Reason("do_not_tune", "evaluate", f"{moved}: worse than the base, beyond chance")
    if score["verdict"] == "too few samples":
        held = "1 held-out sample" if n == 1 else f"{n:,} held-out samples"
        return Reason("mend", "evaluate", f"{held} can show nothing: hold out more")
    if name in TO_ONE and base >= GOOD:
        return Reason(
            "do_not_tune", "evaluate", f"{moved}: the base has it right already, so prompt it instead"
        )
    power = sentence((run.get("power") or {}).get("words"))
    more = f" ({power})" if power else ""
    return Reason("mend", "evaluate", f"{moved}: no gain that chance does not explain{more}")


def _beside_arms(name: str, score: Mapping[str, Any]) -> Iterator[Reason]:
    """What speaks for another way than this tuning: of each the arm that is better beyond chance, else the
    best.
    """
    arms = {arm: held for arm, held in score.get("arms", {}).items() if held["value"] is not None}
    sign = 1 if name in LOWER_IS_BETTER else -1
    ranked = sorted(arms, key=lambda arm: (arms[arm]["verdict"] != "worse", sign * arms[arm]["value"], arm))
    for way in WAYS:
        arm = next((arm for arm in ranked if arm.startswith(way.arms)), None)
        if arm is None:
            continue
        told = f"{named(arm)} reaches {arms[arm]['value']:.4g} in {name.replace('_', ' ')}, the tuned model"
        told += f" {score['tuned']:.4g}"
        verdict = arms[arm]["verdict"]
        if verdict == "worse":
            yield Reason(way.better, way.code, f"{told}: better, beyond chance; {way.instead}")
        elif verdict == "better":
            yield Reason("ship", way.code, f"{told}: the tuned model is better, beyond chance")
        elif score["verdict"] == "better":  # else there is no gain that could be had another way
            words = f"{told}: no difference that chance does not explain; {way.instead}"
            good = name in TO_ONE and arms[arm]["value"] >= GOOD  # there is nothing left to gain over it
            yield Reason(way.better if good else way.equal, way.code, words)


def _beside_seeds(seeds: Mapping[str, Any] | None, name: str, score: Mapping[str, Any]) -> Iterator[Reason]:
    """What trainings with other seeds say of a gain."""
    if not seeds or seeds["metric"] != name or score["verdict"] != "better":
        return
    gain, spread = abs(score["tuned"] - score["base"]), seeds["spread"]
    told = f"{len(seeds['values'])} seeds of training lie {spread:.4g} apart in {name.replace('_', ' ')}"
    if spread < gain:
        yield Reason("ship", "evaluate.seeds", f"{told}, less than the gain of {gain:.4g}")
    else:
        words = f"{told}, and the gain is {gain:.4g}: another seed may show none; train on more rows"
        yield Reason("mend", "evaluate.seeds", words)


def sentence(words: Any) -> str:
    """The first line of what was said, without the stop at its end."""
    return str(words or "").strip().partition("\n")[0].rstrip(".")
