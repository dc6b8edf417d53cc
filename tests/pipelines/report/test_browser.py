"""The report in a real browser: no request, no console error, nothing cut, no fault that axe finds.

Looks for Chromium (HEADRACE_CHROMIUM, or `chromium` on the PATH), and for the npm packages playwright-core
and axe-core (HEADRACE_NODE_MODULES: the folder that holds them). Skips where one is missing.
"""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from headrace.pipelines import flow
from headrace.pipelines.report import page as report
from tests.pipelines.report.runs import whole_run, write_run

CHROMIUM = os.environ.get("HEADRACE_CHROMIUM") or shutil.which("chromium")
MODULES = Path(os.environ.get("HEADRACE_NODE_MODULES", "node_modules"))
LOOK = Path(__file__).with_name("look.js")


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What the browser saw at each width, in light and dark."""
    missing = [name for name in ("playwright-core", "axe-core") if not (MODULES / name).is_dir()]
    if CHROMIUM is None or shutil.which("node") is None or missing:
        pytest.skip(f"no Chromium, node or npm package {' or '.join(missing) or 'to drive it'}")
    run = whole_run()
    run["verdict"] = {"decision": "mend", "words": "Mend it first", "reasons": []}
    rang = {"passed": True, "state": "warn", "value": 0.5, "interval": [0.4, 0.6], "threshold": 0.02}
    run["gates"] = {"endless": {**rang, "words": "half do not end. Look at the end token", "rows": [1]}}
    path = write_run(str(tmp_path_factory.mktemp("page") / "run"), run)
    page = report.build(path, flow.STAGES)
    done = subprocess.run(
        ["node", str(LOOK), page],
        env={**os.environ, "NODE_PATH": str(MODULES.resolve()), "HEADRACE_CHROMIUM": CHROMIUM},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


def test_the_page_loads_nothing_and_says_nothing(seen: list[dict[str, Any]]) -> None:
    assert [look["errors"] for look in seen] == [[]] * 6
    assert [look["requests"] for look in seen] == [[]] * 6


def test_nothing_is_cut_at_any_width(seen: list[dict[str, Any]]) -> None:
    assert [look["width"] for look in seen] == [390, 820, 1440] * 2
    assert [look["wide"] for look in seen] == [[]] * 6


def test_axe_finds_no_fault(seen: list[dict[str, Any]]) -> None:
    assert [look["faults"] for look in seen] == [[]] * 6


def test_what_is_folded_is_printed(seen: list[dict[str, Any]]) -> None:
    assert all(look["folded"] > 0 for look in seen)
    assert all(look["printed"] == look["folded"] for look in seen)
