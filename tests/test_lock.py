"""requirements.lock covers pyproject.toml, and can be installed from plain PyPI."""

import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

REPOSITORY = Path(__file__).resolve().parents[1]


def locked() -> dict[str, Requirement]:
    """Requirement of every line of the lock file, by canonical name."""
    lines = (REPOSITORY / "requirements.lock").read_text().splitlines()
    pins = [Requirement(line) for line in lines if line and not line.startswith("#")]
    assert len({canonicalize_name(pin.name) for pin in pins}) == len(pins), "a package is listed twice"
    return {canonicalize_name(pin.name): pin for pin in pins}


def version(pin: Requirement) -> str:
    (specifier,) = pin.specifier
    assert specifier.operator == "==", pin
    return specifier.version


def test_lock_satisfies_every_dependency() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    pins = locked()
    asked = project["dependencies"] + project["optional-dependencies"]["dev"]
    for requirement in map(Requirement, asked):
        pin = pins.get(canonicalize_name(requirement.name))
        assert pin is not None, f"{requirement.name} is not in requirements.lock"
        assert requirement.specifier.contains(version(pin)), f"{requirement} does not allow {pin}"


def test_lock_installs_from_plain_pypi() -> None:
    pins = locked()
    for name, pin in pins.items():
        assert "+" not in version(pin), f"{name}: a local version is not on PyPI"
        assert pin.url is None
        assert not name.startswith(("nvidia-", "cuda-")), f"{name}: torch brings its own"
    assert version(pins["torch"]) == "2.13.0"
    assert "triton" in pins  # GPU kernels are tested in its interpreter mode
    assert "headrace" not in pins
    assert "kernels" not in pins  # Hugging Face's own would be shadowed by ours
