"""Models that find names: where they are, what they are, and how Presidio's engines get hold of them.

What: `load` gives one of Presidio's NLP engines with a model in it, `located` the place that it is loaded
from and `digest` what it is, for the pass key. Everything that can be wrong with a model is a ModelError that
names the key of the recipe.

Safe: nothing is downloaded but from the hub, and that with a time limit. Weights of transformers are
safetensors, and no code of a model's is run. A spaCy directory holds a configuration that names functions
of installed packages, and data without code; an installed package is code that was installed on purpose.

Presidio's own `TransformersNlpEngine.load` takes a second, spaCy model for the tokens, fetches it where it
is missing, and passes on neither `use_safetensors` nor a device unless CuPy is there: ours loads over a
blank tokenizer. Presidio's pipe goes on without a text that the model failed on, and loses what is left of
a finding that begins inside the token where another ended: ours does neither.
Source: https://microsoft.github.io/presidio/analyzer/nlp_engines/transformers/
"""

import contextlib
import functools
import importlib.util
import os
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import spacy
import xxhash
from presidio_analyzer.nlp_engine import NerModelConfiguration, SpacyNlpEngine, TransformersNlpEngine
from presidio_analyzer.nlp_engine.huggingface_token_pipe import HuggingFaceTokenPipe
from spacy.language import Language

from headrace.cluster import storage
from headrace.cluster.errors import ModelError
from headrace.kernels import dispatch
from headrace.pipelines import model_files
from headrace.pipelines.stages.pii.config import Ner
from headrace.pipelines.stages.pii.presidio.setup import LANGUAGE, complete, quiet

# What Presidio's configurations of spaCy and of transformers map, taken together.
LABELS = {
    **NerModelConfiguration().model_to_presidio_entity_mapping,
    "ORGANIZATION": "ORGANIZATION",
    "FAC": "LOCATION",
    "HOSPITAL": "LOCATION",
    "FACILITY": "LOCATION",
    "VENDOR": "ORGANIZATION",
    "NRP": "NRP",
    "EMAIL": "EMAIL_ADDRESS",  # as the pattern recogniser calls it
}
# Of a spaCy model, what no entity depends on.
IDLE = ("tagger", "morphologizer", "lemmatizer", "trainable_lemmatizer", "textcat", "textcat_multilabel")
HUB_FILES = ("*.json", "*.safetensors", "*.txt", "*.model")
HUB_SECONDS = 10  # to wait for an answer of the hub
STRIDE = 32  # tokens that two windows of a long text share; a name is shorter
WINDOW = 512  # tokens, of a model that does not say
PIPE = "headrace_names"
KEY = "pii.ner.model"


def load(ner: Ner, *, device: str) -> Any:
    """Presidio's NLP engine with the model in it. device: "cpu" or "cuda". Raises: ModelError."""
    quiet()
    complete()
    place = located(ner)
    labels = {**LABELS, **ner.labels}
    configuration = NerModelConfiguration(
        labels_to_ignore=sorted({"O", *ner.ignore}),
        model_to_presidio_entity_mapping=labels,
        low_score_entity_names=set(ner.doubtful),
    )
    made = {"spacy": _spacy, "transformers": _transformers}[ner.engine](ner, place, configuration, device)
    if not set(known(made)) & labels.keys():
        raise ModelError(
            f"{KEY}: {ner.model!r} finds nothing that stands for an entity; its labels are "
            f"{', '.join(known(made)) or 'none'}. Map them with pii.ner.labels, or take another model"
        )
    return made


def device(ner: Ner) -> str:
    """ "cuda" where the recipe asks for a GPU and this process was given one, else "cpu".

    Raises: ModelError where it was given one that cannot be used.
    """
    if not ner.gpus or not os.environ.get("CUDA_VISIBLE_DEVICES"):
        return "cpu"
    if dispatch.gpu_given():
        return "cuda"
    raise ModelError(f"pii.ner.gpus: {ner.gpus:g}, and the GPU cannot be used: {dispatch.gpu_missing()}")


def known(engine: Any) -> list[str]:
    """Labels that the engine's model may give, sorted; without B- and I-."""
    nlp = engine.nlp[LANGUAGE]
    found: set[str] = set()
    for name in nlp.pipe_names:
        if name == PIPE:
            labels = nlp.get_pipe(name).pipeline.model.config.id2label.values()
            found |= {label.split("-", 1)[1] if label[1:2] == "-" else label for label in labels} - {"O"}
        elif "doc.ents" in nlp.get_pipe_meta(name).assigns:
            found |= set(getattr(nlp.get_pipe(name), "labels", ()))
    return sorted(found)


def digest(ner: Ner) -> list[str]:
    """What decides the names that are found: hash of the model's files or version of its package, libraries.

    Cost: reads the files once. Raises: ModelError.
    """
    place = located(ner)
    if ner.engine == "transformers":
        what = model_files.digest(place)
        return [what, *_versions("transformers", "tokenizers", "torch")]
    what = _hash(Path(place)) if os.path.isdir(place) else f"{place}=={version(place)}"
    return [what, *_versions("spacy", "thinc")]


def _versions(*libraries: str) -> list[str]:
    return [f"{name}=={version(name).partition('+')[0]}" for name in libraries]  # PyTorch's says "+cpu"


def _hash(directory: Path) -> str:
    """Hash of the files below a directory: names, sizes, contents."""
    digest = xxhash.xxh3_128()
    for path in sorted(p for p in directory.rglob("*") if p.is_file()):
        digest.update(f"{path.relative_to(directory).as_posix()}\0{path.stat().st_size}\0".encode())
        with path.open("rb") as file:
            while block := file.read(2**24):
                digest.update(block)
    return digest.hexdigest()


def located(ner: Ner) -> str:
    """The local directory or the package that the recipe names; a hub name is fetched once.

    Raises: ModelError, StorageError.
    """
    model = str(ner.model)
    if storage.is_remote(model) and ner.engine == "spacy":
        raise ModelError(f"{KEY}: {model!r}: spaCy reads local directories only; copy it to every node")
    if storage.is_remote(model) or os.path.isdir(model):
        needed = "config.cfg" if ner.engine == "spacy" else "config.json"
        names = {e.path.rsplit("/", 1)[-1] for e in storage.listing(model)}
        if needed not in names:
            raise ModelError(f"{KEY}: {model!r} is no model directory of {ner.engine}: it has no {needed}")
        if ner.engine == "spacy":
            return os.path.abspath(model)
        _require_safetensors(model, names)
        return model_files.local(model)
    if model.startswith(("/", "./", "../", "~")) or model.count("/") > 1 or os.path.exists(model):
        raise ModelError(f"{KEY}: {model!r} is not a directory")
    return _package(model) if ner.engine == "spacy" else _from_hub(model)


def _package(model: str) -> str:
    if not spacy.util.is_package(model):
        raise ModelError(
            f"{KEY}: no package {model!r} is installed, and there is no such directory; install it with "
            f"`python -m spacy download {model}` on every node, or give a directory"
        )
    return model


def _from_hub(model: str) -> str:
    """Directory of a hub model in the hub's cache, fetched where it is not there."""
    import huggingface_hub

    fetch = functools.partial(
        huggingface_hub.snapshot_download, model, allow_patterns=list(HUB_FILES), ignore_patterns=["*/*"]
    )
    with contextlib.suppress(huggingface_hub.errors.LocalEntryNotFoundError, ValueError):
        directory = str(fetch(local_files_only=True))
        if any(name.endswith(".safetensors") for name in os.listdir(directory)):  # else another tool's share
            return directory
    try:
        directory = str(fetch(etag_timeout=HUB_SECONDS))
    except Exception as error:
        raise ModelError(
            f"{KEY}: {model!r} is no directory, is not in the hub's cache and could not be fetched "
            f"({type(error).__name__}); give a directory, or run `hf download {model}` on every node"
        ) from error
    _require_safetensors(model, set(os.listdir(directory)))
    return directory


def _require_safetensors(model: str, names: set[str]) -> None:
    if not any(name.endswith(".safetensors") for name in names):
        raise ModelError(
            f"{KEY}: {model!r} has no *.safetensors; headrace loads no other weights, as they may run code. "
            "Save the model again with transformers' save_pretrained"
        )


class _Spacy(SpacyNlpEngine):
    """As Presidio's, on the device that it is told."""

    def __init__(self, device: str, **options: Any) -> None:
        super().__init__(**options)
        self.device = device

    def _enable_gpu(self) -> None:
        if self.device != "cpu":
            spacy.require_gpu()


def _spacy(ner: Ner, place: str, configuration: NerModelConfiguration, device: str) -> SpacyNlpEngine:
    if ner.gpus and importlib.util.find_spec("cupy") is None:
        raise ModelError(
            f"pii.ner.gpus: {ner.gpus:g}: spaCy needs CuPy to use a GPU; install cupy, or set it to 0 and "
            "take more actors"
        )
    engine = _Spacy(
        device,
        models=[{"lang_code": LANGUAGE, "model_name": place}],
        ner_model_configuration=configuration,
    )
    try:
        engine.load()
    except Exception as error:
        raise ModelError(
            f"{KEY}: no spaCy model could be loaded from {ner.model!r}: {model_files.first_line(error)}"
        ) from error
    nlp = engine.nlp[LANGUAGE]
    if not any("doc.ents" in nlp.get_pipe_meta(name).assigns for name in nlp.pipe_names):
        raise ModelError(
            f"{KEY}: {ner.model!r} finds no names: its pipeline ({', '.join(nlp.pipe_names) or 'empty'}) has "
            "no component such as ner"
        )
    for name in nlp.pipe_names:
        if nlp.get_pipe_meta(name).factory in IDLE:
            nlp.disable_pipe(name)
    return engine


class _Pipe(HuggingFaceTokenPipe):
    """As Presidio's, but that nothing the model said is lost."""

    def _predict_one(self, doc: Any) -> Sequence[Mapping[str, Any]]:
        """What the model says of one text; Presidio's goes on with nothing where it fails."""
        found: Sequence[Mapping[str, Any]] = self._validate_predictions(self.pipeline(doc.text))
        return found

    def _add_predictions(self, doc: Any, predictions: Sequence[Mapping[str, Any]]) -> Any:
        """Put spans on `doc`; one that begins inside the last token of another keeps what is behind it."""
        apart, done = [], 0
        for one in sorted(predictions, key=lambda p: (p["start"], p["end"])):
            start = max(one["start"], done)
            start += len(doc.text[start : one["end"]]) - len(doc.text[start : one["end"]].lstrip())
            span = doc.char_span(start, one["end"], alignment_mode="expand") if start < one["end"] else None
            if span is not None:
                apart.append({**one, "start": start})
                done = span.end_char
        return super()._add_predictions(doc, apart)


@Language.factory(PIPE, default_config={"place": "", "device": "cpu", "batch": 32, "spans_key": "names"})
def _pipe(nlp: Language, name: str, place: str, device: str, batch: int, spans_key: str) -> _Pipe:
    """The spaCy component that asks a transformers model."""
    import transformers

    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    options = {"trust_remote_code": False, "local_files_only": True}
    tokenizer = transformers.AutoTokenizer.from_pretrained(place, **options)
    model, loaded = transformers.AutoModelForTokenClassification.from_pretrained(
        place, use_safetensors=True, output_loading_info=True, **options
    )
    if loaded["missing_keys"]:
        raise ValueError("it was not trained to classify tokens: weights are missing for it")
    if not tokenizer.is_fast:
        raise ValueError("it has no fast tokenizer, which is needed to know places in a text")
    # Without a limit of its own a tokenizer cuts nothing, and the model fails beyond its positions.
    most = getattr(model.config, "max_position_embeddings", None) or 0
    most = WINDOW if most <= 0 else most - 2 if most > WINDOW else most  # RoBERTa counts positions from 2
    tokenizer.model_max_length = min(tokenizer.model_max_length, most)
    asked = transformers.pipeline(
        "token-classification",
        model=model.eval(),
        tokenizer=tokenizer,
        aggregation_strategy="max",
        stride=min(STRIDE, tokenizer.model_max_length // 4),
        device=device,
        batch_size=batch,
    )
    return _Pipe(name=name, pipeline=asked, alignment_mode="expand", spans_key=spans_key)


class _Transformers(TransformersNlpEngine):
    """As Presidio's, but loaded over a blank tokenizer."""

    def __init__(self, place: str, device: str, batch: int, configuration: NerModelConfiguration) -> None:
        super().__init__(ner_model_configuration=configuration)
        self.options = {"place": place, "device": device, "batch": batch, "spans_key": self.entity_key}

    def load(self) -> None:
        """Load the model."""
        nlp = spacy.blank(LANGUAGE)
        nlp.max_length = 1 << 40  # the limit protects spaCy's own models
        nlp.add_pipe(PIPE, config=self.options)
        self.nlp = {LANGUAGE: nlp}


def _transformers(
    ner: Ner, place: str, configuration: NerModelConfiguration, device: str
) -> TransformersNlpEngine:
    engine = _Transformers(place, device, ner.batch, configuration)
    try:
        engine.load()
    except Exception as error:
        raise ModelError(
            f"{KEY}: no model that classifies tokens could be loaded from {ner.model!r}: "
            f"{model_files.first_line(error)}"
        ) from error
    return engine
