"""Base or tuned model as lm-evaluation-harness asks one: likelihoods of texts behind texts, and answers.

What: requests go to the models that are loaded for the gates, a batch at a time, and are kept as theirs are:
nothing is asked twice after a kill. Answers are greedy, whatever a task says. What has no room in the
model's context loses its first tokens, as the harness does it, and is counted (`cut`).

Imported by `asked` alone, where the harness is installed. Cost: a pass or a generation a request.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from lm_eval import utils
from lm_eval.api.model import TemplateLM

from headrace.pipelines.evaluate.arms.both import Loaded
from headrace.pipelines.schema import IGNORE
from headrace.pipelines.train.watch.samples import Sample

LONGEST = 256  # tokens of an answer where a task says nothing
MOST = 1 << 20  # tokens of a context that ends nowhere

Encoded = tuple[tuple[str, str], list[int], list[int]]


class Model(TemplateLM):
    """One of the two models that are loaded, whichever is asked now. template: of prompts that are chats."""

    def __init__(self, loaded: Loaded, template: str | None) -> None:
        super().__init__()
        self._loaded, self._template = loaded, template
        self._room = int(min(loaded.room, MOST))
        self.tokenizer = loaded.tokenizer
        plain = self.tokenizer("a").input_ids
        bos = self.tokenizer.bos_token_id
        self._first = [bos] if bos is not None and plain[:1] == [bos] else []
        self.cut = 0

    @property
    def eot_token_id(self) -> int:
        """The token that ends a text."""
        end = self.tokenizer.eos_token_id
        return int(end if end is not None else 0)

    @property
    def prefix_token_id(self) -> int:
        """The token before a text that nothing stands before."""
        return int(self._first[0]) if self._first else self.eot_token_id

    @property
    def tokenizer_name(self) -> str:
        """None: nothing is kept under it."""
        return ""

    def apply_chat_template(
        self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True
    ) -> str:
        """A chat as the text that asks for its next answer, or that its last one goes on from."""
        return str(
            self.tokenizer.apply_chat_template(
                chat_history,
                chat_template=self._template,
                tokenize=False,
                add_generation_prompt=add_generation_prompt,
                continue_final_message=not add_generation_prompt,
            )
        )

    def tok_encode(self, string: str, add_special_tokens: bool | None = None, **given: Any) -> list[int]:
        """The tokens of a text: behind the one that texts begin with, where the tokenizer has one."""
        ids: list[int] = self.tokenizer(string, add_special_tokens=False).input_ids
        begins = add_special_tokens is not False and ids[:1] != self._first
        return [*self._first, *ids] if begins else ids

    def _loglikelihood_tokens(self, requests: Sequence[Encoded], **given: Any) -> list[tuple[float, bool]]:
        """Log-probability of each continuation, and whether it is what the model would say."""
        samples = [self._sample(context + wanted, len(wanted)) for _, context, wanted in requests]
        sums = self._loaded.forced("harness_continuations", samples)
        return [(-float(nats), bool(right == targets)) for nats, targets, right in sums]

    def loglikelihood_rolling(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[float]:
        """Log-probability of each whole text, in windows of the model's context."""
        windows = [self._windows(request.args[0]) for request in requests]
        asked = [sample for of_text in windows for sample in of_text]
        nats = self._loaded.forced("harness_texts", asked)[:, 0]
        ends = np.cumsum([len(of_text) for of_text in windows])
        return [-float(part.sum()) for part in np.split(nats, ends[:-1])]

    def generate_until(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[str]:
        """Greedy answers, each up to where its task says that it ends."""
        told = [(request.args[0], dict(request.args[1])) for request in requests]
        longest = [int(given.get("max_gen_toks", LONGEST)) for _, given in told]
        found = [""] * len(told)
        for most in sorted(set(longest)):
            places = [at for at, own in enumerate(longest) if own == most]
            prompts = [self._prompt(told[at][0], most) for at in places]
            answers, _ = self._loaded.said(f"harness_answers_{most}", prompts, most)
            for at, answer in zip(places, answers, strict=True):
                found[at] = _until(answer, told[at][1].get("until") or ())
        return found

    def _sample(self, ids: list[int], targets: int) -> Sample:
        """A sample with loss on its last tokens; the first have no room, where there are too many."""
        self.cut += len(ids) > self._room
        whole = np.array(ids[-self._room :], np.int64)
        labels = np.full(len(whole), IGNORE, np.int64)
        if own := min(targets, len(whole) - 1):
            labels[-own:] = whole[-own:]
        return Sample(whole, labels)

    def _windows(self, text: str) -> list[Sample]:
        windows = utils.get_rolling_token_windows(
            token_list=self.tok_encode(text, add_special_tokens=False),
            prefix_token=self.prefix_token_id,
            max_seq_len=self._room - 1,
            context_len=1,
        )
        pairs = map(utils.make_disjoint_window, windows)
        return [self._sample([*context, *wanted], len(wanted)) for context, wanted in pairs]

    def _prompt(self, text: str, most: int) -> Any:
        """The tokens of a prompt that leaves room for an answer."""
        ids, room = self.tok_encode(text), max(1, self._room - most)
        self.cut += len(ids) > room
        return np.array(ids[-room:], np.int64)


def _until(answer: str, ends: str | Iterable[str]) -> str:
    """An answer up to the first of the texts that end it."""
    for end in [ends] if isinstance(ends, str) else ends:
        answer = answer.partition(end)[0] if end else answer
    return answer
