"""The tokenizer that ships with headrace.

    python -m headrace.pipelines.stages.tokenise.assets.build_tokenizer

A byte-level BPE of about 4,000 tokens with a ChatML template, so that `prepare` works before a model is
chosen. It is trained on text made up here, by a seeded generator, from words.txt (common words) and
phrases.txt (frames of sentences, dialogues, code and mark-up). The same script gives the same bytes.
"""

import json
import random
from collections.abc import Iterator
from pathlib import Path

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

DIRECTORY = Path(__file__).parent / "tokenizer"
SIZE = 4096
SEED = 20240726
SENTENCES = 80_000
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]

# Words, numbers in groups of up to three digits, punctuation with its line break, white space.
PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|"
    r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)

TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)

ENDINGS = {
    "nouns": ("", "", "", "s", "s", "'s"),
    "verbs": ("", "", "s", "ed", "ing", "ing"),
    "adjectives": ("", "", "", "ly", "er", "ness"),
}
FOLDER = Path(__file__).parent


def _words() -> dict[str, list[str]]:
    """The lists of words.txt by name."""
    blocks = (FOLDER / "words.txt").read_text("utf-8").split("# ")[1:]
    return {name: words.split() for name, _, words in (block.partition("\n") for block in blocks)}


WORDS = _words()
PHRASES = (FOLDER / "phrases.txt").read_text("utf-8").splitlines()


def texts(seed: int = SEED, count: int = SENTENCES) -> Iterator[str]:
    """Made-up text, a line or block at a time, the same for the same seed."""
    random_ = random.Random(seed)  # noqa: S311
    for _ in range(count):
        if random_.random() < 0.6:
            yield _sentence(random_)
        else:
            yield _phrase(random_)


def _word(random_: random.Random) -> str:
    kind = random_.random()
    if kind < 0.4:
        return random_.choice(WORDS["small"])
    name = "nouns" if kind < 0.7 else "verbs" if kind < 0.88 else "adjectives"
    stem, ending = random_.choice(WORDS[name]), random_.choice(ENDINGS[name])
    return (stem[:-1] if stem.endswith("e") and ending[:1] in ("e", "i") else stem) + ending


def _sentence(random_: random.Random) -> str:
    words = [_word(random_) for _ in range(random_.randint(3, 18))]
    if random_.random() < 0.3:
        words[random_.randrange(len(words))] = random_.choice(WORDS["names"])
    if random_.random() < 0.4:
        words[random_.randrange(len(words))] += ","
    if random_.random() < 0.1:
        words[random_.randrange(len(words))] = str(random_.randrange(10_000))
    line = " ".join(words)
    return line[0].upper() + line[1:] + random_.choice((". ", ". ", ".\n", "? ", "!\n", ":\n", "; "))


def _phrase(random_: random.Random) -> str:
    text = random_.choice(PHRASES).replace("\\n", "\n").replace("{{", "\0").replace("}}", "\1")
    for slot, name in (("{n}", "nouns"), ("{v}", "verbs"), ("{a}", "adjectives"), ("{N}", "names")):
        while slot in text:
            text = text.replace(slot, random_.choice(WORDS[name]), 1)
    while "{d}" in text:
        text = text.replace("{d}", str(random_.randrange(10 ** random_.randint(1, 4))), 1)
    return text.replace("\0", "{").replace("\1", "}")


def build(directory: Path = DIRECTORY, size: int = SIZE) -> None:
    """Train on `texts` and write tokenizer.json, tokenizer_config.json and chat_template.jinja."""
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PATTERN), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    core.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    core.train_from_iterator(texts(), trainer)
    directory.mkdir(parents=True, exist_ok=True)
    core.save(str(directory / "tokenizer.json"), pretty=False)
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": "<|im_end|>",
        "pad_token": "<|endoftext|>",
        "model_max_length": 32768,
        "clean_up_tokenization_spaces": False,
    }
    (directory / "tokenizer_config.json").write_text(json.dumps(config, indent=1) + "\n")
    (directory / "chat_template.jinja").write_text(TEMPLATE)


if __name__ == "__main__":
    build()
