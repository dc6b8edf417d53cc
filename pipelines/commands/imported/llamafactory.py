"""A recipe from a LLaMA-Factory file and its dataset_info.json.

Source: https://llamafactory.readthedocs.io/en/latest/advanced/arguments.html
"""

from collections.abc import Mapping, Sequence
from typing import Any

from headrace.pipelines.commands.imported import places, training
from headrace.pipelines.commands.imported.draft import Draft

KEYS = ("model_name_or_path", "finetuning_type", "cutoff_len", "stage", "per_device_train_batch_size")
INFO = "dataset_info.json"
TRACKERS = ("tensorboard", "mlflow", "wandb", "trackio")
STAGES = ("sft", "pt")
LOSSES = {"sigmoid": "dpo", "ipo": "ipo"}  # of `pref_loss`
PAIR_KEYS = {"pref_beta": "beta", "dpo_label_smoothing": "label_smoothing", "pref_ftx": "sft_weight"}
REASONS = {
    **training.REASONS,
    "run_name": "a run's name is a key of each tracker",
    "template": "the chat template is the model's own",
    "default_system": "turns are learned as the rows have them",
    "max_samples": "all rows are read; sources[].weight says how often a source is drawn",
    "infer_|vllm_|sglang_|export_|do_sample|temperature|top_|max_new": "not of a training",
    "quantization_|double_quant": "the model is held in bfloat16 or float32",
    "freeze_|image_|video_|audio_|media_dir": "texts are trained on, not pictures or sounds",
    "mix_strategy|interleave": "sources[].weight says how often a source is drawn",
    "use_(badam|galore|apollo|muon|adam_mini|llama_pro)": "the optimizer is AdamW",
}
COLUMNS = ("images", "videos", "audios")


def draft(given: Mapping[str, Any], gpus: int, folder: str, info: Mapping[str, Any] | None) -> Draft:
    """What a file of LLaMA-Factory's says, as a recipe.

    gpus: how many it is meant for. folder: where the data lie. info: what dataset_info.json there holds, if
    it was found.
    """
    made = Draft(given)
    made.put("output", places.output(made, "output_dir", "llamafactory"))
    _stage(made)
    _sources(made, folder, info)
    made.copy("model_name_or_path", "model")
    size = made.get("val_size", 0)
    places.held_out(made, size, "val_size", bool(made.get("eval_dataset")))
    made.put("tokenise.max_length", made.get("cutoff_len", 2048), "cutoff_len")
    made.put("tokenise.overlong", "truncate")
    if isinstance(made.get("enable_thinking"), bool):
        kwargs = {"enable_thinking": made.get("enable_thinking")}
        made.put("tokenise.chat_template_kwargs", kwargs, "enable_thinking")
    _adapter(made)
    training.take(made)
    defaults = {"learning_rate": 5e-5, "weight_decay": 0.0, "warmup": 0.0}
    made.recipe["train"] = {**defaults, **made.recipe.get("train", {})}
    made.recipe.setdefault("seed", 42)
    training.epochs(made, "num_train_epochs", 3)
    training.schedule(made, "lr_scheduler_type", "linear")
    training.optimizer(made, "optim")
    training.precision(made, "bf16", "fp16")
    if made.get("disable_gradient_checkpointing") is True:
        made.put("train.gradient_checkpointing", False, "disable_gradient_checkpointing")
    packed = bool(made.get("packing") or made.get("neat_packing") or made.get("stage") == "pt")
    training.batch(made, "per_device_train_batch_size", 8, gpus, packed)
    made.taken |= {"packing", "neat_packing", "disable_gradient_checkpointing"} & set(given)
    if made.get("packing") and not made.get("neat_packing"):
        made.notes.append("packing lets samples of a row see each other there; here they never do")
    _attention(made)
    _trackers(made)
    made.finish(REASONS)
    return made


def _stage(made: Draft) -> None:
    stage = made.get("stage", "sft")
    loss = LOSSES.get(str(made.get("pref_loss", "sigmoid")))
    if stage == "dpo" and loss:
        training.preference(made, loss, PAIR_KEYS)
        made.taken |= {"stage", "pref_loss"} & set(made.given)
    elif stage in STAGES:
        made.taken.add("stage")
    why = "answers (sft), plain texts (pt) and pairs (dpo) are learned; this recipe would learn answers"
    made.leave("stage", why)


def _sources(made: Draft, folder: str, info: Mapping[str, Any] | None) -> None:
    sources: list[dict[str, Any]] = []
    made.taken |= {"dataset_dir"} & set(made.given)
    for key, side in (("dataset", None), ("eval_dataset", "validation")):
        names = made.get(key, [])
        listed = names if isinstance(names, list) else [n.strip() for n in str(names).split(",")]
        for name in (str(one) for one in listed if one):
            rows = Draft((info or {}).get(name) or {})
            source = {"name": name, **_source(made, rows, name, folder, known=info is not None)}
            source |= {"side": side} if side else {}
            loss = "all" if made.get("train_on_prompt") else "last" if made.get("mask_history") else None
            source |= {"loss": loss} if loss and source.get("shape") != "text" else {}
            rows.finish({})
            for left in rows.left:
                made.tell(f"{INFO}: {name}.{left.key}", left.why, rows.given.get(left.key))
            made.notes += [f"{key} {name}: {note}" for note in rows.notes]
            sources.append(source)
            made.taken.add(key)
    made.taken |= {"train_on_prompt", "mask_history"} & set(made.given)
    made.put("sources", places.with_names(sources))


def _source(made: Draft, rows: Draft, name: str, folder: str, *, known: bool) -> dict[str, Any]:
    """One data set as a source."""
    if not rows.given:
        why = f"{INFO} does not name it" if known else f"no {INFO} was found (--data DIR says where it lies)"
        rows.notes.append(f"{why}: sources[].path and its shape are to be said")
        return {"path": f"{folder}/{name}"}
    rows.leave("subset", "a subset is a folder or some files: name them in sources[].path")
    rows.leave("num_samples", "all rows are read")
    rows.taken |= {"split"} if rows.get("split") == "train" else set()
    rows.leave("split", "a part of a data set cannot be named: all files at sources[].path are read")
    hub = next((k for k in ("hf_hub_url", "ms_hub_url", "om_hub_url", "script_url") if rows.get(k)), None)
    if rows.get("file_name") or rows.get("cloud_file_name"):
        file = rows.get("file_name")
        source = {"path": f"{folder}/{file}" if file else str(rows.get("cloud_file_name"))}
        rows.taken |= {"file_name", "cloud_file_name"}
    else:
        source = {"path": places.path(rows, rows.get(hub or "hf_hub_url"))}
        rows.taken |= {"hf_hub_url", "ms_hub_url", "om_hub_url", "script_url"}
    if rows.get("folder"):
        source["path"] = f"{source['path']}/{rows.get('folder')}"
        rows.taken.add("folder")
    rows.taken |= {"formatting", "columns", "tags", "ranking"}
    return source | (_pairs(rows) if rows.get("ranking") else _shape(made, rows))


def _pairs(rows: Draft) -> dict[str, Any]:
    """Rows of a better and a worse answer."""
    given, tags = rows.get("columns", {}), rows.get("tags", {})
    _say_unread(rows, (*COLUMNS, "history"))
    columns = {ours: given[ours] for ours in ("chosen", "rejected", "system", "tools") if given.get(ours)}
    if rows.get("formatting", "alpaca") == "alpaca":
        columns |= {"prompt": given.get("prompt", "instruction"), "input": given.get("query", "input")}
    else:
        columns["prompt"] = given.get("messages", "conversations")
        columns |= {"role": tags.get("role_tag", "from"), "content": tags.get("content_tag", "value")}
    return {"shape": "preference", "columns": columns}


def _shape(made: Draft, rows: Draft) -> dict[str, Any]:
    given = rows.get("columns", {})
    _say_unread(rows, COLUMNS)
    if made.get("stage") == "pt":
        return {"shape": "text", "columns": {"text": given.get("prompt", "text")}}
    if rows.get("formatting", "alpaca") == "alpaca":
        names = {"prompt": "instruction", "query": "input", "response": "output"}
        columns = {ours: given.get(theirs, ours) for theirs, ours in names.items()}
        columns |= {ours: given[ours] for ours in ("system", "tools", "history") if given.get(ours)}
        return {"shape": "alpaca", "columns": columns, **_wanted(given)}
    tags = rows.get("tags", {})
    columns = {
        "messages": given.get("messages", "conversations"),
        "role": tags.get("role_tag", "from"),
        "content": tags.get("content_tag", "value"),
        **{ours: given[ours] for ours in ("system", "tools") if given.get(ours)},
    }
    usual = {
        "user_tag": ("human", "user"),
        "assistant_tag": ("gpt", "assistant"),
        "observation_tag": ("observation", "tool"),
        "function_tag": ("function_call", "assistant"),
        "system_tag": ("system", "system"),
    }
    columns["roles"] = {tags.get(tag, name): role for tag, (name, role) in usual.items()}
    return {"shape": "sharegpt", "columns": columns, **_wanted(given)}


def _say_unread(rows: Draft, names: Sequence[str]) -> None:
    """Say which of some columns of a data set nobody reads."""
    given = rows.get("columns", {})
    if unread := [name for name in names if given.get(name)]:
        rows.tell("columns", f"not read: {', '.join(unread)}", given)


def _wanted(given: Mapping[str, Any]) -> dict[str, Any]:
    """Rows whose answer is a wanted one alone, where a column says that of each."""
    return {"only": {given["kto_tag"]: True}} if given.get("kto_tag") else {}


def _adapter(made: Draft) -> None:
    kind = made.get("finetuning_type", "lora")
    four = made.get("quantization_bit") == 4 and made.get("quantization_method", "bnb") == "bnb"
    keys = tuple(k for k in ("finetuning_type",) if k in made.given)
    if kind == "full":
        training.method(made, "full", keys)
    elif kind == "lora" and four:
        more = tuple(k for k in ("quantization_bit", "quantization_method") if k in made.given)
        training.method(made, "qlora", (*keys, *more))
    elif kind == "lora":
        made.taken |= set(keys)
    made.leave("finetuning_type", "train.method knows lora, dora, rslora, qlora and full")
    for key, name in (("use_dora", "dora"), ("use_rslora", "rslora")):
        if made.get(key) is True:
            training.method(made, name, (key,))
    rank = made.get("lora_rank", 8)
    made.put("train.rank", rank, "lora_rank")
    made.put("train.alpha", made.get("lora_alpha", 2 * rank if isinstance(rank, int) else 16), "lora_alpha")
    made.put("train.dropout", made.get("lora_dropout", 0.0), "lora_dropout")
    layers = made.get("lora_target", "all")
    names = layers if isinstance(layers, list) else [n.strip() for n in str(layers).split(",")]
    made.put("train.target_modules", "all-linear" if "all" in names else names, "lora_target")
    training.modules(made, "additional_target", "train.modules_to_save")
    for key in ("add_tokens", "add_special_tokens"):
        training.modules(made, key, "train.new_tokens")
    made.copy("adapter_name_or_path", "train.from")


def _attention(made: Draft) -> None:
    if made.get("flash_attn") == "sdpa":
        made.put("train.attention", "sdpa", "flash_attn")
    elif made.get("flash_attn") == "disabled":
        made.put("train.attention", "eager", "flash_attn")
    elif made.get("flash_attn") == "auto":
        made.taken.add("flash_attn")
    made.leave(
        "flash_attn", "attention is computed by train.attention"
    ) if "flash_attn" not in made.taken else None


def _trackers(made: Draft) -> None:
    named = made.get("report_to")
    listed = named if isinstance(named, list) else [named]
    for name in filter(None, listed):
        if name in TRACKERS:
            keys = {"run_name": "name"} if name != "tensorboard" else {}
            training.tracker(made, name, keys, "report_to")
        elif name == "none":
            made.taken.add("report_to")
        else:
            made.leave("report_to", f"trackers are {', '.join(TRACKERS)}")
