"""Classifiers of texts that the recipe names, such as one of toxicity: rows that they find are flagged.

What: `found` gives every prompt or answer to each model and says which are over its threshold. Equal texts
are asked about once, texts of like length together. Of a text longer than the model takes, the beginning is
looked at.

Safe: a model is a directory, local or s3://; nothing is downloaded. Weights are safetensors, and no code of a
model's is run.

Cost: that of the model, far more than all other traits: so they have a pool of actors.
"""

import os
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from headrace.cluster import storage
from headrace.cluster.errors import ModelError
from headrace.kernels import dispatch
from headrace.pipelines import model_files
from headrace.pipelines.stages.traits.config import Config, Model

LONGEST = 512  # tokens of a text, for a model that does not say
CHARACTERS = 8_000  # of a text that a tokenizer is given


def found(texts: dict[str, pa.Array], config: Config) -> dict[str, NDArray[np.bool_]]:
    """By name of a model the texts over its threshold, bool[N].

    texts: `prompt` and `answer`, large_string[N] each; an empty one is never found. Raises: ModelError.
    """
    return {
        model.name: _scores(texts[model.over], model, config.gpus > 0) >= model.threshold
        for model in config.models
    }


def digest(config: Config) -> list[str]:
    """What decides what is found: hash of each model's files. Cost: reads them once. Raises: ModelError."""
    return [model_files.digest(_directory(model)) for model in config.models]


class Classifier:
    """A model in this process. Raises: ModelError where it cannot be loaded or has no such label."""

    def __init__(self, model: Model, gpu: bool) -> None:
        import torch
        from transformers import AutoModelForSequenceClassification, AutoTokenizer

        place = _directory(model)
        try:
            self.tokenizer = AutoTokenizer.from_pretrained(place, local_files_only=True)
            self.model = AutoModelForSequenceClassification.from_pretrained(
                place, local_files_only=True, use_safetensors=True
            )
        except (OSError, ValueError, KeyError) as error:
            raise ModelError(f"{_key(model)}: {model_files.first_line(error)}") from error
        given = gpu and os.environ.get("CUDA_VISIBLE_DEVICES") and dispatch.gpu_given()
        self.device = torch.device("cuda" if given else "cpu")
        self.model.to(self.device).eval()
        self.label = _label(model, self.model.config)
        self.single = len(self.model.config.id2label) == 1
        several = self.model.config.problem_type == "multi_label_classification"
        self.apart = self.single or several  # a probability of its own each, not shares of one
        most = min(self.tokenizer.model_max_length, LONGEST)
        self.longest = min(most, getattr(self.model.config, "max_position_embeddings", most))

    def ask(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Probability of the label for each text."""
        import torch

        given = self.tokenizer(
            list(texts), padding=True, truncation=True, max_length=self.longest, return_tensors="pt"
        ).to(self.device)
        with torch.inference_mode():
            logits = self.model(**given).logits.float()
        shares = torch.sigmoid(logits) if self.apart else torch.softmax(logits, dim=-1)
        probabilities: NDArray[np.float32] = shares[:, self.label].cpu().numpy()
        return probabilities


def _scores(texts: pa.Array, model: Model, gpu: bool) -> NDArray[np.float32]:
    """Probability for each text, -1 for an empty one: no threshold is as low."""
    coded = texts.dictionary_encode()
    unique = [text[:CHARACTERS] for text in coded.dictionary.to_pylist()]
    scores = np.full(len(unique), -1, np.float32)
    classifier = _loaded(model.model_dump_json(), gpu)
    for batch in _batches(unique, model.batch):
        scores[batch] = classifier.ask([unique[at] for at in batch])
    taken: NDArray[np.float32] = scores[coded.indices.to_numpy()]
    return taken


def _batches(texts: Sequence[str], size: int) -> Iterator[list[int]]:
    """Numbers of the texts that say something, those of like length together."""
    order = sorted((at for at, text in enumerate(texts) if text.strip()), key=lambda at: len(texts[at]))
    for first in range(0, len(order), size):
        yield order[first : first + size]


@cache
def _loaded(model: str, gpu: bool) -> Classifier:
    return Classifier(Model.model_validate_json(model), gpu)


def _directory(model: Model) -> str:
    """The model on this machine. Raises: ModelError where it is no directory with safe weights."""
    if not storage.is_remote(model.path) and not os.path.isdir(model.path):
        raise ModelError(f"{_key(model)}: {model.path!r} is not a directory")
    names = {entry.path.rsplit("/", 1)[-1] for entry in storage.listing(model.path)}
    if "config.json" not in names or not any(name.endswith(".safetensors") for name in names):
        raise ModelError(
            f"{_key(model)}: {model.path!r} needs config.json and *.safetensors; save the model again with "
            "transformers' save_pretrained"
        )
    return model_files.local(model.path)


def _key(model: Model) -> str:
    return f"traits.models, {model.name}"


def _label(model: Model, config: Any) -> int:
    """Number of the label that counts. Raises: ModelError."""
    labels = {str(label).casefold(): int(at) for at, label in config.id2label.items()}
    wanted = (model.label or model.name).casefold()
    if wanted in labels:
        return labels[wanted]
    if len(labels) == 1 and model.label is None:
        return 0
    raise ModelError(
        f"{_key(model)}: {model.path!r} has no label {wanted!r}; set `label` to one of "
        f"{', '.join(sorted(labels))}"
    )
