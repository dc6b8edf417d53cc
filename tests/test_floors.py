"""The floors of the house: pipelines stands on cluster and kernels, which know nothing of each other."""

import ast
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
FORBIDDEN = {
    "kernels": {"cluster", "pipelines", "ray", "fsspec", "s3fs", "pydantic", "yaml"},
    "cluster": {"kernels", "pipelines"},
}


def imports(path: Path) -> set[str]:
    """Top-level names that a file imports, anywhere in it, also by `import_module("...")`."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(), str(path))):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add((node.module or "").partition(".")[0] if not node.level else "")
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if called in ("import_module", "__import__"):
                names.add(str(node.args[0].value).partition(".")[0])
    return names


@pytest.mark.parametrize("floor", sorted(FORBIDDEN))
def test_floor_imports_nothing_above_or_beside(floor: str) -> None:
    files = sorted((REPOSITORY / floor).rglob("*.py"))
    assert files
    wrong = {str(file.relative_to(REPOSITORY)): imports(file) & FORBIDDEN[floor] for file in files}
    assert not {file: names for file, names in wrong.items() if names}


def test_imports_are_seen(tmp_path: Path) -> None:
    file = tmp_path / "sample.py"
    file.write_text(
        "import a.b\nfrom c.d import e\nfrom . import f\ndef g():\n    import h\n"
        "    importlib.import_module('i.j')\n    __import__('k')\n"
    )
    assert imports(file) == {"a", "c", "h", "i", "k", ""}
