"""Two answers to one prompt, of which one is the better, as the turns of one row.

What: the turns of the prompt, the better answer as the assistant's, and behind it the other one in a role of
its own, so that every stage sees both. Data sets give each answer as a text, as one turn, or as a whole
conversation: what two conversations have in common is then the prompt, and they may differ in their last
turn alone.

Source: https://huggingface.co/docs/trl/dataset_formats (explicit and implicit prompts)
"""

from collections.abc import Sequence

from headrace.pipelines.schema import REJECTED
from headrace.pipelines.stages.read.records import ReadError

Turn = tuple[str, str]
MARKERS = {"Human:": "user", "Assistant:": "assistant"}  # of texts that hold whole conversations


def joined(prompt: Sequence[Turn], chosen: Sequence[Turn], rejected: Sequence[Turn]) -> list[Turn]:
    """The turns of a pair. chosen, rejected: an answer, or a conversation that ends with it.

    Raises: ReadError where the two have not one prompt and one answer each.
    """
    before, other = list(chosen[:-1]), list(rejected[:-1])
    if before != other:
        raise ReadError("read.wrong_type", "chosen and rejected part before their last turn")
    if prompt and prompt[-1] not in before:
        before = [*prompt, *before]
    if not before:
        raise ReadError("read.missing_field", "chosen and rejected have no prompt: name its column")
    last, worse = chosen[-1:], rejected[-1:]
    if not last or not worse or last[0][0] != "assistant" or worse[0][0] != "assistant":
        raise ReadError("read.wrong_type", "chosen or rejected does not end with an answer")
    return [*before, last[0], (REJECTED, worse[0][1])]


def marked(texts: Sequence[object]) -> bool:
    """Whether texts are whole conversations with `MARKERS`, as most of them begin."""
    begun = [isinstance(text, str) and text.lstrip().startswith(tuple(MARKERS)) for text in texts]
    return bool(begun) and sum(begun) >= 0.8 * len(begun)
