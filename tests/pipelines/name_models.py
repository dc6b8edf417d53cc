"""Small models of names, trained on the spot on made-up sentences: what the tests of `pii.ner` stand on."""

import random
from pathlib import Path
from typing import Any

import spacy
import torch
import transformers
from spacy.training import Example
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

FIRST = [
    "Anna",
    "Bertram",
    "Carla",
    "Dmitri",
    "Edda",
    "Farid",
    "Gesine",
    "Hiroko",
    "Imre",
    "Jolanda",
    "Kemal",
    "Lotte",
    "Mirela",
    "Nuno",
    "Oksana",
]
LAST = [
    "Abendroth",
    "Brinkmann",
    "Castellan",
    "Dvorsky",
    "Eklund",
    "Fontaine",
    "Grunewald",
    "Halloran",
    "Ibarra",
    "Jessop",
    "Kowal",
]
PLACES = [
    "Altenburg",
    "Brixham",
    "Cadaques",
    "Drohobych",
    "Esbjerg",
    "Fermoy",
    "Gatineau",
    "Haarlem",
    "Invercargill",
    "Jyvaskyla",
]
FIRMS = ["Nordwind", "Quarrel", "Brightwater", "Holmgard", "Tessera"]
PATTERNS = (
    "We met {P} in {L} last week .",
    "{P} sent the parcel back from {L} .",
    "please ask {P} at {O} about the order",
    "The order from {O} has not arrived yet .",
    "According to {P} , the printer is broken again .",
    "I have been waiting in {L} since Monday , and nobody called .",
    "Can you tell {P} that the invoice is wrong ?",
    "the machine does not start when it is cold",
    "Both {P} and {P} have moved to {L} .",
)
KINDS = {"P": "PERSON", "L": "GPE", "O": "ORG"}
Sentence = tuple[str, list[tuple[int, int, str]]]


def sentence(draw: random.Random) -> Sentence:
    """A sentence, and (start, end, kind) of the names in it."""
    text, spans = "", []
    for piece in draw.choice(PATTERNS).split("{"):
        kind, closing, rest = piece.partition("}")
        if closing:
            name = {
                "P": f"{draw.choice(FIRST)} {draw.choice(LAST)}",
                "L": draw.choice(PLACES),
                "O": draw.choice(FIRMS),
            }[kind]
            spans.append((len(text), len(text) + len(name), KINDS[kind]))
            text += name + rest
        else:
            text += piece
    return text, spans


def sentences(count: int, seed: int) -> list[Sentence]:
    """Sentences drawn at random."""
    draw = random.Random(seed)
    return [sentence(draw) for _ in range(count)]


def spacy_model(directory: Path, *, seed: int = 1, count: int = 200, epochs: int = 6) -> str:
    """A directory with a spaCy pipeline of one small `ner`; returns its path."""
    spacy.util.fix_random_seed(seed)
    nlp = spacy.blank("en")
    tok2vec = {
        "@architectures": "spacy.HashEmbedCNN.v2",
        "pretrained_vectors": None,
        "width": 32,
        "depth": 2,
        "embed_size": 500,
        "window_size": 1,
        "maxout_pieces": 2,
        "subword_features": True,
    }
    model = {
        "@architectures": "spacy.TransitionBasedParser.v2",
        "state_type": "ner",
        "extra_state_tokens": False,
        "hidden_width": 32,
        "maxout_pieces": 2,
        "use_upper": True,
        "tok2vec": tok2vec,
    }
    nlp.add_pipe("ner", config={"model": model})
    given = [
        Example.from_dict(nlp.make_doc(text), {"entities": spans}) for text, spans in sentences(count, seed)
    ]
    optimizer = nlp.initialize(lambda: given)
    draw = random.Random(seed)
    for _ in range(epochs):
        draw.shuffle(given)
        for batch in spacy.util.minibatch(given, 16):
            nlp.update(batch, sgd=optimizer, drop=0.1)
    directory.mkdir(parents=True, exist_ok=True)
    nlp.to_disk(directory)
    return str(directory)


TAGS = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC", "B-ORG", "I-ORG"]
SHORT = {"PERSON": "PER", "GPE": "LOC", "ORG": "ORG"}


def _tokenizer() -> Any:
    """A WordPiece tokenizer with single characters as its pieces, so that it knows every word."""
    letters = sorted({c for pattern in PATTERNS for c in pattern} | set("abcdefghijklmnopqrstuvwxyz"))
    letters = sorted({*letters, *(c.upper() for c in letters if c.isalpha())} - {" "})
    words = sorted(
        {*FIRST, *LAST, *PLACES, *FIRMS, *(w for p in PATTERNS for w in p.split() if "{" not in w)}
    )
    specials = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    vocabulary = [*specials, *letters, *("##" + c for c in letters), *(w for w in words if len(w) > 1)]
    core = Tokenizer(models.WordPiece({w: i for i, w in enumerate(vocabulary)}, unk_token="[UNK]"))
    core.normalizer = normalizers.BertNormalizer(lowercase=False)
    core.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    core.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=core,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
    )


def transformers_model(directory: Path, *, seed: int = 1, count: int = 160, epochs: int = 4) -> str:
    """A directory with a tiny BERT that classifies tokens, 64 positions; returns its path."""
    torch.manual_seed(seed)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # more cost more than they bring, at this size
    tokenizer = _tokenizer()
    config = transformers.BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=96,
        max_position_embeddings=64,
        id2label=dict(enumerate(TAGS)),
        label2id={tag: i for i, tag in enumerate(TAGS)},
        pad_token_id=0,
    )
    model = transformers.BertForTokenClassification(config)
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    given = sentences(count, seed)
    model.train()
    for _ in range(epochs):
        for start in range(0, count, 16):
            some = given[start : start + 16]
            batch = tokenizer(
                [text for text, _ in some], return_tensors="pt", padding=True, return_offsets_mapping=True
            )
            offsets = batch.pop("offset_mapping")
            labels = torch.tensor([_tags(o.tolist(), s) for o, (_, s) in zip(offsets, some, strict=True)])
            model(**batch, labels=labels).loss.backward()
            optimizer.step()
            optimizer.zero_grad()
    torch.set_num_threads(threads)
    model.eval().save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    return str(directory)


def _tags(offsets: list[tuple[int, int]], spans: list[tuple[int, int, str]]) -> list[int]:
    """A tag for each token, -100 for those that are no text."""
    tags = []
    for start, end in offsets:
        inside = next((s for s in spans if s[0] <= start and end <= s[1]), None)
        if start == end:
            tags.append(-100)
        elif inside is None:
            tags.append(0)
        else:
            tags.append(TAGS.index(("B-" if start == inside[0] else "I-") + SHORT[inside[2]]))
    return tags
