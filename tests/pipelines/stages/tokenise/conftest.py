"""Tokenizers by the name of their template, each built once."""

from typing import Any

import pytest

from headrace.pipelines.stages.tokenise.encoder import Engine
from headrace.pipelines.stages.tokenise.tokenizer import Tokenizer
from tests.pipelines.stages.tokenise.chats import Make, build


@pytest.fixture(scope="session")
def make(tmp_path_factory: pytest.TempPathFactory) -> Make:
    """`chats.build`; what has a template or special tokens of its own is built anew each time."""
    built: dict[tuple[str, str], Tokenizer] = {}

    def one(name: str, engine: Engine = "auto", template: str = "", specials: Any = ()) -> Tokenizer:
        if template or specials:
            return build(tmp_path_factory.mktemp("tokenizer"), name, engine, template, specials)
        if (name, engine) not in built:
            built[name, engine] = build(tmp_path_factory.mktemp("tokenizer"), name, engine)
        return built[name, engine]

    return one
