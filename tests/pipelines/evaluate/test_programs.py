"""Code of answers is run against tests, and cannot do much else."""

from pathlib import Path

import psutil  # type: ignore[import-untyped]
import pytest

from headrace.pipelines.evaluate import programs

TEST = "assert double(2) == 4"


def test_code_that_passes_its_tests_and_code_that_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(programs, "SECONDS", 2)
    monkeypatch.setenv("HEADRACE_SECRET", "kept")
    said = {
        "def double(x):\n    return 2 * x": 1,
        "Here it is:\n```python\ndef double(x):\n    return x + x\n```\nIt doubles.": 1,
        "def double(x):\n    return x": 0,
        "I cannot do that.": 0,
        "": 0,
        "while True: pass": 0,
        "import time; time.sleep(60)": 0,
        "import sys; sys.exit(1)": 0,
        "x = bytearray(2 << 30)\ndef double(x): return 4": 0,
        "import os\nassert os.environ.get('HEADRACE_SECRET')\ndef double(x): return 4": 0,
        "import numpy\ndef double(x): return 4": 0,
        "open('large', 'wb').write(bytes(11 << 20))\ndef double(x): return 4": 0,
        "open('small', 'w').write('x')\ndef double(x): return 4": 1,
        f"import os\nassert os.getcwd() != {str(tmp_path)!r}\ndef double(x): return 4": 1,
    }
    found = programs.passed(list(said), [TEST] * len(said), workers=2)
    assert found.tolist() == list(said.values())


def test_what_code_starts_ends_with_it() -> None:
    """A child that would live for a minute is gone when its parent has passed."""
    start = "import subprocess, sys\nsubprocess.Popen([sys.executable, '-c', 'import time; time.sleep(61)'])"
    assert programs.passed([start], [""]).tolist() == [1.0]
    left = [p for p in psutil.process_iter(["cmdline"]) if "time.sleep(61)" in str(p.info["cmdline"])]
    assert psutil.wait_procs(left, timeout=5)[1] == []


def test_tests_are_found_by_the_prompt_that_they_are_of() -> None:
    tests = {"Write double.": "a", "Write double. Fast.": "b"}
    prompts = ["<|user|>\nwrite  double. fast.\n", "user: Write double.", "Write half."]
    assert programs.found(prompts, tests) == ["b", "a", None]
