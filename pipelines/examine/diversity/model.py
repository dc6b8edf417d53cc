"""Prompts as embeddings of a model: mean of its last layer over a prompt's tokens, to unit length.

Why: words in common miss what is said in other words altogether, or in another language.
Cost: what the model costs, for at most `diversity.sample` prompts; torch and transformers load here alone.
Source: Reimers & Gurevych 2019 (mean pooling), https://arxiv.org/abs/1908.10084.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from headrace.cluster.errors import ModelError
from headrace.pipelines import model_files

BATCH = 32


def embedded(texts: Sequence[str], model: str, length: int) -> NDArray[np.float32]:
    """Embeddings of texts, ``float32[N, D]``, rows of unit length.

    model: a directory, local or s3://, or a hub name; length: tokens of a text that are read.
    Raises: ModelError that says what is wrong with the model.
    """
    import torch
    import transformers

    path = model_files.local(model)
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(path)
        network = transformers.AutoModel.from_pretrained(path, dtype=torch.float32).eval()
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(
            f"examine.diversity.model {model!r} does not load: {model_files.first_line(error)}; name the "
            "directory of an embedding model, or leave it out"
        ) from error
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    device = "cuda" if torch.cuda.is_available() else "cpu"
    network.to(device)
    found = np.zeros((len(texts), network.config.hidden_size), np.float32)
    # By length, so that little is padded; places are put back.
    order = sorted(range(len(texts)), key=lambda at: (len(texts[at]), at))
    with torch.inference_mode():
        for first in range(0, len(order), BATCH):
            some = order[first : first + BATCH]
            batch = tokenizer(
                [texts[at] for at in some],
                padding=True,
                truncation=True,
                max_length=length,
                return_tensors="pt",
            ).to(device)
            batch.pop("token_type_ids", None)
            states = network(**batch).last_hidden_state
            mask = batch["attention_mask"].unsqueeze(-1).to(states.dtype)
            mean = (states * mask).sum(1) / mask.sum(1).clamp(min=1)
            found[some] = torch.nn.functional.normalize(mean, dim=-1).cpu().numpy()
    return found
