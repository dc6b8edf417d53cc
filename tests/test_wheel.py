"""The wheel, installed beside Hugging Face's `kernels`: each finds its own, and `headrace prepare` works."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

from headrace.pipelines.passes import compiling
from tests.builders import write_jsonl

REPOSITORY = Path(__file__).resolve().parents[1]
SECONDS = 180
WITHIN = (
    "headrace/py.typed",
    "headrace/kernels/__init__.py",
    "headrace/cluster/__init__.py",
    "headrace/pipelines/report/templates/page.html.j2",
    "headrace/pipelines/report/templates/style.css",
    "headrace/pipelines/stages/tokenise/assets/tokenizer/tokenizer.json",
    "headrace/pipelines/stages/pii/recognizers/words/given_names.txt",
    "headrace/pipelines/commands/demo/phrases.toml",
    "headrace/pipelines/commands/draw/sheet.html.j2",
    "headrace/pipelines/commands/draw/sheet.js",
    "headrace/pipelines/examine/bias/words/languages.txt",
    "headrace/pipelines/evaluate/battery/items/general.txt",
)


def call(*command: str | Path, **options: object) -> subprocess.CompletedProcess[str]:
    """A command that has ended, whatever its exit code."""
    return subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, **options)  # type: ignore[call-overload,no-any-return]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy of what git tracks."""
    listed = call("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", cwd=REPOSITORY)
    if listed.returncode:
        pytest.skip("no git checkout to build from")
    copy, built = tmp_path_factory.mktemp("copy"), tmp_path_factory.mktemp("wheel")
    for name in filter(None, listed.stdout.split("\0")):
        if (REPOSITORY / name).exists():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(REPOSITORY / name, copy / name, follow_symlinks=False)
    pip = (sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation")
    done = call(*pip, "-w", built, ".", cwd=copy)
    assert done.returncode == 0, done.stderr[-2000:]
    (path,) = built.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Python of an environment with the wheel installed, then the packages that this one has."""
    environment = tmp_path_factory.mktemp("environment")
    done = call(sys.executable, "-m", "venv", "--without-pip", environment)
    assert done.returncode == 0, done.stderr
    site = site_of(environment)
    # It comes after site-packages, and the .pth files in it (our editable one) stay unread.
    (site / "beside.pth").write_text(sysconfig.get_path("purelib") + "\n")
    install(environment, str(wheel))
    return environment / "bin" / "python"


def site_of(environment: Path) -> Path:
    (site,) = environment.glob("lib/python*/site-packages")
    return site


def install(environment: Path, *what: str) -> None:
    """Install without what it needs. Raises: CalledProcessError."""
    pip = (sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", site_of(environment))
    call(*pip, *what).check_returncode()


def clean() -> dict[str, str]:
    """The environment of this process without what would lead to the checkout."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}


def test_all_of_it_lies_below_one_root(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    roots = {name.partition("/")[0] for name in names}
    assert roots == {"headrace", wheel.name.rpartition("-py3")[0] + ".dist-info"}
    assert not set(WITHIN) - set(names)


def test_it_stands_beside_the_kernels_of_hugging_face(python: Path, tmp_path: Path) -> None:
    try:
        install(python.parents[1], "kernels")
    except subprocess.CalledProcessError as error:
        pytest.skip(f"no package index answers: {error.stderr.strip()[-200:]}")
    code = """
import importlib.metadata, importlib.util, json
import headrace, headrace.kernels
from transformers.utils.import_utils import is_kernels_available
print(json.dumps([headrace.__file__, headrace.kernels.__file__, importlib.util.find_spec("kernels").origin,
    importlib.metadata.metadata("kernels")["Name"], is_kernels_available("0", "1000")]))
"""
    done = call(python, "-c", code, cwd=tmp_path, env=clean())
    assert done.returncode == 0, done.stderr[-2000:]
    site = site_of(python.parents[1])
    ours = [str(site / "headrace" / "__init__.py"), str(site / "headrace" / "kernels" / "__init__.py")]
    # Whether its version is one that transformers wants is not ours to say: any is asked for.
    theirs = [str(site / "kernels" / "__init__.py"), "kernels", True]
    assert json.loads(done.stdout.splitlines()[-1]) == [*ours, *theirs]


@pytest.mark.ray
def test_prepare_works_from_the_wheel(python: Path, tmp_path: Path) -> None:
    texts = [f"This is line {n} of a file, and the answer to {n * 7} is {n}." for n in range(20)]
    write_jsonl(tmp_path / "lines.jsonl", [{"text": text} for text in texts])
    (tmp_path / "recipe.yaml").write_text("output: run\nsources: [{path: lines.jsonl}]\nworkers: 1\n")
    code = "import sys; from headrace.pipelines.cli.main import main; sys.exit(main(sys.argv[1:]))"
    headrace = (python, "-c", code)
    done = call(*headrace, "warm", cwd=tmp_path, env=clean())
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    of = len(compiling.modules())
    counted = [f"compiling kernels, once: {n} of {of}" for n in range(of + 1)]
    assert done.stdout.splitlines() == [*counted, f"kernels: {of} modules compiled"]
    compiled = {path.name for path in site_of(python.parents[1]).rglob("headrace/**/*.nbc")}
    done = call(*headrace, "prepare", "recipe.yaml", cwd=tmp_path, env=clean())
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    assert "compiling" not in done.stdout
    assert {path.name for path in site_of(python.parents[1]).rglob("headrace/**/*.nbc")} == compiled, (
        "what prepare runs was compiled by warm"
    )
    told = json.loads((tmp_path / "run" / "run.json").read_text())
    assert len(told["digest"]) == 32
    assert told["rows"]["in"] == 20
