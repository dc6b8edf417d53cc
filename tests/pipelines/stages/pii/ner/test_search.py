"""Names by a model: small models trained here go through the code that loads any other."""

import itertools
import json
import os
import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import spacy
import transformers
from presidio_analyzer.nlp_engine import NerModelConfiguration, SpacyNlpEngine
from presidio_analyzer.predefined_recognizers import SpacyRecognizer

from headrace.cluster import session
from headrace.cluster.errors import ModelError, RecipeError
from headrace.pipelines import recipe, schema
from headrace.pipelines.passes import pools, prepare_worker
from headrace.pipelines.stages.clean import stage as clean
from headrace.pipelines.stages.pii import coverage as pii_coverage
from headrace.pipelines.stages.pii import stage as pii
from headrace.pipelines.stages.pii.config import Config, Ner
from headrace.pipelines.stages.pii.findings import Finding
from headrace.pipelines.stages.pii.ner import models as ner_models
from headrace.pipelines.stages.pii.ner import search as ner_search
from headrace.pipelines.stages.quality import stage as quality
from tests.builders import commits, prepare, run_command, save_recipe, table, text_table, write_jsonl
from tests.pipelines import name_models

Engine = Literal["spacy", "transformers"]
ENTITIES = {"PERSON": "PERSON", "GPE": "LOCATION", "ORG": "ORGANIZATION"}
FULL = "HEADRACE_SLOW" in os.environ
ANNA = "According to Anna Kowal , the printer is broken again ."


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """A small model of each engine, by its name."""
    folder = tmp_path_factory.mktemp("models")
    yield {
        "spacy": name_models.spacy_model(folder / "spacy"),
        "transformers": name_models.transformers_model(folder / "transformers"),
    }
    shutil.rmtree(folder)


@pytest.fixture(params=["spacy", "transformers"])
def ner(request: pytest.FixtureRequest, models: dict[str, str]) -> Ner:
    return Ner(engine=request.param, model=models[request.param])


def spans(texts: list[str | None], ner: Ner) -> list[tuple[int, int, int, str]]:
    """(row, start, end, entity) of what the model finds."""
    found = ner_search.names(pa.array(texts, pa.large_string()), ner)
    assert found.failures == {}
    return [(row, *finding[:3]) for row, finding in zip(found.rows, found.findings, strict=True)]


# What is found.


def test_names_stand_where_they_stand(ner: Ner) -> None:
    given = name_models.sentences(150, seed=99)
    wanted = [(row, *s[:2], ENTITIES[s[2]]) for row, (_, of) in enumerate(given) for s in of]
    found = spans([text for text, _ in given], ner)
    assert len(set(wanted) & set(found)) >= 0.97 * len(wanted)
    assert len(set(found) - set(wanted)) <= 0.03 * len(wanted)


def test_rows_are_told_apart_and_null_and_nothing_hold_nothing(ner: Ner) -> None:
    texts = [None, ANNA, "", "   ", "\n", ANNA, None]
    assert spans(texts, ner) == [(1, 13, 23, "PERSON"), (5, 13, 23, "PERSON")]
    assert spans([], ner) == []


def test_places_are_counted_in_characters(ner: Ner) -> None:
    text = "🙂 ünï 日本 👩‍👩‍👧 ! " + ANNA
    at = text.index("Anna")
    assert (0, at, at + 10, "PERSON") in spans([text], ner)


@pytest.mark.parametrize("given", [pa.string(), pa.large_string()])
def test_a_slice_of_an_array_is_read_as_such(ner: Ner, given: pa.DataType) -> None:
    texts = pa.array(["Anna Kowal", ANNA, "nothing here"], given).slice(1)
    assert ner_search.names(texts, ner).rows == [0]


def test_organisations_are_found_but_score_too_low_to_go(ner: Ner) -> None:
    text = "The order from Nordwind has not arrived yet ."
    found = pii.find([text], Config(ner=ner)).to_pylist()
    assert [(f["entity"], text[f["start"] : f["end"]]) for f in found] == [("ORGANIZATION", "Nordwind")]
    assert found[0]["score"] < Config().threshold
    sure = pii.find([text], Config(ner=ner.model_copy(update={"doubtful": ()}))).to_pylist()
    assert sure[0]["score"] > 0.8
    assert spans([text], ner.model_copy(update={"ignore": ("ORG",)})) == []


def test_labels_of_a_model_can_be_named(models: dict[str, str]) -> None:
    ner = Ner(engine="spacy", model=models["spacy"], labels={"PERSON": "CUSTOMER"})
    assert spans([ANNA], ner) == [(0, 13, 23, "CUSTOMER")]


def test_findings_are_those_of_plain_presidio(models: dict[str, str]) -> None:
    plain = SpacyNlpEngine(
        models=[{"lang_code": "en", "model_name": models["spacy"]}],
        ner_model_configuration=NerModelConfiguration(low_score_entity_names=["ORGANIZATION"]),
    )
    plain.load()
    recognizer = SpacyRecognizer()
    texts = [text for text, _ in name_models.sentences(60, seed=7)]
    wanted = [
        (row, (r.start, r.end, r.entity_type, r.score, "SpacyRecognizer"))
        for row, text in enumerate(texts)
        for r in recognizer.analyze(text, recognizer.supported_entities, plain.process_text(text, "en"))
    ]
    ner = Ner(engine="spacy", model=models["spacy"], batch=7)
    found = ner_search.names(pa.array(texts), ner)
    assert list(zip(found.rows, map(tuple, found.findings), strict=True)) == wanted


def test_model_and_patterns_find_side_by_side(ner: Ner) -> None:
    text = "please ask Anna Kowal at anna@example.com about the order"
    found = pii.find([None, text], Config(ner=ner)).to_pylist()
    assert {(f["row"], f["entity"], text[f["start"] : f["end"]]) for f in found} >= {
        (1, "PERSON", "Anna Kowal"),
        (1, "EMAIL_ADDRESS", "anna@example.com"),
    }
    assert [(f["row"], f["start"]) for f in found] == sorted((f["row"], f["start"]) for f in found)


def test_a_tag_holds_no_name(models: dict[str, str]) -> None:
    tag = ner_search.Asker(Ner(engine="spacy", model=models["spacy"], labels={"X": "PET"})).tag

    def left(text: str, start: int, end: int) -> list[str]:
        finding = Finding(start, end, "PERSON", 0.9, "model")
        return [text[f.start : f.end] for f in ner_search._untagged(text, finding, tag)]

    text = "According to <PERSON_12> Kowal , <US_SSN>"
    assert left(text, 13, 24) == left(text, 14, 23) == left(text, 15, 17) == []
    assert left(text, 13, 30) == ["Kowal"]
    assert left(text, 0, 41) == ["According to", "Kowal ,"]
    assert left(text, 10, 16) == ["to"]
    assert left("Anna <PET> Bo", 0, 13) == ["Anna", "Bo"]
    assert left("Anna <KOWAL> <b>", 0, 16) == ["Anna <KOWAL> <b>"]
    assert left("  Anna ", 0, 7) == ["Anna"]


def test_what_was_replaced_is_not_found_again(ner: Ner) -> None:
    texts = [text for text, _ in name_models.sentences(40, seed=3)]
    done = pii.apply(text_table(texts), Config(ner=ner))
    assert done["error"].null_count == len(texts)
    masked = schema.contents(done)[2]
    assert "<PERSON" in str(masked)
    found = pii.find(masked, Config(ner=ner)).to_pylist()
    assert [f for f in found if f["score"] >= 0.4] == []


def test_words_that_were_met_are_not_kept(ner: Ner) -> None:
    asker = ner_search.Asker(ner)
    vocabulary = asker.engine.nlp["en"].vocab
    draw = random.Random(2)
    asker.ask([ANNA])
    before = sum(1 for _ in vocabulary), len(vocabulary.strings)
    for _ in range(20):
        words = ["".join(draw.choices("abcdefgh", k=9)) for _ in range(30)]
        assert len(asker.ask([f"{ANNA} {' '.join(words)}", ANNA])) == 2
    assert (sum(1 for _ in vocabulary), len(vocabulary.strings)) == before
    assert [f[:3] for f in asker.ask([ANNA])[0]] == [(13, 23, "PERSON")]


# Long texts.


@pytest.mark.parametrize("filler", ["please ask about it , ", "so .\n", "и так далее . "])
def test_a_long_text_is_looked_through_to_its_end(ner: Ner, filler: str) -> None:
    """Names all over it, by the ends of pieces too; the tiny transformer sees 64 tokens at once."""
    text = ANNA.join([filler * 200] * (200 // len(filler)))
    assert len(text) > 1.2 * ner_search.PIECE
    places = [i for i in range(len(text)) if text.startswith("Anna", i)]
    found = {s[1:] for s in spans([text], ner)}
    assert {(i, i + 10, "PERSON") for i in places} <= found


def test_pieces_cover_a_text_and_end_between_words() -> None:
    draw = random.Random(5)
    text = " ".join("".join(draw.choices("abcdefg", k=draw.randint(1, 12))) for _ in range(12_000))
    end = 0
    for start, piece in ner_search._pieces(text):
        assert len(piece) <= ner_search.PIECE
        assert text[start : start + len(piece)] == piece
        assert start <= end - ner_search.OVERLAP or not start
        assert not start or text[start - 1] == " "
        end = start + len(piece)
    assert end == len(text)


def test_a_text_without_a_break_is_cut_all_the_same() -> None:
    pieces = list(ner_search._pieces("x" * 70_001))
    assert pieces[-1][0] + len(pieces[-1][1]) == 70_001
    assert all(after[0] < before[0] + len(before[1]) for before, after in itertools.pairwise(pieces))


def test_a_name_beside_one_in_the_same_token_is_not_lost(models: dict[str, str]) -> None:
    """ "Anna_Berta Kowal": what is behind the first finding's token is a finding of its own."""
    engine = ner_models.load(Ner(engine="transformers", model=models["transformers"]), device="cpu")
    pipe = engine.nlp["en"].get_pipe(ner_models.PIPE)
    text = "anna_berta kowal came"
    given = [
        {"entity_group": "PER", "score": 0.9, "start": 0, "end": 4},
        {"entity_group": "PER", "score": 0.8, "start": 5, "end": 16},
        {"entity_group": "PER", "score": 0.7, "start": 5, "end": 10},
    ]
    pipe.pipeline = lambda texts: [given for _ in texts] if isinstance(texts, list) else given
    _, artifacts = next(engine.process_batch([text], "en"))
    assert [(s.text, score) for s, score in zip(artifacts.entities, artifacts.scores, strict=True)] == [
        ("anna_berta", 0.9),
        ("kowal", 0.8),
    ]


# Failures.


def failing(monkeypatch: pytest.MonkeyPatch, ner: Ner, word: str) -> None:
    """Have the model fail on texts that hold `word`."""
    asker = ner_search._asker(ner.model_dump_json())
    nlp = asker.engine.nlp["en"]
    if ner.engine == "spacy":

        @spacy.Language.component("failing")
        def component(doc: Any) -> Any:
            if word in doc.text:
                raise ValueError(f"cannot read {doc.text}")
            return doc

        nlp.add_pipe("failing", last=True)
        monkeypatch.setattr(nlp, "_components", nlp._components)
        return
    pipe = nlp.get_pipe(ner_models.PIPE)
    sound = pipe.pipeline

    def broken(texts: Any) -> Any:
        if word in str(texts):
            raise ValueError(f"cannot read {texts}")
        return sound(texts)

    monkeypatch.setattr(pipe, "pipeline", broken)


def test_a_text_that_the_model_fails_on_is_set_aside(
    ner: Ner, monkeypatch: pytest.MonkeyPatch, models: dict[str, str]
) -> None:
    ner = ner.model_copy(update={"batch": 5})  # an asker of its own
    failing(monkeypatch, ner, "xyzzy")
    texts = [ANNA, "xyzzy and Anna Kowal", None, "nothing here", "xyzzy and Anna Kowal"]
    found = ner_search.names(pa.array(texts), ner)
    assert found.failures == {1: "ValueError", 4: "ValueError"}
    assert found.rows == [0]
    with pytest.raises(pii.UnexaminedError, match=r"rows \[1, 4\]") as raised:
        pii.find(texts, Config(ner=ner))
    assert "xyzzy" not in str(raised.value)
    done = pii.apply(text_table(["xyzzy and Anna Kowal", ANNA]), Config(ner=ner))
    assert done["error"].to_pylist() == ["pii.error", None]
    assert done["detail"].to_pylist()[0] == "ValueError"
    assert "Anna" not in str(done["messages"].to_pylist())
    ner_search._asker.cache_clear()


# What is wrong with a model.


@pytest.mark.parametrize(
    ("engine", "model", "words"),
    [
        ("spacy", "/nowhere/model", ["'/nowhere/model' is not a directory"]),
        (
            "spacy",
            "en_core_web_nothing",
            ["python -m spacy download en_core_web_nothing", "give a directory"],
        ),
        ("spacy", "s3://bucket/model", ["local directories only"]),
        ("spacy", "numpy", ["no spaCy model could be loaded from 'numpy'"]),
        ("transformers", "./nowhere", ["'./nowhere' is not a directory"]),
        ("transformers", "nobody/at-home", ["hf download nobody/at-home", "give a directory"]),
        ("transformers", "no such name", ["could not be fetched"]),
    ],
)
def test_a_missing_model_is_named_with_what_to_do(
    engine: Engine, model: str, words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ModelError, match=r"^pii\.ner\.model: ") as raised:
        ner_search.unused(Ner(engine=engine, model=model))
    assert all(word in str(raised.value) for word in words), str(raised.value)


def test_a_hub_name_is_read_from_the_cache(
    tmp_path: Path, models: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    of = tmp_path / "models--some--names"
    shutil.copytree(models["transformers"], of / "snapshots/0123456789")
    (of / "refs").mkdir()
    (of / "refs/main").write_text("0123456789")
    ner = Ner(engine="transformers", model="some/names")
    assert ner_search.unused(ner) == []
    assert ner_models.digest(ner) == ner_models.digest(
        ner.model_copy(update={"model": models["transformers"]})
    )
    (of / "snapshots/0123456789/model.safetensors").unlink()  # as by a tool that wanted the rest alone
    with pytest.raises(ModelError, match=r"'some/names' .*safetensors|could not be fetched"):
        ner_models.digest(ner)


def test_a_directory_that_is_no_model_is_refused(tmp_path: Path, models: dict[str, str]) -> None:
    def refused(engine: Engine, model: Path | str) -> str:
        with pytest.raises(ModelError, match=r"^pii\.ner\.model: ") as raised:
            ner_search.unused(Ner(engine=engine, model=str(model)))
        return str(raised.value)

    assert "it has no config.cfg" in refused("spacy", models["transformers"])
    assert "it has no config.json" in refused("transformers", models["spacy"])
    blank = spacy.blank("en")
    blank.add_pipe("sentencizer")
    blank.to_disk(tmp_path / "blank")
    assert "finds no names: its pipeline (sentencizer) has no component such as ner" in refused(
        "spacy", tmp_path / "blank"
    )
    untaught = transformers.BertModel(transformers.BertConfig.from_pretrained(models["transformers"]))
    untaught.save_pretrained(tmp_path / "untaught")
    name_models._tokenizer().save_pretrained(tmp_path / "untaught")
    assert "weights are missing" in refused("transformers", tmp_path / "untaught")
    shutil.copytree(models["transformers"], tmp_path / "pickled")
    os.rename(tmp_path / "pickled/model.safetensors", tmp_path / "pickled/pytorch_model.bin")
    assert "no *.safetensors" in refused("transformers", tmp_path / "pickled")
    shutil.copytree(models["spacy"], tmp_path / "broken")
    (tmp_path / "broken/ner/model").unlink()
    assert "no spaCy model could be loaded" in refused("spacy", tmp_path / "broken")


def test_labels_that_nobody_knows_are_told(tmp_path: Path, models: dict[str, str]) -> None:
    shutil.copytree(models["transformers"], tmp_path / "other")
    config = json.loads((tmp_path / "other/config.json").read_text())
    config["id2label"] = {k: v.replace("LOC", "PLANET") for k, v in config["id2label"].items()}
    (tmp_path / "other/config.json").write_text(json.dumps(config))
    ner = Ner(engine="transformers", model=str(tmp_path / "other"))
    assert ner_search.unused(ner) == ["PLANET"]
    assert ner_search.unused(ner.model_copy(update={"labels": {"PLANET": "LOCATION"}})) == []
    config["id2label"] = {k: f"LABEL_{k}" for k in config["id2label"]}
    (tmp_path / "other/config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match=r"its labels are LABEL_0, .* Map them with pii\.ner\.labels"):
        ner_search.unused(ner)


@pytest.mark.parametrize("given", [{"engine": "spacy"}, {"model": "en_core_web_sm"}])
def test_engine_and_model_go_together(given: dict[str, str]) -> None:
    data = {"output": "run", "sources": [{"path": "in"}], "pii": {"ner": given}}
    with pytest.raises(RecipeError, match=r"pii\.ner.*engine and model go together"):
        recipe.validate(data, "recipe.yaml")


def test_a_mark_says_what_a_model_is(tmp_path: Path, models: dict[str, str], ner: Ner) -> None:
    moved = Path(shutil.copytree(str(ner.model), tmp_path / "moved"))
    here, there = ner, ner.model_copy(update={"model": str(moved)})
    assert ner_models.digest(here) == ner_models.digest(there)
    changed = moved / ("meta.json" if ner.engine == "spacy" else "config.json")
    changed.write_text(changed.read_text() + "\n")
    assert ner_models.digest(here)[0] != ner_models.digest(there)[0]
    assert ner_models.digest(here)[1:] == ner_models.digest(there)[1:]


# Pools.


def test_the_pool_is_as_large_as_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "cpus", lambda: 4)
    monkeypatch.setattr(session, "gpus", lambda: 0)
    data = {"output": "run", "sources": [{"path": "in"}], "pii": {"ner": {"engine": "spacy", "model": "m"}}}

    def pool(device: str = "auto", **ner: float) -> tuple[int, float]:
        given = {"pii": {"ner": {**data["pii"]["ner"], **ner}}, "dedup": {"device": device}}  # type: ignore[index]
        of = recipe.validate({**data, **given}, "recipe.yaml")
        made = pools.pool(of, prepare_worker.Job(of, (), {}, pooled=0), prepare_worker.begin)
        assert made is not None
        return made.size, made.gpus

    assert pool(actors=3) == (3, 0)
    with pytest.raises(RecipeError, match=r"pii\.ner\.actors: 4 do not fit .* \(CPUs: 4, .*\); 3 do"):
        pool(actors=4)
    with pytest.raises(RecipeError, match=r"pii\.ner\.gpus: 0\.5, and this cluster has no GPU; set it to 0"):
        pool(gpus=0.5)
    monkeypatch.setattr(session, "gpus", lambda: 2)
    assert pool(actors=6, gpus=0.3) == (6, 0.3)
    with pytest.raises(RecipeError, match=r"actors: 7 do not fit into this cluster \(GPUs: 2\); 6 do"):
        pool(actors=7, gpus=0.3)
    with pytest.raises(RecipeError, match=r"dedup\.device: gpu, and rows are sketched where names are found"):
        pool("gpu")
    assert pool("gpu", gpus=1, actors=2) == (2, 1)


def test_the_pool_begins_where_names_are_found() -> None:
    names = ("clean", "pii", "fingerprint")
    data: dict[str, Any] = {"output": "run", "sources": [{"path": "in"}]}
    assert names[pools.first_stage(recipe.validate(data, "r"), names) :] == names[2:]
    data["pii"] = {"ner": {"engine": "spacy", "model": "m"}}
    assert names[pools.first_stage(recipe.validate(data, "r"), names) :] == names[1:]
    data["pii"]["enabled"] = False
    assert names[pools.first_stage(recipe.validate(data, "r"), names) :] == names[2:]


# Whole runs.


def write(folder: Path, conversations: int = 40) -> None:
    """Conversations in whole, in two files, and others one turn a record."""
    given = iter(name_models.sentences(2 * conversations + 40, seed=11))
    whole = []
    for _ in range(conversations):
        asked, answered = next(given)[0], next(given)[0]
        whole.append(
            {"messages": [{"role": "user", "content": asked}, {"role": "assistant", "content": answered}]}
        )
    turns = [
        {"conversation": f"c{i // 2}", "turn": i % 2, "speaker": ("user", "assistant")[i % 2], "text": text}
        for i, (text, _) in enumerate(given)
    ]
    write_jsonl(folder / "whole/1.jsonl", whole[: conversations // 2])
    write_jsonl(folder / "whole/2.jsonl", whole[conversations // 2 :])
    write_jsonl(folder / "turns/1.jsonl", turns)


def make(inputs: Path, run: Path, **ner: Any) -> dict[str, Any]:
    """A recipe over what `write` wrote, cut into several fragments."""
    return {
        "output": str(run),
        "sources": [
            {"name": "whole", "path": f"{inputs}/whole"},
            {
                "name": "turns",
                "path": f"{inputs}/turns",
                "group_by": "conversation",
                "order_by": "turn",
                "columns": {"role": "speaker", "content": "text"},
            },
        ],
        "fragment_size": "4KiB",
        "dedup": {"near": False},
        "tokenise": {"max_length": 128},
        "pii": {"ner": ner} if ner else {},
    }


def kept(run: Path) -> str:
    """All that stands in prepared/, as text."""
    return "\n".join(
        str(pq.read_table(p)["messages"].to_pylist()) for p in sorted((run / "prepared").iterdir())
    )


@pytest.fixture(scope="module")
def base(
    ray_local: None, tmp_path_factory: pytest.TempPathFactory, models: dict[str, str]
) -> Iterator[tuple[Path, dict[str, Any]]]:
    """A run with the spaCy model and one actor, with its run.json."""
    folder = tmp_path_factory.mktemp("named")
    write(folder / "in")
    yield (
        folder,
        prepare(
            folder / "r.yaml", make(folder / "in", folder / "run", engine="spacy", model=models["spacy"])
        ),
    )
    shutil.rmtree(folder)


def assert_names_are_gone(run: Path, least: int = 30) -> None:
    """At least so many names are replaced, and hardly one is left."""
    text = kept(run)
    held = sum(text.count(f"{name} ") for name in name_models.FIRST)
    assert text.count("<PERSON") > least
    assert held <= 0.03 * text.count("<PERSON")


@pytest.mark.ray
def test_actors_change_nothing_and_names_are_gone(
    base: tuple[Path, dict[str, Any]], tmp_path: Path, models: dict[str, str]
) -> None:
    folder, one = base
    data = make(folder / "in", tmp_path / "run", engine="spacy", model=models["spacy"], actors=2)
    two = prepare(tmp_path / "recipe.yaml", data)
    assert one["digest"] == two["digest"]
    assert one["pii"] == two["pii"]
    for path in sorted((folder / "run/prepared").iterdir()):
        assert path.read_bytes() == (tmp_path / "run/prepared" / path.name).read_bytes()
    assert_names_are_gone(folder / "run")
    covered = one["pii_coverage"]
    assert (covered["names"], covered["engine"], covered["model"]) == ("model", "spacy", models["spacy"])
    assert covered["mark"] == ner_models.digest(Ner(engine="spacy", model=models["spacy"]))
    assert "Names: found by the spacy model" in (folder / "run/report.html").read_text()


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.parametrize("actors", [1, 2] if FULL else [2])
def test_a_transformer_in_actors_writes_what_it_does_here(
    ray_local: None, tmp_path: Path, models: dict[str, str], actors: int
) -> None:
    """Also with the batches of other parts: places of names do not hang on what is read together."""
    conversations = 40 if FULL else 16
    write(tmp_path / "in", conversations)
    data = make(tmp_path / "in", tmp_path / "run", engine="transformers", model=models["transformers"])
    data["sources"] = data["sources"][:1]
    data["pii"]["ner"]["actors"] = actors
    prepare(tmp_path / "recipe.yaml", data)
    assert_names_are_gone(tmp_path / "run", least=conversations // 2)
    lines = [t for p in sorted((tmp_path / "in/whole").iterdir()) for t in p.read_text().splitlines()]
    talks = [[(m["role"], m["content"]) for m in json.loads(line)["messages"]] for line in lines]
    given = table(*talks)
    of = recipe.validate(data, "r")
    here = pii.apply(quality.apply(clean.apply(given, of.clean), of.quality), of.pii)
    here = here.filter(schema.live(here))
    written = pa.concat_tables(pq.read_table(p) for p in sorted((tmp_path / "run/prepared").iterdir()))
    assert written["messages"].to_pylist() == here["messages"].to_pylist()


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.skipif(not FULL, reason="a minute of actors; HEADRACE_SLOW=1 runs it")
def test_a_changed_model_is_asked_again_and_a_moved_one_is_not(
    ray_local: None, tmp_path: Path, models: dict[str, str]
) -> None:
    write(tmp_path / "in")
    model = Path(shutil.copytree(models["spacy"], tmp_path / "model"))
    data = make(tmp_path / "in", tmp_path / "run", engine="spacy", model=str(model))
    data["sources"] = data["sources"][:1]
    prepare(tmp_path / "recipe.yaml", data)
    before = commits(tmp_path / "run", "prepare")
    data["pii"]["ner"] |= {"model": str(model.rename(tmp_path / "moved")), "actors": 2}
    prepare(tmp_path / "recipe.yaml", data)
    assert commits(tmp_path / "run", "prepare") == before
    meta = tmp_path / "moved/meta.json"
    meta.write_text(meta.read_text() + " ")
    prepare(tmp_path / "recipe.yaml", data)
    assert not before.items() & commits(tmp_path / "run", "prepare").items()


@pytest.mark.ray
def test_a_run_with_a_model_can_be_looked_up(base: tuple[Path, dict[str, Any]]) -> None:
    folder, _ = base
    asked = json.loads((folder / "in/whole/1.jsonl").read_text().splitlines()[0])["messages"][0]["content"]
    code, out, err = run_command(["lookup", str(folder / "run"), asked])
    assert (code, err) == (0, "")
    assert "similarity 1.000" in out


@pytest.mark.ray
def test_a_recipe_is_refused_before_work(ray_local: None, tmp_path: Path, models: dict[str, str]) -> None:
    write(tmp_path / "in")
    path = tmp_path / "recipe.yaml"
    missing = make(tmp_path / "in", tmp_path / "run", engine="spacy", model=str(tmp_path / "gone"))
    for command in ("check", "prepare"):
        code, _, err = run_command([command, save_recipe(path, missing)])
        assert code == 2
        assert f"pii.ner.model: '{tmp_path / 'gone'}' is not a directory" in err
    gpu = make(tmp_path / "in", tmp_path / "run", engine="transformers", model=models["transformers"], gpus=1)
    code, _, err = run_command(["prepare", save_recipe(path, gpu)])
    assert code == 2
    assert "pii.ner.gpus: 1, and this cluster has no GPU; set it to 0" in err
    assert commits(tmp_path / "run", "prepare") == {}
    missing["pii"]["enabled"] = False
    code, out, _ = run_command(["check", save_recipe(path, missing)])
    assert code == 0
    assert "personal data: not looked for" in out


@pytest.mark.ray
def test_without_a_model_the_run_says_so(ray_local: None, tmp_path: Path) -> None:
    write(tmp_path / "in")
    path = save_recipe(tmp_path / "recipe.yaml", make(tmp_path / "in", tmp_path / "run"))
    code, out, _ = run_command(["prepare", path])
    assert code == 0
    line = pii_coverage.sentence({"names": "context"})
    assert "not by a model" in line
    assert out.count(line) == 1
    covered = json.loads((tmp_path / "run/run.json").read_text())["pii_coverage"]
    assert covered == {"names": "context", "mark": []}
    assert "not by a model" in (tmp_path / "run/report.html").read_text()
