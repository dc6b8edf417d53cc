"""One adapter written as it was asked for, loaded again by a process of its own, and compared."""

import gc
import json
import math
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import torch

from headrace.cluster import storage
from headrace.cluster.errors import ModelError
from headrace.pipelines.commands.export import build, equality, llama_cpp, probes, reload
from headrace.pipelines.commands.export.build import Dtype, Quantise
from headrace.pipelines.commands.export.equality import Said
from headrace.pipelines.commands.export.tuned import Tuned
from headrace.pipelines.evaluate import outputs
from headrace.pipelines.train import adapter, models
from headrace.pipelines.train.watch import samples


@dataclass(frozen=True)
class Asked:
    """What is to be handed over.

    dtype: of merged weights; None: the base's. least_agreement: share of next tokens that weights coarser
    than float32 must have in common with the run's.
    """

    form: Literal["adapter", "merged"]
    dtype: Dtype | None = None
    quantise: Quantise | None = None
    gguf: bool = False
    least_agreement: float = 0.98


@dataclass(frozen=True)
class Work:
    """One adapter, what is asked of it, where it is written, and a private directory for what it is asked."""

    one: Tuned
    asked: Asked
    place: str
    private: str

    @property
    def dtype(self) -> Dtype:
        """Of merged weights."""
        return self.asked.dtype or build.dtype_of(self.one)

    @property
    def is_exact(self) -> bool:
        """Whether the exported weights are in float32, as those that they are held against."""
        return self.asked.form == "adapter" or (self.dtype == "float32" and not self.asked.quantise)


def made(work: Work, tell: Callable[[str, dict[str, Any]], None]) -> dict[str, Any]:
    """Write the export of one adapter, have it loaded again, and return its figures.

    What is `wrong` with it is told there in words, an empty list where it is equal.
    """
    one, asked = work.one, work.asked
    tell(f"export: asking the adapter of {one.run} in float32", {"run": one.run})
    tokenizer = models.load_tokenizer(str(one.recipe.model))
    model, request, ours = asking(one, tokenizer)
    extra: dict[str, Any] = {}
    if asked.form == "adapter":
        build.require_disk(work.place, sum(f["size"] for f in one.card["files"].values()) + build.SPARE)
        build.copy_adapter(one, work.place)
    else:
        extra = {"dtype": work.dtype, "merged_in_memory": _merge(model, work, request, ours)}
    model.generation_config.save_pretrained(work.place)
    build.copy_tokenizer(one, work.place)
    if asked.gguf:
        ends = sorted(probes.ends(tokenizer, request))
        other = bool(ends) and tokenizer.eos_token_id not in ends
        end = tokenizer.convert_ids_to_tokens(ends[0]) if other else None
        llama_cpp.write(work.place, work.dtype, one.base_files, end)
    stops = model.generation_config.eos_token_id
    del model
    gc.collect()
    tell("export: loading what was written in a fresh process", {"path": work.place})
    figures, wrong = check(work, request, ours, tokenizer)
    moved = extra.get("merged_in_memory", 0.0)
    if not moved <= equality.TOLERANCE:
        wrong.insert(0, f"merging alone moves logits by {moved:.2g} of the largest")
    about = {"run": one.run, "adapter": one.card["key"], "step": one.card["step"], "base": one.base}
    marks = {"base_mark": one.card["base_mark"], "scaling": one.scaling, "stops": stops or []}
    return {**about, **marks, "split": request["split"], **extra, **figures, "wrong": wrong}


def asking(one: Tuned, tokenizer: Any) -> tuple[Any, reload.Request, Said]:
    """The adapter as headrace runs it, in float32; what it is asked, and what it says."""
    settings = one.recipe.evaluate.model_copy(update={"precision": "float32"})
    base, way = outputs.base_of(one.run, str(one.recipe.model), settings)
    vocabulary = int(base.config.get_text_config().vocab_size)
    request = probes.request(one, tokenizer, samples.context(base), vocabulary)
    base.generation_config = build.generation(base, tokenizer, probes.stops(base, tokenizer, request))
    model = adapter.load(one.run, base)
    numbers, tensors = reload.answers(model, request, partial(probes.headrace_logits, packed=way.packed))
    return model, request, {**numbers, **tensors, **reload.spoken(tokenizer, request)}


def _merge(model: Any, work: Work, request: reload.Request, ours: Said) -> float:
    """Write merged weights; returns by how much merging alone, in float32, moves logits."""
    parameters = sum(p.numel() for p in model.parameters())
    build.require_disk(
        work.place, build.needed(parameters, work.dtype, work.asked.quantise, gguf=work.asked.gguf)
    )
    whole = build.merged(model)
    kept = [
        reload.plain_logits(whole, s["ids"], [s["places"][k] for k in s["kept"]]).cpu()
        for s in request["samples"]
    ]
    moved = equality.largest(ours["logits"], torch.cat(kept))
    moved = math.inf if moved is None else moved
    if not work.asked.quantise:
        build.write_merged(whole, work.one, work.place, work.dtype)
        return moved
    unquantised = f"{work.place}-whole"
    try:
        build.write_merged(whole, work.one, unquantised, work.dtype)
        build.quantise(unquantised, work.place, work.asked.quantise, work.dtype)
    finally:
        storage.delete(unquantised)
    return moved


def check(
    work: Work, request: reload.Request, ours: Said, tokenizer: Any
) -> tuple[dict[str, Any], list[str]]:
    """Figures of what lies in the work's place, loaded again by itself, and in words what is wrong."""
    wrong = equality.inspect(work.place, work.one, work.asked.form)
    try:
        theirs = fresh(work, request)
    except ModelError as error:
        return {}, [*wrong, str(error)]
    if work.asked.gguf:
        gguf, other = _of_gguf(work, request, ours, tokenizer)
        wrong += [f"{llama_cpp.FILE}: {words}" for words in other]
    figures, unequal = equality.compare(ours, theirs, exact=work.is_exact, least=work.asked.least_agreement)
    wrong += equality.missing_ends(theirs, probes.ends(tokenizer, request), tokenizer)
    if unequal and work.asked.form == "merged" and not work.asked.quantise:  # those hold no plain weights
        wrong += equality.cause_of(work.place, work.one)
    return {**figures, **({"gguf": gguf} if work.asked.gguf else {})}, [*wrong, *unequal]


def _of_gguf(
    work: Work, request: reload.Request, ours: Said, tokenizer: Any
) -> tuple[dict[str, Any], list[str]]:
    """The same of the GGUF in the work's place, by llama.cpp itself where it is installed, else as
    transformers loads it.
    """
    itself = llama_cpp.is_installed()
    by, program = ("llama.cpp", llama_cpp.PROGRAM) if itself else ("transformers", reload.__file__)
    tolerance = equality.OF_ENGINE if itself else equality.TOLERANCE
    try:
        theirs = fresh(work, request, llama_cpp.FILE, program)
    except ModelError as error:
        return {}, [str(error)]
    least = work.asked.least_agreement
    figures, wrong = equality.compare(ours, theirs, exact=work.is_exact, least=least, tolerance=tolerance)
    if itself:
        wrong += equality.missing_ends(theirs, probes.ends(tokenizer, request), tokenizer, by)
        if theirs.get("kind") == llama_cpp.KIND and theirs["encoded"] != ours["encoded"]:
            wrong.append(llama_cpp.SPACED)
    return {"read_by": by, **figures}, wrong


def fresh(
    work: Work, request: reload.Request, gguf: str | None = None, program: str = reload.__file__
) -> Said:
    """What the export says of `request`, by a process of its own. Raises: ModelError: it cannot load it."""
    answer, tensors = (os.path.join(work.private, f) for f in ("answer.json", "tensors.safetensors"))
    whole = {
        **request,
        "answer": answer,
        "tensors": tensors,
        "directory": work.place,
        "form": work.asked.form,
        "base": work.one.base_files if storage.is_remote(work.one.base) else None,
        "gguf": gguf,
        "dtype": "auto" if work.asked.quantise else "float32",
    }
    path = os.path.join(work.private, "request.json")
    with open(path, "w", encoding="utf-8") as file:
        json.dump(whole, file)
    if failure := _process(program, path):
        who = "llama.cpp" if program == llama_cpp.PROGRAM else "transformers and peft"
        raise ModelError(f"{who} cannot load it: {failure}")
    return equality.read_answer(answer, tensors)


def _process(program: str, path: str) -> str:
    """Run `reload`, or another like it, on a request; returns the last line of what it died of, "" where it
    did not.
    """
    # -P: what lies beside the program is no package of its imports.
    ended = subprocess.run(  # noqa: S603 - our own program, with this Python
        [sys.executable, "-P", program, path], capture_output=True, text=True, check=False
    )
    if not ended.returncode:
        return ""
    return (ended.stderr.strip().splitlines() or [f"exit code {ended.returncode}"])[-1][:300]
