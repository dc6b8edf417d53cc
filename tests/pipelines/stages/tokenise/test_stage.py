"""Samples: length policies, marks, engines, tokenizers of other kinds, and where tokenizers come from."""

import gzip
import json
import pickle
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import (
    AddedToken,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)
from transformers import PreTrainedTokenizerFast

from headrace.cluster import storage
from headrace.cluster.errors import ModelError
from headrace.pipelines import schema
from headrace.pipelines.stages.tokenise import stage as tokenise
from headrace.pipelines.stages.tokenise.assets import build_tokenizer
from headrace.pipelines.stages.tokenise.pretrained import SHIPPED
from headrace.pipelines.stages.tokenise.proof import Proof, prove
from headrace.pipelines.stages.tokenise.tokenizer import Tokenizer as Chat
from tests.builders import table

QWEN3 = (Path(__file__).parent / "templates" / "qwen3.jinja").read_text("utf-8")
LLAMA2 = (Path(__file__).parent / "templates" / "llama2.jinja").read_text("utf-8")
CHATML = (Path(__file__).parent / "templates" / "chatml.jinja").read_text("utf-8")


@pytest.fixture(scope="module")
def shipped() -> Chat:
    return Chat()


def run(
    chat: Chat, rows: pa.Table, loss: str = "assistant", **config: Any
) -> tuple[pa.Table, list[dict[str, Any]]]:
    marked, samples = tokenise.apply(rows, tokenise.Config(**config), chat, {"s": loss})
    assert marked.num_rows == rows.num_rows
    assert samples.schema == tokenise.SAMPLES
    return marked, samples.to_pylist()


def learned(chat: Chat, sample: dict[str, Any]) -> str:
    """Text of the tokens that carry loss."""
    return str(chat.hf.decode([t for t in sample["labels"] if t >= 0], skip_special_tokens=False))


def text(chat: Chat, sample: dict[str, Any]) -> str:
    return str(chat.hf.decode(sample["input_ids"], skip_special_tokens=False))


ASK, SAY = ("user", "What is 2 + 2?"), ("assistant", "It is 4.")


def test_exact_ids_and_labels(shipped: Chat) -> None:
    _, (sample,) = run(shipped, table([("user", "hi"), ("assistant", "Yes")], first=7 << 32))
    vocabulary = shipped.hf.get_vocab()
    header = [
        vocabulary[t]
        for t in ("<|im_start|>", "user", "Ċ", "hi", "<|im_end|>", "Ċ", "<|im_start|>", "assistant", "Ċ")
    ]
    say = [vocabulary["Yes"], vocabulary["<|im_end|>"]]
    assert sample["input_ids"] == [*header, *say, vocabulary["Ċ"]]
    assert sample["labels"] == [-100] * len(header) + say + [-100]
    assert (sample["row_id"], sample["piece"]) == (7 << 32, 0)


def test_plain_text_has_no_template_and_loss_on_all(shipped: Chat) -> None:
    _, (sample,) = run(shipped, table([("text", " two  spaces\n")]))
    assert text(shipped, sample) == " two  spaces\n<|im_end|>"
    assert sample["labels"] == sample["input_ids"]


def test_rows_without_a_target_are_dropped_unless_their_source_asks_for_all(shipped: Chat) -> None:
    rows = table([ASK], [ASK, ("assistant", "")], [ASK, SAY])
    marked, samples = run(shipped, rows)
    assert marked["drop"].to_pylist() == ["tokenise.no_target", "tokenise.no_target", None]
    assert len(samples) == 1
    marked, samples = run(shipped, rows, loss="all")
    assert marked["drop"].null_count == 3
    assert learned(shipped, samples[0]) == "What is 2 + 2?<|im_end|>"


def test_rows_marked_before_are_passed_over(shipped: Chat) -> None:
    rows = schema.mark_where(
        table([ASK, SAY], [ASK], [ASK, SAY], first=7 << 32), np.array([True, True, False]), "dedup.exact"
    )
    marked, samples = run(shipped, rows)
    assert marked["drop"].to_pylist() == ["dedup.exact", "dedup.exact", None]
    assert [s["row_id"] for s in samples] == [7 << 32 | 2]


def test_rows_that_cannot_be_used_are_quarantined_alone(shipped: Chat) -> None:
    rows = table(
        [ASK, SAY], [ASK, ("assistant", None)], None, [], [("narrator", "x"), SAY], [("text", "x"), SAY]
    )
    marked, samples = run(shipped, rows)
    assert marked["error"].to_pylist() == [None, *["tokenise.error"] * 5]
    assert marked["detail"].to_pylist()[1:] == [
        "a content that is null",
        "no messages",
        "no messages",
        "an unknown role",
        "a text among other messages",
    ]
    assert len(samples) == 1


def test_no_rows(shipped: Chat) -> None:
    marked, samples = run(shipped, table())
    assert samples == []
    assert marked.num_rows == 0


SYSTEM = ("system", "Be kind.")
LONG = [
    SYSTEM,
    *[m for i in range(6) for m in (("user", f"question {i}"), ("assistant", f"answer {i} " * 4))],
]


def test_long_conversations_are_split_between_exchanges_each_led_by_the_system_turn(shipped: Chat) -> None:
    _, (whole,) = run(shipped, table(LONG))
    marked, samples = run(shipped, table([ASK, SAY], LONG, [ASK, SAY], first=7 << 32), max_length=70)
    assert marked["shortened"].to_pylist() == [False] * 3, "all of it is in some piece"
    pieces = [s for s in samples if s["row_id"] == 7 << 32 | 1]
    assert [s["row_id"] & 3 for s in samples] == [0, *[1] * len(pieces), 2]
    assert [s["piece"] for s in pieces] == list(range(len(pieces)))
    assert len(pieces) > 2
    head = "<|im_start|>system\nBe kind.<|im_end|>\n<|im_start|>user\nquestion"
    assert all(text(shipped, s).startswith(head) for s in pieces)
    assert all(len(s["input_ids"]) <= 70 for s in pieces)
    assert "".join(learned(shipped, s) for s in pieces) == learned(shipped, whole)


def test_pieces_are_as_long_as_fit(shipped: Chat) -> None:
    _, (whole,) = run(shipped, table(LONG))
    _, pieces = run(shipped, table(LONG), max_length=len(whole["input_ids"]) - 1)
    assert [learned(shipped, s).count("<|im_end|>") for s in pieces] == [5, 1]


def test_an_exchange_that_does_not_fit_alone_is_left_out(shipped: Chat) -> None:
    big = ("user", "very " * 100)
    rows = table([ASK, SAY, big, SAY, ASK, ("assistant", "Four.")], [big, SAY])
    marked, samples = run(shipped, rows, max_length=64)
    assert marked["drop"].to_pylist() == [None, "tokenise.too_long"]
    assert marked["shortened"].to_pylist() == [True, True]
    assert [learned(shipped, s) for s in samples] == ["It is 4.<|im_end|>", "Four.<|im_end|>"]
    assert [s["piece"] for s in samples] == [0, 1]


def test_pieces_without_a_target_are_left_out(shipped: Chat) -> None:
    rows = table([ASK, SAY, ("user", "more " * 40)])
    _, samples = run(shipped, rows, max_length=64)
    assert [learned(shipped, s) for s in samples] == ["It is 4.<|im_end|>"]


def test_long_texts_are_split_by_tokens(shipped: Chat) -> None:
    content = "word " * 50
    _, (whole,) = run(shipped, table([("text", content)]))
    _, samples = run(shipped, table([("text", content)]), max_length=16)
    assert [len(s["input_ids"]) for s in samples[:-1]] == [16] * (len(samples) - 1)
    assert [t for s in samples for t in s["input_ids"]] == whole["input_ids"]


def test_truncate_cuts_the_end_and_drops_what_has_no_target_left(shipped: Chat) -> None:
    rows = table([ASK, ("assistant", "one two three " * 20)], [("user", "very " * 100), SAY])
    marked, samples = run(shipped, rows, max_length=32, overlong="truncate")
    assert marked["drop"].to_pylist() == [None, "tokenise.no_target"]
    assert marked["shortened"].to_pylist() == [True, True]
    _, whole = run(shipped, rows)
    assert samples[0]["input_ids"] == whole[0]["input_ids"][:32]
    assert samples[0]["labels"] == whole[0]["labels"][:32]


def test_drop_leaves_long_rows_out(shipped: Chat) -> None:
    marked, samples = run(shipped, table(LONG, [ASK, SAY]), max_length=64, overlong="drop")
    assert marked["drop"].to_pylist() == ["tokenise.too_long", None]
    assert len(samples) == 1


CONTENT = st.text(st.sampled_from("ab .\n漢é"), min_size=1, max_size=30)


@settings(max_examples=30, deadline=None)
@given(turns=st.lists(st.tuples(CONTENT, CONTENT), min_size=1, max_size=6), limit=st.integers(16, 90))
def test_no_target_is_lost_or_doubled_by_splitting(shipped: Chat, turns: Any, limit: int) -> None:
    conversation = [m for ask, say in turns for m in (("user", ask), ("assistant", say))]
    marked, pieces = run(shipped, table(conversation), max_length=limit)
    assert all(len(p["input_ids"]) <= limit for p in pieces)
    exchanges = [
        run(shipped, table(list(conversation[i : i + 2])))[1][0] for i in range(0, len(conversation), 2)
    ]
    fitting = [e for e in exchanges if len(e["input_ids"]) <= limit]
    targets = [t for p in pieces for t in p["labels"] if t >= 0]
    assert targets == [t for e in fitting for t in e["labels"] if t >= 0]
    assert (marked["drop"].to_pylist() == ["tokenise.too_long"]) == (not fitting)


def test_batches_do_not_matter(shipped: Chat) -> None:
    conversations = [[ASK, SAY], LONG, [("text", "abc " * 40)], [ASK], [SYSTEM, ASK, SAY]]
    _, together = run(shipped, table(*conversations), max_length=64)
    apart = [run(shipped, table(c), max_length=64)[1] for c in conversations]
    assert [s["input_ids"] for s in together] == [s["input_ids"] for part in apart for s in part]


# Engines and other kinds of tokenizers


def save(core: Tokenizer, path: Path, template: str, **names: str) -> str:
    fast = PreTrainedTokenizerFast(tokenizer_object=core, **names)
    fast.chat_template = template
    fast.save_pretrained(path)
    return str(path)


def sentencepiece_like(path: Path, template: str, scheme: str) -> str:
    """A BPE over `▁` words with byte fall-back, as Llama 2's and Mistral's are."""
    core = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    if scheme == "prepend":
        core.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    else:
        core.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=scheme, split=False)
    core.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    specials = ["<unk>", "<s>", "</s>", "[INST]", "[/INST]"]
    trainer = trainers.BpeTrainer(vocab_size=700, special_tokens=specials, show_progress=False)
    lines = list(build_tokenizer.texts(count=400))
    core.train_from_iterator((word for line in lines for word in line.split()), trainer)
    state = json.loads(core.to_str())
    vocabulary = state["model"]["vocab"]
    for token in [f"<0x{byte:02X}>" for byte in range(256)] + ["▁", "\n"]:
        vocabulary.setdefault(token, len(vocabulary))
    core = Tokenizer.from_str(json.dumps(state))
    core.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return save(core, path, template, bos_token="<s>", eos_token="</s>", unk_token="<unk>")


MISTRAL = (Path(__file__).parent / "templates" / "mistral.jinja").read_text("utf-8")


@pytest.mark.parametrize("scheme", ["first", "always", "never", "prepend"])
@pytest.mark.parametrize("template", [LLAMA2, MISTRAL], ids=["llama2", "mistral"])
def test_tokenizers_that_treat_the_start_of_a_text_apart(tmp_path: Path, scheme: str, template: str) -> None:
    chat = Chat(sentencepiece_like(tmp_path, template, scheme))
    conversation = [("user", "hi there, 漢 you"), ("assistant", "the answer\nis é 4"), ASK, SAY]
    _, (sample,) = run(chat, table(conversation))
    messages = [{"role": r, "content": c} for r, c in conversation]
    assert sample["input_ids"] == chat.hf.apply_chat_template(messages, return_dict=False)
    assert None not in chat._programs.values()
    tail = " </s>" if template == LLAMA2 else "</s>"
    assert learned(chat, sample).replace(" ", "") == f"the answer\nis é 4{tail}It is 4.{tail}".replace(
        " ", ""
    )
    _, (sample,) = run(chat, table([("text", "one two")]))
    assert sample["input_ids"] == [*chat.hf("one two")["input_ids"], chat.eos_id]
    assert sample["labels"][0] == -100


def test_an_encoder_that_changes_the_text_is_asked_for_places(tmp_path: Path) -> None:
    """NFC makes one character of two: bytes of tokens no longer add up, and the mask is still exact."""
    core = Tokenizer.from_file(str(SHIPPED / "tokenizer.json"))
    core.normalizer = normalizers.NFC()
    alpaca = (Path(__file__).parent / "templates" / "alpaca.jinja").read_text("utf-8")
    chat = Chat(save(core, tmp_path, alpaca, eos_token="<|im_end|>", pad_token="<|endoftext|>"))
    conversation = [("user", "Cafe\u0301 and nai\u0308ve?"), ("assistant", "Re\u0301sume\u0301 it is")]
    _, (sample,) = run(chat, table(conversation))
    assert learned(chat, sample) == "Résumé it is\n\n<|im_end|>"


def test_both_engines_give_the_same_samples(shipped: Chat) -> None:
    slow = Chat(engine="tokenizers")
    assert (shipped.engine, slow.engine) == ("gigatoken", "tokenizers")
    rows = table(
        LONG, [ASK, SAY], [("text", "x <|im_end|> 漢字 \u0301\u200d y")], [("user", "<|im_start|>"), SAY]
    )
    assert run(shipped, rows, max_length=64)[1] == run(slow, rows, max_length=64)[1]


def test_gigatoken_is_left_where_it_gives_other_ids(monkeypatch: pytest.MonkeyPatch) -> None:
    import gigatoken

    honest = gigatoken.Tokenizer.from_json

    class Wrong:
        def __init__(self, data: str) -> None:
            self.backend = self
            self._honest = honest(data).backend

        def encode_batch(self, texts: Any, parallel: bool) -> Any:
            return self._honest.encode_batch(texts[::-1], parallel=parallel)

    monkeypatch.setattr(gigatoken.Tokenizer, "from_json", Wrong)
    chat = Chat()
    assert chat.engine == "tokenizers (gigatoken gives other ids on a sample)"
    with pytest.raises(ModelError, match=r"tokenise\.engine is 'gigatoken', but"):
        Chat(engine="gigatoken")


def wrong_on_zebras(honest: Any) -> Any:
    """An encoder that gives another id at the end where a text speaks of a zebra."""

    def wrong(own: Any, data: Any, offsets: Any) -> Any:
        ids, ends = honest(own, data, offsets)
        ids = ids.copy()
        if b"zebra" in data.tobytes():
            ids[-1] += 1
        return ids, ends

    return wrong


def test_gigatoken_is_left_for_the_whole_run_when_a_row_shows_it_wrong(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from headrace.pipelines.stages.tokenise import encoder, tokenizer

    honest, right = encoder._fast_encode, Chat(engine="tokenizers")

    monkeypatch.setattr(encoder, "_fast_encode", wrong_on_zebras(honest))
    tokenizer.load.cache_clear()
    good, bad = table([ASK, SAY]), table([ASK, SAY], [ASK, ("assistant", "zebra")])
    assert prove(good, None, tokenise.Config()) == Proof("auto")
    settled = prove(bad, None, tokenise.Config())
    assert settled == Proof("tokenizers", reason="gigatoken gave other ids on a row")
    chat = tokenise.tokenizer(None, tokenise.Config(), settled)
    assert run(chat, bad)[1] == run(right, bad)[1]
    with pytest.raises(ModelError, match="gave other ids on a row; use 'auto'"):
        prove(bad, None, tokenise.Config(engine="gigatoken"))
    tokenizer.load.cache_clear()


def test_rows_that_come_out_otherwise_for_no_known_reason_are_checked_one_by_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An encoder of ours that is wrong on some texts: every row has Hugging Face's ids all the same."""
    from headrace.pipelines.stages.tokenise import encoder, tokenizer

    honest = encoder.Encoder.encode

    right = run(Chat(), table([ASK, SAY], [ASK, ("assistant", "zebra")]))[1]
    monkeypatch.setattr(encoder.Encoder, "encode", wrong_on_zebras(honest))
    tokenizer.load.cache_clear()
    rows = table([ASK, SAY], [ASK, ("assistant", "zebra")])
    settled = prove(rows, None, tokenise.Config())
    assert (settled.engine, settled.checked) == ("tokenizers", True)
    assert run(tokenise.tokenizer(None, tokenise.Config(), settled), rows)[1] == right
    tokenizer.load.cache_clear()


# Where tokenizers come from


def test_travels_by_its_name_and_is_built_once_a_process() -> None:
    chat = tokenise.tokenizer(None, tokenise.Config())
    assert pickle.loads(pickle.dumps(chat)) is chat


def test_fingerprint_follows_vocabulary_template_and_ending(tmp_path: Path, shipped: Chat) -> None:
    same, other = tmp_path / "same", tmp_path / "other"
    for path in (same, other):
        shutil.copytree(SHIPPED, path)
    (other / "chat_template.jinja").write_text(CHATML.replace("im_end", "endoftext"))
    prints = [shipped.fingerprint, Chat(str(other)).fingerprint, Chat(add_eos=False).fingerprint]
    assert Chat(str(same)).fingerprint == shipped.fingerprint
    assert len(set(prints)) == 3


def test_without_a_template_texts_work_and_conversations_are_refused(tmp_path: Path) -> None:
    shutil.copytree(SHIPPED, tmp_path / "base")
    (tmp_path / "base" / "chat_template.jinja").unlink()
    chat = Chat(str(tmp_path / "base"))
    assert len(run(chat, table([("text", "abc")]))[1]) == 1
    with pytest.raises(ModelError, match="has no chat template, and the data holds conversations"):
        run(chat, table([ASK, SAY]))


def test_the_shipped_tokenizer_is_what_its_script_makes(tmp_path: Path) -> None:
    build_tokenizer.build(tmp_path)
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        assert (tmp_path / name).read_bytes() == (SHIPPED / name).read_bytes()


def test_a_name_that_is_neither_here_nor_on_the_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(name: str, timeout: float) -> None:
        raise OSError(f"no route to the hub within {timeout} s\nmore")

    monkeypatch.setattr("huggingface_hub.model_info", refuse)
    with pytest.raises(
        ModelError, match=r"'no/model': it is no directory here.* \(no route to the hub within 10 s\)"
    ):
        Chat("no/model")


@pytest.mark.s3
def test_a_tokenizer_on_s3_is_fetched_and_fetched_anew_when_it_changes(
    s3: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shipped: Chat
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    for file in SHIPPED.iterdir():
        storage.put(f"{s3}/models/tiny/{file.name}", file.read_bytes())
    storage.put(f"{s3}/models/tiny/model.safetensors", b"weights")
    assert Chat(f"{s3}/models/tiny").fingerprint == shipped.fingerprint
    assert not list(tmp_path.rglob("*.safetensors"))
    storage.put(f"{s3}/models/tiny/chat_template.jinja", CHATML.replace("im_end", "endoftext").encode())
    assert Chat(f"{s3}/models/tiny").fingerprint != shipped.fingerprint
    with pytest.raises(ModelError, match="holds no tokenizer"):
        Chat(f"{s3}/models/none")


# Real rows


def _equal_to_hugging_face(chat: Chat, conversations: list[list[tuple[str, str]]]) -> None:
    marked, samples = run(chat, table(*conversations), max_length=1 << 20)
    assert marked["error"].null_count == len(conversations)
    found = {s["row_id"] & 0xFFFFFFFF: s["input_ids"] for s in samples}
    for number, conversation in enumerate(conversations):
        messages = [{"role": r, "content": c} for r, c in conversation]
        if number in found and not any(chat.specials.search(c) for _, c in conversation):
            assert found[number] == chat.hf.apply_chat_template(messages, return_dict=False), number


@pytest.mark.data
def test_real_questions_and_reasoning_and_dialogues(shared_data: Path, tmp_path: Path) -> None:
    core = Tokenizer.from_file(str(SHIPPED / "tokenizer.json"))
    core.add_tokens([AddedToken(t, special=False) for t in ("<think>", "</think>")])
    chat = Chat(save(core, tmp_path, QWEN3, eos_token="<|im_end|>", pad_token="<|endoftext|>"))
    with gzip.open(shared_data / "instruct/gsm8k/train.jsonl.gz", "rt") as file:
        questions = [json.loads(line) for line in file.readlines()[:300]]
    _equal_to_hugging_face(chat, [[("user", q["question"]), ("assistant", q["answer"])] for q in questions])
    with gzip.open(shared_data / "dialogue/taskmaster4/data_00.json.gz", "rt") as file:
        dialogues = json.load(file)[:100]
    roles = {"user": "user", "assistant": "assistant"}
    spoken = [
        [(roles[u["speaker"].lower()], u["text"]) for u in d["utterances"] if u["speaker"].lower() in roles]
        for d in dialogues
    ]
    _equal_to_hugging_face(chat, [c for c in spoken if c])
    assert None not in chat._programs.values()
