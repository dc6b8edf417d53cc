"""Broken exports: what was measured is handed over otherwise, and must be refused.

A tiny base with an adapter drawn at random is exported; a fault comes into the files before they are loaded
again. The loading is done in this process: starting one takes seconds.
"""

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from unittest import mock

from headrace.cluster.errors import GateError
from headrace.pipelines.commands.export import checked, export, reload
from headrace.pipelines.commands.export.checked import Asked
from tests.pipelines.commands.export import made

Fault = Callable[[Path], None]


def scaled(place: Path) -> None:
    """Twice the adapter."""
    path = place / "adapter_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "lora_alpha": 16}))


def other_template(place: Path) -> None:
    """A template that asks otherwise."""
    path = place / "chat_template.jinja"
    path.write_text(path.read_text().replace("it ", "so "))


def other_words(place: Path) -> None:
    """A tokenizer in which two words have changed places."""
    path = place / "tokenizer.json"
    text = path.read_text().replace('"what"', '"w0"').replace('"is"', '"what"').replace('"w0"', '"is"')
    path.write_text(text)


FAULTS: dict[str, tuple[Fault | None, str]] = {
    "clean, export": (None, ""),
    "export, wrong scaling": (scaled, "wrong scaling"),
    "export, wrong template": (other_template, "wrong chat template"),
    "export, wrong tokenizer": (other_words, "wrong tokenizer"),
}


def refused(fault: Fault | None, seed: int) -> str:
    """Why an export is refused, "" where it is not."""
    honest = checked.check

    def broken(work: checked.Work, *rest: object) -> object:
        if fault is not None:
            fault(Path(work.place))
        return honest(work, *rest)  # type: ignore[arg-type]

    with tempfile.TemporaryDirectory(prefix="gauntlet-") as folder:
        base = made.base(Path(folder, "base"), seed=seed + 1)
        run = made.run(Path(folder, "run"), base, seed)
        with (
            mock.patch.object(checked, "check", broken),
            mock.patch.object(checked, "_process", _in_this_process),
        ):
            try:
                export.export([run], str(Path(folder, "out")), Asked("adapter"), lambda text, fields: None)
            except GateError as error:
                return str(error)
    return ""


def _in_this_process(_: str, path: str) -> str:
    reload.main(path)
    return ""
