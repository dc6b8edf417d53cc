"""Load an exported GGUF by llama.cpp itself, and say what it answers: a program of its own, as `reload` is.

What: ``python by_llama_cpp.py REQUEST`` reads the same request and writes the same answer, by llama.cpp's
Python binding (``pip install llama-cpp-python``). It imports nothing of headrace. The binding has no door to
llama.cpp's own renderer of chats: that the template in the file is the run's is held, not what it renders.

Cost: the model in memory with float32 for its cache, a pass over each sample and a greedy answer of each
prompt.
"""

import json
import os
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import llama_cpp
import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file

Request = dict[str, Any]
FLOAT32 = 0  # as ggml numbers its types: the cache is in half of that by default
BYTES = "gpt2"  # the kind of a vocabulary whose tokens are bytes: what it decodes is what was encoded


def main(path: str) -> None:
    """Answer the request in file `path`: tensors go to its `tensors`, the rest to its `answer`."""
    with open(path, encoding="utf-8") as file:
        request = json.load(file)
    longest = max(len(sample["ids"]) for sample in request["samples"]) + request["new_tokens"]
    model = llama_cpp.Llama(
        os.path.join(request["directory"], request["gguf"]),
        n_ctx=longest,
        n_batch=longest,
        logits_all=True,
        type_k=FLOAT32,
        type_v=FLOAT32,
        verbose=False,
    )
    numbers, logits = _answers(model, request)
    save_file({"logits": logits}, request["tensors"])
    with open(request["answer"], "w", encoding="utf-8") as file:
        json.dump({**_spoken(model, request), **numbers}, file)


def _answers(model: Any, request: Request) -> tuple[dict[str, Any], torch.Tensor]:
    """As `reload.answers`."""
    nats, guesses, kept, said = [], [], [], []
    for sample in request["samples"]:
        logits = _read(model, sample["ids"])[sample["places"]]
        wanted = np.array([sample["ids"][place + 1] for place in sample["places"]])
        top = logits.max(axis=1, keepdims=True)
        spread = top[:, 0] + np.log(np.exp(logits - top).sum(axis=1, dtype=np.float64))
        nats.append(float((spread - logits[np.arange(len(wanted)), wanted]).sum()))
        guesses.append(logits.argmax(axis=1).tolist())
        kept.append(torch.from_numpy(logits[sample["kept"]].copy()))
        if sample["prompt"]:
            said.append(list(_said(model, sample["ids"][: sample["prompt"]], request["new_tokens"])))
    numbers = {
        "nats": nats,
        "guesses": guesses,
        "answers": [[token for token, _ in one] for one in said],
        "margins": [[lead for _, lead in one] for one in said],
    }
    return numbers, torch.cat(kept).contiguous()


def _read(model: Any, ids: Sequence[int]) -> NDArray[np.float32]:
    """Logits behind each token of a text, ``float32[N, V]``."""
    model.reset()
    model.eval(ids)
    return np.array(model.scores[: len(ids)], np.float32)


def _said(model: Any, prompt: Sequence[int], most: int) -> Iterator[tuple[int, float]]:
    """The tokens of a greedy answer, up to and with one that llama.cpp stops on; by how much each leads."""
    logits = _read(model, prompt)[-1]
    for number in range(most):
        second, first = np.partition(logits, -2)[-2:]
        token = int(logits.argmax())
        yield token, float(first - second)
        if _ends(model, token) or number + 1 == most:
            return
        model.eval([token])
        logits = np.array(model.scores[model.n_tokens - 1], np.float32)


def _ends(model: Any, token: int) -> bool:
    vocabulary = llama_cpp.llama_model_get_vocab(model.model)
    return bool(llama_cpp.llama_vocab_is_eog(vocabulary, token))


def _spoken(model: Any, request: Request) -> dict[str, Any]:
    """What llama.cpp makes of texts, the template that it renders by, and the tokens that it stops on."""
    encoded = [model.tokenize(text.encode(), add_bos=False, special=True) for text in request["texts"]]
    found = {
        "encoded": encoded,
        "kind": model.metadata.get("tokenizer.ggml.model"),
        "template": model.metadata.get("tokenizer.chat_template"),
        "stops": [token for token in range(model.n_vocab()) if _ends(model, token)],
    }
    if model.metadata.get("tokenizer.ggml.model") == BYTES:
        found["decoded"] = [
            model.detokenize(sample["ids"], special=True).decode(errors="replace")
            for sample in request["samples"]
        ]
    return found


if __name__ == "__main__":
    main(sys.argv[1])
