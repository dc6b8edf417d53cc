"""Files of weights that are not whole are seen before anything is loaded."""

import json
from pathlib import Path

import pytest

from headrace.cluster.errors import ModelError
from headrace.pipelines.train import models
from tests.pipelines import toys


def test_weights_that_are_whole_pass(tmp_path: Path) -> None:
    models.require_whole(toys.model(tmp_path))
    models.require_whole("a name on a hub")
    models.require_whole("s3://bucket/model")


@pytest.mark.parametrize(
    "left", [0, 4, 100, -1], ids=["nothing", "no head", "part of it", "all but one byte"]
)
def test_weights_that_were_cut_are_refused(tmp_path: Path, left: int) -> None:
    path = Path(toys.model(tmp_path)) / "model.safetensors"
    whole = path.read_bytes()
    path.write_bytes(whole[:left])
    size = len(whole[:left])
    with pytest.raises(ModelError, match=rf"model\.safetensors are not whole: the file has {size:,} bytes"):
        models.require_whole(str(tmp_path))


def test_a_file_that_the_index_names_and_nobody_has_is_told(tmp_path: Path) -> None:
    toys.model(tmp_path)
    index = {"weight_map": {"lm_head.weight": "model-00002-of-00002.safetensors"}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(ModelError, match=r"model-00002-of-00002\.safetensors are not whole: .* 0 bytes"):
        models.require_whole(str(tmp_path))
