"""Templates that are not the model's own: none at all, for base models, and a file of the recipe.

What: where no template is wanted, a row is the tokenizer's start token, the prompt and the answer as they
are written, and the end token. That is a Jinja template, too: loss, cuts and special tokens are told as of
any other, and what is written beside the adapter gives the prompts that it was trained on.
"""

from typing import Any

from headrace.cluster import storage
from headrace.cluster.errors import RecipeError

OTHER_TURNS = "tokenise.template is none, which takes one prompt and its answer: this row has other turns"


def source(hf: Any) -> str:
    """The template of one prompt and its answer, as they are. hf: the tokenizer, whose start token leads."""
    bare, full = hf("a", add_special_tokens=False)["input_ids"], hf("a")["input_ids"]
    at = next((i for i in range(len(full)) if full[i : i + len(bare)] == bare), 0)
    lead = "".join(hf.convert_ids_to_tokens(full[:at])).replace("'", "\\'")
    return (
        "{%- if messages | length > 2 or messages[0].role != 'user' "
        "or (messages | length == 2 and messages[1].role != 'assistant') %}"
        f"{{{{- raise_exception('{OTHER_TURNS}') }}}}"
        "{%- endif %}"
        f"{{{{- '{lead}' }}}}"
        "{%- for message in messages %}{{- message.content }}{%- endfor %}"
    )


def read(path: str) -> str:
    """The template in a file, local or s3://. Raises: RecipeError, StorageError."""
    try:
        return storage.read_bytes(path).decode()
    except (FileNotFoundError, IsADirectoryError) as error:
        raise RecipeError(
            f"tokenise.template: there is no file {path!r}; write chat, none or a file with a Jinja template"
        ) from error
    except UnicodeDecodeError as error:
        raise RecipeError(f"tokenise.template: {path!r} is not UTF-8 text") from error
