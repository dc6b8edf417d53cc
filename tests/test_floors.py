"""The floors of the house: who may import whom, and that nobody imports in a circle.

A module's level is that of the longest name in `LEVELS` that it lies under; it imports what stands lower. On
one level a module imports its own folder, and what `BESIDE` says.
"""

import ast
import re
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
LEVELS = {
    "cluster": 0,
    "kernels": 0,
    "pipelines.arrays": 1,
    "pipelines.preambles": 1,
    "pipelines.schema": 1,
    "pipelines.structure": 1,
    "pipelines.section": 1,
    "pipelines.evaluate.judged.function": 1,
    "pipelines.yaml_text": 1,
    "pipelines.model_files": 1,
    "pipelines.stages": 2,
    "pipelines.examine": 2,
    "pipelines.train.config": 3,
    "pipelines.evaluate.answers": 3,
    "pipelines.train.sweep.config": 3,
    "pipelines.train.trackers.config": 3,
    "pipelines.evaluate.config": 3,
    "pipelines.evaluate.judged.config": 3,
    "pipelines.evaluate.gates.config": 3,
    "pipelines.evaluate.metrics": 3,
    "pipelines.recipe": 3,
    "pipelines.books": 4,
    "pipelines.console": 4,
    "pipelines.rundir": 4,
    "pipelines.trainings": 4,
    "pipelines.stored": 4,
    "pipelines.passes": 5,
    "pipelines.train": 6,
    "pipelines.evaluate": 6,
    "pipelines.report": 7,
    "pipelines.commands": 7,
    "pipelines.ending": 8,
    "pipelines.flow": 8,
    "pipelines.starting": 8,
    "pipelines.tuning": 8,
    "pipelines.python": 9,
    "pipelines.cli": 9,
}
# What may import what of its own level, beside its own folder: longest names first.
BESIDE = {
    ("pipelines.preambles", "pipelines.arrays"),
    ("pipelines.schema", "pipelines.arrays"),
    ("pipelines.recipe", "pipelines.train.config"),
    ("pipelines.recipe", "pipelines.train.sweep.config"),
    ("pipelines.recipe", "pipelines.train.trackers.config"),
    ("pipelines.recipe", "pipelines.evaluate.config"),
    ("pipelines.recipe", "pipelines.evaluate.gates.config"),
    ("pipelines.stages.dedup", "pipelines.stages.fingerprint"),
    ("pipelines.stages.split", "pipelines.stages.fingerprint"),
    ("pipelines.stages.pack", "pipelines.stages.tokenise"),
    ("pipelines.stages.tokenise.overlong", "pipelines.stages.pii.masking.values"),
    ("pipelines.examine", "pipelines.stages"),
    ("pipelines.evaluate", "pipelines.train"),
    ("pipelines.evaluate.config", "pipelines.train.config"),
    ("pipelines.evaluate.config", "pipelines.evaluate.answers"),
    ("pipelines.commands", "pipelines.report"),
    *(("pipelines.flow", f"pipelines.{room}") for room in ("ending", "starting", "tuning")),
    *(("pipelines.tuning", f"pipelines.{room}") for room in ("ending", "starting")),
}
# Training and evaluation stand on what a run has stored, and know nothing of how it was made.
NOT_BELOW = {
    "pipelines.train": ("pipelines.stages", "pipelines.passes", "pipelines.recipe"),
    "pipelines.evaluate": ("pipelines.stages", "pipelines.passes", "pipelines.recipe"),
}
FOREIGN = {"kernels": {"ray", "fsspec", "s3fs", "pydantic", "yaml"}}


def module_of(path: Path) -> str:
    """Name of a file of ours below `headrace`, its package's for an `__init__`."""
    parts = path.relative_to(REPOSITORY).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {
    module_of(path): path
    for floor in ("cluster", "kernels", "pipelines")
    for path in sorted((REPOSITORY / floor).rglob("*.py"))
}


def imports(path: Path) -> Iterator[str]:
    """Everything that a file imports, anywhere in it, also by `import_module("...")`, with dots."""
    for node in ast.walk(ast.parse(path.read_text(), str(path))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: a relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if called in ("import_module", "__import__"):
                yield str(node.args[0].value)


def ours(path: Path) -> set[str]:
    """Modules of ours that a file imports."""
    found = set()
    for name in imports(path):
        parts = name.split(".")
        if parts[0] != "headrace":
            continue
        while parts and ".".join(parts[1:]) not in FILES:
            parts.pop()
        found.add(".".join(parts[1:]))
    return found - {""}


def under(module: str, names: object) -> str:
    """The longest of `names` that `module` is, or lies under; empty where it lies under none."""
    assert isinstance(names, dict | set | tuple | list)
    return max((n for n in names if f"{module}.".startswith(f"{n}.")), key=len, default="")


def room(module: str) -> str:
    """What of its level a module belongs to: a stage, or a folder of `pipelines`."""
    parts = module.split(".")
    return ".".join(
        parts[: 3 if module.startswith("pipelines.stages.") else 2 if parts[0] == "pipelines" else 1]
    )


def allowed(user: str, used: str) -> bool:
    """Whether `user` may import `used`."""
    above, below = LEVELS[under(user, LEVELS)], LEVELS[under(used, LEVELS)]
    if any(under(used, NOT_BELOW[n]) for n in NOT_BELOW if n == under(user, LEVELS)):
        return False
    if above != below:
        return above > below
    beside = any(under(user, [a]) and under(used, [b]) for a, b in BESIDE)
    return beside or room(user) == room(used)


@pytest.mark.parametrize("module", [m for m in FILES if m not in ("pipelines", "kernels", "cluster")])
def test_a_module_imports_what_stands_below_it(module: str) -> None:
    assert under(module, LEVELS), f"{module} stands on no floor: say in LEVELS where it belongs"
    wrong = sorted(used for used in ours(FILES[module]) if not allowed(module, used))
    assert not wrong
    foreign = {name.partition(".")[0] for name in imports(FILES[module])}
    assert not foreign & FOREIGN.get(module.partition(".")[0], set())


def test_nobody_imports_in_a_circle() -> None:
    try:
        TopologicalSorter({m: ours(path) - {m} for m, path in FILES.items()}).prepare()
    except CycleError as error:
        pytest.fail(f"a circle: {' -> '.join(error.args[1])}")


def test_a_package_only_says_what_it_is() -> None:
    for module, path in FILES.items():
        if path.name == "__init__.py" and not module.startswith("kernels"):
            (only,) = ast.parse(path.read_text()).body
            assert isinstance(only, ast.Expr), module


def test_no_test_imports_from_another() -> None:
    """What two of them need stands in `builders`, or beside them in a file of its own."""
    for path in sorted((REPOSITORY / "tests").rglob("*.py")):
        wrong = [name for name in imports(path) if re.search(r"^tests\..*\btest_", name)]
        assert not wrong, path


def test_a_folder_can_be_taken_in_at_a_glance() -> None:
    for folder in {path.parent for path in FILES.values()}:
        files = [p.name for p in folder.iterdir() if p.is_file() and p.name != "__init__.py"]
        assert len(files) <= 16, folder


def test_imports_are_seen(tmp_path: Path) -> None:
    file = tmp_path / "sample.py"
    file.write_text(
        "import a.b\nfrom c.d import e\ndef g():\n    import h\n"
        "    importlib.import_module('i.j')\n    __import__('k')\n"
    )
    assert set(imports(file)) == {"a.b", "c.d.e", "h", "i.j", "k"}
    file.write_text(
        "from headrace.pipelines.stages.pii import stage as pii, findings\nimport headrace.cluster.ledger\n"
    )
    assert ours(file) == {"pipelines.stages.pii.stage", "pipelines.stages.pii.findings", "cluster.ledger"}


@pytest.mark.parametrize(
    ("user", "used", "may"),
    [
        ("pipelines.passes.prepare", "pipelines.stages.pii.stage", True),
        ("pipelines.stages.pii.stage", "pipelines.passes.prepare", False),
        ("pipelines.stages.clean.stage", "pipelines.stages.pii.stage", False),
        ("pipelines.stages.dedup.steps.run", "pipelines.stages.fingerprint", True),
        ("pipelines.stages.fingerprint", "pipelines.stages.dedup.stage", False),
        ("pipelines.train.driver", "pipelines.recipe", False),
        ("pipelines.train.driver", "pipelines.train.config", True),
        ("pipelines.train.driver", "pipelines.evaluate.run", False),
        ("cluster.stream", "kernels.bits", False),
    ],
)
def test_the_rules_are_these(user: str, used: str, may: bool) -> None:
    assert allowed(user, used) == may
