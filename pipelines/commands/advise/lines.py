"""What `headrace advise` says: a verdict, its reasons, values to start with, memory and cost.

The verdict comes first, and every number with what it rests on. Where the verdict is not to tune, what tuning
would take is said only when it is asked for.
"""

import os
import shutil
from collections.abc import Iterator
from typing import Any

from headrace.cluster.errors import ModelError, UserError
from headrace.pipelines.commands.advise.gather import Gathered
from headrace.pipelines.console import Line
from headrace.pipelines.examine.advice import cost, fit, reasons, start, verdict
from headrace.pipelines.examine.advice.facts import Facts
from headrace.pipelines.recipe import Recipe
from headrace.pipelines.section import hint

EXAMPLE = "h100-80g"  # a GPU to count for where none is named and none is there


def lines(recipe: Recipe, gathered: Gathered, gpu: str | None, *, whole: bool = False) -> Iterator[Line]:
    """Everything that is advised. gpu: of `fit.GPUS`; whole: also what tuning takes where the verdict is not
    to tune.

    Raises: UserError for a GPU that nobody knows.
    """
    named = gpu or recipe.advise.gpu
    if named is not None and named not in fit.GPUS:
        raise UserError(f"no GPU {named!r} is known; {hint(named, fit.GPUS)}")
    facts, prompt, answer = gathered.facts, gathered.prompt, gathered.answer
    advice = verdict.advise(facts, recipe.advise)
    yield Line(f"verdict: {advice.verdict}", {"verdict": advice.verdict, "kind": advice.kind})
    yield _effective(facts)
    yield Line(f"looked at: {gathered.origin}", {"partial": facts.partial})
    for reason in advice.reasons:
        yield from reason_lines(reason)
    if advice.unseen:
        told = ", ".join(name.replace("_", " ") for name in advice.unseen)
        yield Line(f"not looked at: {told}", {"not_looked_at": advice.unseen})
    if advice.verdict == verdict.VERDICTS["stop"] and not whole:
        yield Line(
            "what tuning would take is not worked out for a set that is not to be tuned on; --all does"
        )
        return
    yield Line(f"it teaches: {advice.kind} ({advice.why_kind})", {"kind": advice.kind})
    shapes, unknown = shapes_of(recipe.model)
    if unknown:
        yield Line(f"model: {unknown}; counted for {shapes.name}")
    plan = start.plan(facts, advice.kind, shapes.parameters, recipe.train.batch_size)
    name, found, known = _gpu(named)
    fitted = _fitted(recipe, shapes, found, plan)
    yield from _start(plan, fitted)
    yield from _fit(recipe, shapes, name, known, found, fitted, int(plan.values["rank"]))
    if facts.tokens:
        yield from _cost(recipe, facts, shapes, plan, name, found, fitted, prompt, answer)


def _effective(facts: Facts) -> Line:
    number = facts.effective
    fields = {"effective_prompts": number, "rows": facts.rows}
    if number is None:
        return Line(f"effective prompts: not looked at, of {facts.rows:,} rows", fields)
    return Line(f"effective prompts: {number:,.0f} of {facts.rows:,} rows", fields)


def reason_lines(reason: reasons.Reason) -> Iterator[Line]:
    """A reason with its rows and its source."""
    fields = reason._asdict()
    yield Line(f"  {reason.level}: {reason.code}: {reason.words}", fields)
    if reason.rows or reason.show:
        rows = ", ".join(str(row) for row in reason.rows)
        show = (
            f"rows {rows}" + (f" (`{reason.show}`)" if reason.show else "")
            if rows
            else f"see `{reason.show}`"
        )
        yield Line(f"      {show}")
    if reason.source != reasons.OWN:
        yield Line(f"      source: {reason.source}")


def shapes_of(model: str | None) -> tuple[fit.Shapes, str]:
    """Shapes of the recipe's model; those of a usual size, and why, where they are not known."""
    if model is None:
        return fit.TYPICAL, "the recipe names none"
    from headrace.pipelines.train import models  # torch takes seconds to import

    try:
        shapes = fit.of_config(model, models.configuration(model))
    except ModelError as error:
        return fit.TYPICAL, str(error)
    if shapes is None:
        return fit.TYPICAL, f"{model!r} is of a kind whose sizes are not understood"
    return shapes, ""


def _gpu(named: str | None) -> tuple[str, fit.Gpu | None, str]:
    """Name and sizes of the GPU, and how it is known; without sizes where there is none."""
    if named is not None:
        return named, fit.GPUS[named], "as named"
    if shutil.which("nvidia-smi") is None:
        return EXAMPLE, None, "no GPU was found here"
    import torch

    if not torch.cuda.is_available():
        return EXAMPLE, None, "no GPU was found here"
    own = torch.cuda.get_device_properties(0)
    memory = own.total_memory / fit.GIB
    words = own.name.lower().replace("-", " ").split()
    near = [
        n
        for n, g in fit.GPUS.items()
        if n.partition("-")[0] in words and abs(g.memory - memory) < 0.15 * memory
    ]
    if near:
        return near[0], fit.GPUS[near[0]]._replace(memory=memory), f"found: {own.name}"
    slow = fit.Gpu(memory, 65, 0.3, half=own.major >= 8)
    return own.name, slow, "found, and not in the table: its speed is taken for that of a T4"


def _fitted(recipe: Recipe, shapes: fit.Shapes, gpu: fit.Gpu | None, plan: start.Plan) -> fit.Fitted | None:
    rank, batch = int(plan.values["rank"]), int(plan.values["batch_size"])
    room, size = (gpu.memory, 2 if gpu.half else 4) if gpu is not None else (_memory(), 4)
    return fit.fitted(shapes, room, rank, _length(recipe), batch, size, gpu=gpu is not None)


def _length(recipe: Recipe) -> int:
    return recipe.pack.length or recipe.tokenise.max_length


def _memory() -> float:
    """GiB of this machine."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / fit.GIB


def _start(plan: start.Plan, fitted: fit.Fitted | None) -> Iterator[Line]:
    values = dict(plan.values)
    if fitted is not None and fitted.batch < int(values["batch_size"]):
        values |= {"batch_size": fitted.batch}
    if fitted is not None and fitted.checkpointing:
        values["gradient_checkpointing"] = True
    steps = f", {plan.steps:,} steps" if plan.steps else ""
    text = start.section(values)
    yield Line(
        f"start with this in the recipe{steps}:\n{text}".rstrip(), {"train": values, "steps": plan.steps}
    )
    for why in plan.why:
        yield Line(f"  {why}")


def _fit(
    recipe: Recipe,
    shapes: fit.Shapes,
    name: str,
    known: str,
    gpu: fit.Gpu | None,
    fitted: fit.Fitted | None,
    rank: int,
) -> Iterator[Line]:
    """Memory of the training beside that of the GPU, or of this machine."""
    room, size = (gpu.memory, 2 if gpu.half else 4) if gpu is not None else (_memory(), 4)
    where = (
        f"{name} ({known}, {room:.0f} GiB)" if gpu is not None else f"this machine ({known}; {room:.0f} GiB)"
    )
    length = _length(recipe)
    numbers = "bfloat16" if size == 2 else "float32"
    of = (
        f"{shapes.name}, {shapes.parameters / 1e9:.2f}B parameters in {numbers}, rank {rank}, "
        f"{length:,} tokens a row"
    )
    if fitted is not None:
        parts = ", ".join(f"{part} {n:.1f}" for part, n in fitted.parts.items() if n >= 0.05)
        how = f"batch {fitted.batch}" + (" with gradient_checkpointing" if fitted.checkpointing else "")
        text = f"fit: {of}: {fitted.whole:.1f} GiB at {how} ({parts}): fits on {where}"
        yield Line(text, {"gib": fitted.parts, "fits": True, "batch": fitted.batch})
    else:
        least = fit.memory(shapes, rank, length, 1, size=size, checkpointing=True, gpu=gpu is not None)
        text = f"fit: {of}: {sum(least.values()):.1f} GiB at least, with batch 1 and gradient_checkpointing"
        yield Line(f"{text}: does not fit on {where}", {"gib": least, "fits": False})
        other = fit.largest(room, rank, length, size, gpu=gpu is not None)
        if other is not None:
            yield Line(f"  what fits there: up to {other.name}")
    if gpu is None or fitted is None:
        ones = [
            g
            for g, own in fit.GPUS.items()
            if fit.fitted(shapes, own.memory, rank, length, 1, 2 if own.half else 4)
        ]
        ones.sort(key=lambda g: (fit.GPUS[g].memory, g))
        text = (
            f"the smallest GPU of the table of {fit.DATE} that holds it"
            f"{' (in bfloat16)' if size > 2 and fit.GPUS[ones[0]].half else ''}: {ones[0]}"
            if ones
            else ("no single GPU of the table holds it: take a smaller model")
        )
        yield Line(f"  {text}; --gpu counts for one of {', '.join(fit.GPUS)}", {"smallest": ones[:1]})


def _cost(
    recipe: Recipe,
    facts: Facts,
    shapes: fit.Shapes,
    plan: start.Plan,
    name: str,
    gpu: fit.Gpu | None,
    fitted: fit.Fitted | None,
    prompt: int,
    answer: int,
) -> Iterator[Line]:
    costs = recipe.costs
    hour, sizes = cost.price(costs, name), gpu or fit.GPUS[EXAMPLE]
    if hour is None:
        yield Line(f"cost: no price of {name} is known: set costs.gpu_hour to dollars an hour")
        return
    needs = cost.Needs(
        shapes.parameters,
        facts.tokens,
        int(plan.values["epochs"]),
        costs.prompt_tokens or prompt or cost.PROMPT,
        costs.answer_tokens or answer or cost.ANSWER,
        fitted is not None and fitted.checkpointing,
    )
    sums = cost.whole(facts, needs, sizes, hour, costs)
    dated = "costs.gpu_hour" if costs.gpu_hour is not None else f"prices of {costs.prices_date}"
    which = f"{name}, as an example" if gpu is None else name
    yield Line(
        f"cost, in dollars ({which}, {hour:g} an hour, {dated}; every assumption is a key of `costs:`)", sums
    )
    yield from _once(costs, facts, needs, sizes, sums)
    yield from _later(costs, needs, sums, cost.MONTH * hour)


def _once(costs: Any, facts: Facts, needs: cost.Needs, gpu: fit.Gpu, sums: dict[str, Any]) -> Iterator[Line]:
    about = "about " if facts.estimated else ""
    yield Line(
        f"  once: prepare {amount(sums['prepare'])} ({hours(sums['prepare_core_hours'])} core hours, "
        f"{sums['prepare_known']}) + {costs.experiments} experiments of {amount(sums['training'])} "
        f"({hours(sums['training_hours'])} GPU hours) = {amount(sums['once'])}"
    )
    flop = 6 if needs.checkpointing else 4
    yield Line(
        f"    hours = {flop} x {needs.parameters:.3g} parameters x {about}{needs.tokens:,} tokens x "
        f"{needs.epochs} epochs / ({gpu.tflops:g}e12 FLOP/s x {costs.utilisation:g}) / 3600"
    )
    if facts.tokens_per_second:
        yield Line(f"    a training of this run learnt {facts.tokens_per_second:,.0f} targets a second")


def _later(costs: Any, needs: cost.Needs, sums: dict[str, Any], rented: float) -> Iterator[Line]:
    per = {way: amount(n) for way, n in sums["per_1000"].items()}
    yield Line(
        f"  1,000 queries of {needs.prompt:,} + {needs.answer:,} tokens: base {per['base']}, adapter beside "
        f"it {per['unmerged']}, merged {per['merged']}; {costs.larger:g}B with {costs.larger_prompt:,} "
        f"tokens of prompt more {per['larger']}; retrieval of {costs.retrieved_tokens:,} tokens "
        f"{per['retrieval']}"
    )
    yield Line(
        "    seconds of a query = 2 x parameters x prompt / (FLOP/s x utilisation) + answer x (2 bytes x "
        "parameters / (bandwidth x share x concurrency) + 2 x parameters / (FLOP/s x utilisation))"
    )
    month, year = ({way: amount(n) for way, n in sums[span].items()} for span in ("month", "year"))
    yield Line(
        f"  a month of {costs.queries:,} queries: tuned {month['tuned']} (with {costs.retrainings:g} "
        f"training{'s' * (costs.retrainings != 1)}), larger {month['larger']}, retrieval {month['retrieval']}"
    )
    cheapest, dearest = (f(sums["year"], key=lambda way: (sums["year"][way], way)) for f in (min, max))
    apart = sums["year"][dearest] - sums["year"][cheapest]
    then = (
        f"less than a week's work ({amount(costs.week)}) lies between them: go by which answers better"
        if apart < costs.week
        else f"{cheapest} is the cheapest by {amount(apart)}"
    )
    yield Line(
        f"  the first year: tuned {year['tuned']}, larger {year['larger']}, retrieval {year['retrieval']}: "
        f"{then}",
        {"cheapest": cheapest},
    )
    idle = "" if costs.reserved else f", idle hours (`costs.reserved`: a GPU all month is {amount(rented)})"
    yield Line(f"  not in it: people's hours{idle}, evaluation by a paid judge")


def hours(count: float) -> str:
    """Hours, in hundredths."""
    return f"{count:,.2f}" if count >= 0.005 else "under 0.01"


def amount(dollars: float) -> str:
    """Dollars with two figures that tell something."""
    if dollars >= 100:
        return f"${dollars:,.0f}"
    if 0 < dollars < 0.01:
        return "under $0.01"
    return f"${dollars:.2f}" if dollars >= 0.1 or dollars == 0 else f"${dollars:.2g}"
