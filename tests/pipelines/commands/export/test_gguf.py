"""A GGUF: what the converter is given to read, and what llama.cpp says of what it wrote.

Neither is installed here: a converter that keeps what it saw, and a llama.cpp whose model is a table of what
follows what, stand in. Figures of llama.cpp itself: tests/benchmarks/LOG.md.
"""

import json
import sys
from importlib import util
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.torch import load_file

from headrace.cluster.errors import GateError
from headrace.pipelines.commands.export import checked, export, llama_cpp, reload
from headrace.pipelines.commands.export.checked import Asked
from tests.pipelines.commands.export import made

KEEPS = """
import json, pathlib, sys
seen = pathlib.Path(sys.argv[1])
pieces = seen / "tokenizer.model"
told = {"pieces": pieces.read_text() if pieces.exists() else None}
told |= {name: json.loads((seen / name).read_text()) for name in ("config.json", "tokenizer_config.json")}
pathlib.Path(sys.argv[sys.argv.index("--outfile") + 1]).write_text(json.dumps({"name": seen.name, **told}))
"""
VOCABULARY, END, STOP = 6, 5, 4
GGUF = Asked("merged", dtype="float32", gguf=True)


@pytest.fixture
def converter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkout whose converter keeps what it was given to read."""
    (tmp_path / "checkout").mkdir()
    (tmp_path / "checkout" / llama_cpp.SCRIPT).write_text(KEEPS)
    monkeypatch.setenv(llama_cpp.PLACE, str(tmp_path / "checkout"))
    monkeypatch.setattr(llama_cpp, "find_spec", lambda name: object() if name == "gguf" else None)


@pytest.mark.usefixtures("converter")
@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_the_converter_reads_the_end_that_was_trained(tmp_path: Path, kind: str) -> None:
    folder = tmp_path / "weights"
    folder.mkdir()
    config = {"model_type": kind, "n_positions": 64}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "tokenizer_config.json").write_text('{"eos_token": "<end>", "other": 1}')
    for end in (None, "<stop>"):
        llama_cpp.write(str(folder), "float32", str(tmp_path / "base"), end)
        seen = json.loads((folder / llama_cpp.FILE).read_text())
        assert seen["tokenizer_config.json"] == {"eos_token": end or "<end>", "other": 1}
        assert seen["config.json"] == {**config, **({"n_ctx": 64} if kind == "gpt2" else {})}
        assert seen["name"] == "model", "no name by chance goes into the file"
    assert json.loads((folder / "tokenizer_config.json").read_text())["eos_token"] == "<end>"


@pytest.mark.usefixtures("converter")
def test_a_vocabulary_of_sentencepiece_is_read_from_the_base(tmp_path: Path) -> None:
    folder, base = tmp_path / "weights", tmp_path / "base"
    folder.mkdir()
    base.mkdir()
    for name in ("config.json", "tokenizer_config.json"):
        (folder / name).write_text("{}")
    (base / llama_cpp.PIECES).write_text("the base's")
    llama_cpp.write(str(folder), "float32", str(base))
    assert json.loads((folder / llama_cpp.FILE).read_text())["pieces"] == "the base's"
    assert not (folder / llama_cpp.PIECES).exists()
    (folder / llama_cpp.PIECES).write_text("its own")
    llama_cpp.write(str(folder), "float32", str(base))
    assert json.loads((folder / llama_cpp.FILE).read_text())["pieces"] == "its own"


def test_llama_cpp_has_the_last_word_where_it_is_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = made.run(tmp_path / "run", made.base(tmp_path / "base"))
    asked: list[str] = []
    more: dict[str, Any] = {}

    def process(program: str, path: str) -> str:
        """llama.cpp as another that reads the weights beside the GGUF."""
        asked.append(program)
        request = json.loads(Path(path).read_text())
        Path(path).write_text(json.dumps({**request, "gguf": None}))
        reload.main(path)
        if program == llama_cpp.PROGRAM:
            said = json.loads(Path(request["answer"]).read_text())
            left_out = ("decoded", "rendered", "vocabulary")
            said = {name: value for name, value in said.items() if name not in left_out}
            Path(request["answer"]).write_text(json.dumps({**said, **more}))
        return ""

    monkeypatch.setattr(checked, "_process", process)
    monkeypatch.setattr(llama_cpp, "converter", list)
    monkeypatch.setattr(llama_cpp, "write", lambda *given: None)
    monkeypatch.setattr(llama_cpp, "is_installed", lambda: True)
    told = export.export([run], str(tmp_path / "out"), GGUF, lambda *given: None)
    (figures,) = told["adapters"].values()
    assert asked == [reload.__file__, llama_cpp.PROGRAM]
    assert figures["gguf"]["read_by"] == "llama.cpp"
    assert figures["gguf"]["answers"] == {"n": 8, "same": 8, "ties": 0}
    card = (tmp_path / "out" / "README.md").read_text()
    assert "model.gguf, loaded by llama.cpp: logits differ by" in card
    for changed, words in (
        ({"stops": []}, "llama.cpp stops on nothing"),
        ({"template": "{{ x }}"}, "wrong chat template"),
        ({"kind": "llama", "encoded": [[0]] * 13}, "13 of 13 texts .*SentencePiece vocabulary"),
    ):
        more.clear()
        more.update(changed)
        with pytest.raises(GateError, match=rf"model\.gguf: .*{words}"):
            export.export([run], str(tmp_path / words[:9]), GGUF, lambda *given: None)


class Table:
    """llama.cpp's model, after whose tokens others follow by a table; it notes how it was opened."""

    opened: dict[str, Any]

    def __init__(self, path: str, **given: Any) -> None:
        Table.opened = {"path": path, **given}
        self.model = "model"
        self.metadata = {"tokenizer.chat_template": "{{ m }}", "tokenizer.ggml.model": "gpt2"}
        self.scores = np.zeros((given["n_ctx"], VOCABULARY), np.float32)
        self.n_tokens = 0

    def n_vocab(self) -> int:
        return VOCABULARY

    def reset(self) -> None:
        self.n_tokens = 0

    def eval(self, ids: list[int]) -> None:
        for token in ids:
            self.scores[self.n_tokens] = follows(token)
            self.n_tokens += 1

    def tokenize(self, text: bytes, *, add_bos: bool, special: bool) -> list[int]:
        assert (add_bos, special) == (False, True)
        return [byte % VOCABULARY for byte in text]

    def detokenize(self, ids: list[int], *, special: bool) -> bytes:
        assert special
        return bytes(ids)


def follows(token: int) -> NDArray[np.float32]:
    """Each token is followed by the next one."""
    return np.array(
        [3.0 if at == (token + 1) % VOCABULARY else 0.25 * at for at in range(VOCABULARY)], np.float32
    )


def test_what_llama_cpp_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in = SimpleNamespace(
        Llama=Table,
        llama_model_get_vocab=lambda model: "vocabulary",
        llama_vocab_is_eog=lambda vocabulary, token: token in (STOP, END),
    )
    monkeypatch.setitem(sys.modules, "llama_cpp", stand_in)
    spec = util.spec_from_file_location("by_llama_cpp", llama_cpp.PROGRAM)
    assert spec is not None
    assert spec.loader is not None
    program = util.module_from_spec(spec)
    spec.loader.exec_module(program)
    request = {
        "directory": "/out",
        "gguf": llama_cpp.FILE,
        "samples": [
            {"ids": [0, 1, 2, 3], "places": [1, 2], "kept": [1], "prompt": 2},
            {"ids": [3, 1], "places": [0], "kept": [0], "prompt": 0},
        ],
        "texts": ["ab"],
        "new_tokens": 5,
        "answer": str(tmp_path / "answer.json"),
        "tensors": str(tmp_path / "tensors"),
    }
    (tmp_path / "request.json").write_text(json.dumps(request))
    program.main(str(tmp_path / "request.json"))
    said = json.loads((tmp_path / "answer.json").read_text())
    assert Table.opened["path"] == "/out/model.gguf"
    assert (Table.opened["n_ctx"], Table.opened["type_k"], Table.opened["type_v"]) == (9, 0, 0)
    assert said["answers"] == [[2, 3, STOP]]
    assert said["margins"] == [[1.75, 1.75, 1.75]]
    assert said["guesses"] == [[2, 3], [4]]
    kept = load_file(str(tmp_path / "tensors"))["logits"].numpy()
    np.testing.assert_array_equal(kept, [follows(2), follows(3)])
    lost = np.log(np.exp(follows(3)).sum()) - follows(3)[1]
    assert said["nats"][1] == pytest.approx(lost, rel=1e-6)
    assert (said["encoded"], said["stops"]) == ([[1, 2]], [STOP, END])
    assert said["kind"] == "gpt2"
    assert (said["template"], said["decoded"]) == ("{{ m }}", ["\x00\x01\x02\x03", "\x03\x01"])
