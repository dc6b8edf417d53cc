"""Open a run directory: is it ours to write into, and which fragments does the run have?

recipe.yaml is the first object written. A directory that is not empty and has none of ours, has
another format, or shares no source with the recipe is refused; otherwise it is the same run,
perhaps with a changed recipe, and whatever still fits its pass keys is left as it is.
"""

from dataclasses import dataclass, field

from headrace.cluster import ledger, storage
from headrace.cluster.errors import OutputError, RecipeError
from headrace.cluster.fragments import Fragment
from headrace.pipelines import recipe as recipes
from headrace.pipelines.recipe import Recipe
from headrace.pipelines.stages.clean import dates
from headrace.pipelines.stages.clean.config import Order
from headrace.pipelines.stages.read import inputs
from headrace.pipelines.stages.read.files import first
from headrace.pipelines.stages.read.source import Source

RECIPE = "recipe.yaml"
# Keys of a source that do not decide how it is read.
NOT_READING = {"path", "dates", "weight", "weights", "licence", "priority", "loss", "side"}
LAST = list(Recipe.model_fields)[-1]  # section of a recipe.yaml


@dataclass(frozen=True)
class Run:
    """An opened run: its resolved recipe and its fragments, with the plan that claimed each."""

    recipe: Recipe
    fragments: tuple[Fragment, ...]
    epochs: dict[int, int]  # ordinal -> number of its plan
    # Paths of the outputs that this start has written, and of those that it found damaged, and how.
    written: set[str] = field(default_factory=set)
    remade: dict[str, str] = field(default_factory=dict)

    @property
    def path(self) -> str:
        """The run directory."""
        return self.recipe.output


def reachable(recipe: Recipe) -> None:
    """One short look at every bucket, so that a dead endpoint is named in seconds."""
    paths = [recipe.output]
    for source in recipe.sources:
        paths += [source.path] if isinstance(source.path, str) else list(source.path)
    buckets = {p.split("/")[2]: p for p in paths if storage.is_remote(p)}
    for path in buckets.values():
        storage.probe(path)


def claim(recipe: Recipe) -> Run:
    """Look at the inputs, make the run directory ours and plan what is new.

    Raises: SourceError, OutputError, StorageError, LedgerError.
    """
    earlier = writable(recipe)
    resolved = resolve(recipe, earlier)
    text = recipes.dump(resolved).encode()
    target = storage.join(recipe.output, RECIPE)
    plans = ledger.plans(recipe.output)
    lost = {RECIPE: "recipe"} if earlier is None and plans else {}
    if earlier is None or recipes.dump(earlier).encode() != text:
        storage.put(target, text)
    cut = [
        fragment
        for source in sorted(resolved.sources, key=lambda s: s.name)
        for fragment in inputs.plan(
            source,
            resolved.fragment_size,
            [f for plan in plans.values() for f in plan if f.source == source.name],
        )
    ]
    live = [f for f in cut if f.ordinal >= 0]
    new = [f for f in cut if f.ordinal < 0]
    claimed = ledger.claim(recipe.output, plans, new)
    in_order = sorted((p for p in (*plans.values(), claimed) if p), key=lambda plan: plan[0].ordinal)
    epochs = {f.ordinal: number for number, plan in enumerate(in_order) for f in plan}
    return Run(resolved, tuple(sorted([*live, *claimed], key=lambda f: f.ordinal)), epochs, remade=lost)


def writable(recipe: Recipe) -> Recipe | None:
    """The recipe that the output directory was written with; None where it is empty, or that recipe is lost.

    Raises: OutputError where it is not ours, StorageError where it cannot be read.
    """
    path = recipe.output
    inputs.require_apart(recipe.sources, path)
    number, earlier = _kept(path)
    if number is not None and earlier is None:
        raise OutputError(
            f"output {path!r} has format {number}, this version writes format {recipes.FORMAT}; "
            "name another directory"
        )
    if earlier is None:
        if not storage.listing(path):
            return None
        theirs = {f.source for plan in ledger.plans(path).values() for f in plan}
        if not theirs:
            raise OutputError(
                f"output {path!r} is not empty and holds no recipe.yaml of headrace; "
                "name another directory, or empty this one"
            )
    else:
        theirs = {str(s.name) for s in earlier.sources}
    ours = {s.name for s in inputs.named(recipe.sources)}
    if not ours & theirs:
        raise OutputError(
            f"output {path!r} belongs to another recipe: its sources are {', '.join(sorted(theirs))}, "
            f"this recipe's {', '.join(sorted(ours))}; name another directory"
        )
    return earlier


def _kept(path: str) -> tuple[int | None, Recipe | None]:
    """Format and recipe of a run; (None, None) where there is none, or one that was damaged or cut: its
    sections are written in one order, and the last is not there.
    """
    try:
        number, earlier = recipes.kept(path)
    except (RecipeError, OutputError):
        return None, None
    if earlier is not None and LAST not in earlier.model_fields_set:
        return None, None
    return number, earlier


def resolve(recipe: Recipe, earlier: Recipe | None) -> Recipe:
    """The recipe with names, formats and shapes filled in; what an earlier run resolved stays.

    A source that is read as it was is not looked at again: a file that was added to it and does not fit
    is told record by record, and the run goes on.
    """
    before = {s.name: s for s in earlier.sources} if earlier else {}
    resolved = []
    for source in inputs.named(recipe.sources):
        settled = inputs.frozen(source, before.get(source.name))
        same = source.name in before and _reading(settled) == _reading(before[source.name])
        looked = settled if same else inputs.resolve([settled])[0]
        resolved.append(_dated(looked) if recipe.clean.by_source else looked)
    known: dict[str, Order] = {s.name: s.dates for s in resolved if s.dates in ("dmy", "mdy")}
    return recipe.model_copy(update={"sources": tuple(resolved), "clean": recipe.clean.ordered(known)})


def _dated(source: Source) -> Source:
    """`source` with the order of its dates, told by its first records where it has none yet."""
    if source.dates is not None:
        return source
    told = dates.order_of_source(first.texts(source, inputs.files(source)))
    return source.model_copy(update={"dates": told})


def _reading(source: Source) -> dict[str, object]:
    """What decides how records are read."""
    return source.model_dump(mode="json", exclude=NOT_READING)


def source_of_ordinals(path: str) -> dict[int, str]:
    """Source of each fragment that a run has claimed, by ordinal."""
    return {f.ordinal: f.source for plan in ledger.plans(path).values() for f in plan}
