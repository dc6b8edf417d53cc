"""The glossary of reasons: each that the code can give, and no other."""

import ast
import re
from pathlib import Path

from headrace.pipelines import flow, schema
from headrace.pipelines.examine.contradictions import run as contradictions
from headrace.pipelines.examine.label_noise import run as label_noise
from headrace.pipelines.examine.leaks import run as leaks
from headrace.pipelines.stages import reasons
from headrace.pipelines.stages.clean import turns
from headrace.pipelines.stages.dedup import decide
from headrace.pipelines.stages.quality import stage as quality

PIPELINES = Path(__file__).resolve().parents[3] / "pipelines"
MARKS = {"mark", "mark_where", "quarantine"}


def literals(folder: str) -> set[str]:
    """Reasons that stand as they are in the code below a folder: what `mark`, `mark_where` and `quarantine`
    are given, and constants of modules.
    """
    found = set()
    for path in (PIPELINES / folder).rglob("*.py"):
        tree = ast.parse(path.read_text())
        nodes = [n for n in ast.walk(tree) if isinstance(n, ast.Call) and called(n) in MARKS]
        nodes += [n for n in tree.body if isinstance(n, ast.Assign)]
        for node in nodes:
            found |= {c.value for c in ast.walk(node) if isinstance(c, ast.Constant) and is_reason(c.value)}
    return found


def called(node: ast.Call) -> str:
    return getattr(node.func, "attr", getattr(node.func, "id", ""))


def is_reason(value: object) -> bool:
    return isinstance(value, str) and bool(re.fullmatch(r"[a-z_]+\.[a-z0-9_]+", value))


def unreadable() -> set[str]:
    """Causes of reading: every constant of its form in the stage that no change is called by."""
    changes = {"read.bad_bytes", "read.as_text_turns"}
    found = set()
    for path in (PIPELINES / "stages" / "read").rglob("*.py"):
        found |= {
            c.value
            for c in ast.walk(ast.parse(path.read_text()))
            if isinstance(c, ast.Constant) and is_reason(c.value) and c.value.startswith("read.")
        }
    return found - changes


def given() -> set[str]:
    """Every reason that the code can give."""
    named = {f"clean.{name}" for name in turns.REASONS if name}
    named |= {f"quality.{name}" for name in quality.RULES} | {f"traits.{name}" for name in schema.TRAITS_BY}
    named |= {f"dedup.{name}" for name in decide.RULES if name != "alike"}  # pairs that are both kept
    named |= {f"{stage}.error" for stage in flow.FIRST} | {
        f"split.{name}" for name in ("protected", "bridge")
    }
    named |= {leaks.REASON, contradictions.REASON, label_noise.REASON, reasons.OWN}
    marked = literals("stages/dedup") | literals("stages/split") | literals("stages/tokenise")
    told = {*marked} - {name for name in marked if name.split(".")[1].startswith(("style_", "reasoning_"))}
    told = {name for name in told if name.startswith(("dedup.", "split.", "mix.", "tokenise."))}
    told -= {
        "tokenise.calls_lost",
        "tokenise.earlier",
        "tokenise.texts_lost",
        "tokenise.tools_lost",
        "tokenise.unended",
        "tokenise.unlearned",
    }  # changes
    return named | unreadable() | told


def test_the_glossary_has_every_reason_and_no_other() -> None:
    assert set(reasons.REASONS) == given()


def test_a_step_of_the_recipe_has_the_words_of_steps() -> None:
    assert reasons.of("steps.fix_ticket") == reasons.REASONS[reasons.OWN]
    assert reasons.of("steps.error") == reasons.REASONS["steps.error"]
    assert reasons.of("other.version") is None
    assert reasons.remedy("other.version") is None
    assert "dedup.threshold" in (reasons.remedy("dedup.near") or "")


def test_words_are_clauses() -> None:
    for name, reason in reasons.REASONS.items():
        for words in (reason.means, reason.remedy):
            assert not words.endswith("."), name
            assert words[0].islower() or words[0] == "`" or name == "read.unknown_role", name
