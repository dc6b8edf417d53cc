"""A recipe from an Axolotl file.

Source: https://docs.axolotl.ai/docs/config-reference.html
"""

from collections.abc import Mapping
from typing import Any

from headrace.pipelines.commands.imported import places, training
from headrace.pipelines.commands.imported.draft import Draft

KEYS = ("base_model", "datasets", "micro_batch_size", "sequence_len", "lora_r")  # it is told by
FILES = ("json", "csv", "parquet", "arrow", "text")  # what `ds_type` and `path` name instead of a file
ALPACA = "the columns are taken over, the words around them (### Instruction:) are not: the model's own chat "
ALPACA += "template says how a turn is written"
# Kinds of rows: our shape, the columns, and what is not taken over.
KINDS: dict[str, tuple[str, dict[str, str], str]] = {
    "alpaca": ("alpaca", {}, ALPACA),
    "alpaca_chat": ("alpaca", {}, ALPACA),
    "alpaca_chat.load_qa": ("question_answer", {}, ALPACA),
    "alpaca_instruct": ("alpaca", {}, ALPACA),
    "alpaca_w_system": ("alpaca", {"system": "system"}, ALPACA),
    "alpaca_w_system.load_open_orca": (
        "alpaca",
        {"instruction": "question", "output": "response", "system": "system_prompt"},
        ALPACA,
    ),
    "gpteacher": ("alpaca", {"output": "response"}, ALPACA),
    "sharegpt": ("sharegpt", {}, ""),
    "completion": ("text", {}, ""),
    "pretrain": ("text", {}, ""),
}
PAIRED = ("dpo", "ipo")  # of `rl`
PAIR_FIELDS = {"field_chosen": "chosen", "field_rejected": "rejected", "field_system": "system"}
PAIR_KEYS = {"rl_beta": "beta", "dpo_label_smoothing": "label_smoothing", "rpo_alpha": "sft_weight"}
REASONS = {
    **training.REASONS,
    "chat_template": "the chat template is the model's own",
    "eot_tokens|special_tokens": "the tokens that end a turn and pad a row are the tokenizer's",
    "lora_on_cpu|gpu_memory|max_memory|low_cpu|activation_off|layer_off|offload": "memory is seen to by "
    "train.gradient_checkpointing and train.batch_size",
    "loss_watchdog": "a loss that is no number always stops a training",
    "sample_packing_|multipack|curriculum|max_packed": "rows are packed within windows, see `pack`",
}
ROWS = {
    "shards": "all rows are read",
    "split_thinking": "reasoning in turns is found, see tokenise.reasoning",
    "train_on_eo": "the token that ends a turn is learned with it",
    "trust_remote": "no code of a data set's is run",
    "revision": "files are read as they lie",
}


def draft(given: Mapping[str, Any], gpus: int) -> Draft:
    """What a file of Axolotl's says, as a recipe. gpus: how many it is meant for."""
    made = Draft(given)
    made.put("output", places.output(made, "output_dir", "axolotl"))
    _sources(made)
    made.copy("base_model", "model")
    for key in ("tokenizer_config", "base_model_config"):
        if made.get(key) == made.get("base_model"):
            made.taken.add(key)
    _held_out(made)
    _lengths(made)
    _adapter(made)
    if made.get("rl") in PAIRED:
        training.preference(made, made.get("rl"), PAIR_KEYS)
        made.taken.add("rl")
    training.take(made)
    training.epochs(made, "num_epochs", 1)
    training.schedule(made, "lr_scheduler", "cosine")
    training.optimizer(made, "optimizer")
    for bf16, fp16 in (("bf16", "fp16"), ("bfloat16", "float16")):
        training.precision(made, bf16, fp16)
    training.batch(made, "micro_batch_size", 1, gpus, made.get("sample_packing") is True)
    made.taken |= {"sample_packing"} & set(given)
    _attention(made)
    _trackers(made)
    made.finish(REASONS)
    return made


def _sources(made: Draft) -> None:
    """`datasets`, and `test_datasets` as what is held out."""
    sources: list[dict[str, Any]] = []
    for key, side in (("datasets", None), ("test_datasets", "validation"), ("pretraining_dataset", None)):
        entries = made.get(key, [])
        for at, entry in enumerate(entries if isinstance(entries, list) else [entries]):
            where = f"{key}[{at}]"
            one = entry if isinstance(entry, dict) else {"path": entry}
            rows = Draft(one)
            source = _source(rows, pretraining=key == "pretraining_dataset", paired=made.get("rl") in PAIRED)
            source |= {"side": side} if side else {}
            source |= {"loss": "all"} if made.get("train_on_inputs") and source.get("shape") != "text" else {}
            rows.finish(ROWS)
            for left in rows.left:
                made.tell(f"{where}.{left.key}", left.why, one.get(left.key))
            made.notes += [f"{where}: {note}" for note in rows.notes]
            sources.append(source)
            made.taken.add(key)
    made.taken |= {"train_on_inputs"} & set(made.given)
    made.put("sources", places.with_names(sources))


def _source(rows: Draft, *, pretraining: bool, paired: bool) -> dict[str, Any]:
    """One data set as a source."""
    path, files = rows.get("path"), rows.get("data_files")
    listed = [] if files is None else files if isinstance(files, list) else [files]
    local = path in FILES and bool(listed)
    given = {"path": (listed if len(listed) > 1 else listed[0]) if local else places.path(rows, path, listed)}
    rows.taken |= {"path", "data_files"}
    if rows.get("ds_type") in FILES:
        rows.taken.add("ds_type")  # told by the files' names, and by a look into them
    if rows.get("split") == "train":
        rows.taken.add("split")
    rows.leave("split", "a part of a data set cannot be named: all files at sources[].path are read")
    rows.leave("name", "a subset is a folder or some files: name them in sources[].path")
    return given | (_pairs(rows) if paired else _shape(rows, pretraining=pretraining))


def _pairs(rows: Draft) -> dict[str, Any]:
    """Rows of a better and a worse answer."""
    kind = rows.get("type")
    own = kind if isinstance(kind, dict) else {n: rows.get(n) for n in (*PAIR_FIELDS, "field_messages")}
    columns = {ours: own[theirs] for theirs, ours in PAIR_FIELDS.items() if own.get(theirs)}
    prompt = own.get("field_prompt") or own.get("field_messages")
    columns |= {"prompt": prompt} if prompt else {}
    rows.taken |= {*PAIR_FIELDS, "field_messages"} & set(rows.given)
    if kind is not None:
        why = "read as pairs; how a turn is written is said by the model's own chat template"
        rows.tell("type", why, kind)
    return {"shape": "preference", **({"columns": columns} if columns else {})}


def _shape(rows: Draft, *, pretraining: bool) -> dict[str, Any]:
    kind = rows.get("type", "pretrain" if pretraining else None)
    if isinstance(kind, dict):
        return _own_fields(rows, kind)
    name = str(kind or "").removesuffix(".default")
    if name.split(":")[0] in KINDS:
        shape, columns, why = KINDS[name.split(":")[0]]
        rows.taken.add("type")
        if why:
            rows.tell("type", why, kind)
        text = rows.get("field") or rows.get("text_column")
        if shape == "text" and text:
            rows.taken |= {"field", "text_column"} & set(rows.given)
            columns = {"text": text}
        if shape != "sharegpt":
            return {"shape": shape, **({"columns": dict(columns)} if columns else {})}
    if name in ("chat_template", "sharegpt", "") or name.startswith("chat_template"):
        return _messages(rows, "sharegpt" if name == "sharegpt" else "messages") if name else {}
    if name:
        rows.leave("type", "this kind of rows is not known here: the shape is told by the columns")
    return {}


def _own_fields(rows: Draft, kind: dict[str, Any]) -> dict[str, Any]:
    """Rows of which the file says which field is what."""
    names = {"field_instruction": "instruction", "field_input": "input", "field_output": "output"}
    names["field_system"] = "system"
    columns = {ours: kind[theirs] for theirs, ours in names.items() if kind.get(theirs)}
    rows.taken.add("type")
    others = sorted(kind.keys() - names.keys())
    if others:
        rows.tell(
            "type", f"its fields are taken over; of {', '.join(others)} the chat template decides", kind
        )
    return {"shape": "alpaca", "columns": columns}


def _messages(rows: Draft, shape: str) -> dict[str, Any]:
    """Conversations: which key of a turn is what."""
    mapped = rows.get("message_property_mappings", {})
    own = mapped if isinstance(mapped, dict) else {}
    usual = ("conversations", "from", "value") if shape == "sharegpt" else ("messages", "role", "content")
    columns: dict[str, Any] = {
        "messages": rows.get("field_messages", usual[0]),
        "role": own.get("role", rows.get("message_field_role", usual[1])),
        "content": own.get("content", rows.get("message_field_content", usual[2])),
    }
    for theirs, ours in (
        ("field_tools", "tools"),
        ("field_thinking", "reasoning"),
        ("field_system", "system"),
    ):
        if rows.get(theirs):
            columns[ours] = rows.get(theirs)
            rows.taken.add(theirs)
    roles = rows.get("roles", {})
    if isinstance(roles, dict) and roles:
        known = ("system", "user", "assistant", "tool")
        columns["roles"] = {name: ours for ours, names in roles.items() if ours in known for name in names}
        rows.taken.add("roles")
        if set(roles) - set(known):
            rows.tell("roles", "roles are system, user, assistant and tool; others were left", roles)
    if rows.get("roles_to_train") in (["assistant"], ["gpt"], ["assistant", "gpt"]):
        rows.taken.add("roles_to_train")
    rows.leave("roles_to_train", "sources[].loss is assistant, last, or all")
    rows.taken |= {"field_messages", "message_field_role", "message_field_content", "type"}
    if beyond := sorted(set(own) - {"role", "content"}):
        why = f"of turns only speaker and text are read, not {', '.join(beyond)}"
        rows.tell("message_property_mappings", why, own)
    rows.taken.add("message_property_mappings")
    if rows.get("type") not in ("chat_template", "chat_template.default", "sharegpt"):
        rows.tell("type", "read as a list of turns", rows.get("type"))
    return {"shape": shape, "columns": columns}


def _held_out(made: Draft) -> None:
    size = made.get("val_set_size", 0)
    if not isinstance(size, int | float):
        made.leave("val_set_size", "is no number")
        size = 0
    places.held_out(made, size, "val_set_size", bool(made.get("test_datasets")))


def _lengths(made: Draft) -> None:
    made.put("tokenise.max_length", made.get("sequence_len", 512), "sequence_len")
    strategy = made.get("excess_length_strategy")
    if strategy in ("drop", "truncate"):
        made.put("tokenise.overlong", strategy, "excess_length_strategy")
    elif strategy is None:
        made.notes.append(
            "rows longer than tokenise.max_length are split between exchanges; Axolotl drops them: "
            "tokenise.overlong: drop does so too"
        )
    made.leave("excess_length_strategy", "tokenise.overlong is split, truncate or drop")
    given = made.get("chat_template_kwargs")
    if isinstance(given, dict):
        made.put("tokenise.chat_template_kwargs", given, "chat_template_kwargs")
    if made.get("chat_template") == "tokenizer_default":
        made.taken.add("chat_template")


def _adapter(made: Draft) -> None:
    kind = made.get("adapter")
    if kind in ("qlora", "lora", None):
        four = kind == "qlora" or made.get("load_in_4bit") is True
        name = "full" if kind is None else "qlora" if four else "lora"
        training.method(made, name, tuple(k for k in ("adapter", "load_in_4bit") if k in made.given))
    made.leave("adapter", "train.method knows lora, dora, rslora, qlora and full")
    for key, name in (("peft_use_dora", "dora"), ("peft_use_rslora", "rslora")):
        if made.get(key) is True:
            training.method(made, name, (key,))
    made.copy("lora_r", "train.rank")
    made.copy("lora_alpha", "train.alpha")
    made.copy("lora_dropout", "train.dropout")
    made.taken |= {k for k in ("load_in_8bit", "load_in_4bit") if made.get(k) is False}
    made.leave("load_in_8bit", "the model is not quantised to 8 bits: it is held in bfloat16 or float32")
    layers = made.get("lora_target_modules")
    if made.get("lora_target_linear") is True or layers == "all-linear":
        made.put("train.target_modules", "all-linear", "lora_target_linear")
        made.taken |= {"lora_target_modules"} if layers == "all-linear" else set()
    elif isinstance(layers, list):
        made.put("train.target_modules", layers, "lora_target_modules")
    made.leave("lora_target_modules", "train.target_modules is a list of names, all-linear or auto")
    training.modules(made, "lora_modules_to_save", "train.modules_to_save")
    training.modules(made, "tokens", "train.new_tokens")
    made.copy("lora_model_dir", "train.from")


def _attention(made: Draft) -> None:
    wanted = made.get("attn_implementation")
    if wanted in ("sdpa", "eager") or made.get("sdp_attention") or made.get("eager_attention"):
        name = "eager" if wanted == "eager" or made.get("eager_attention") else "sdpa"
        keys = [k for k in ("attn_implementation", "sdp_attention", "eager_attention") if made.get(k)]
        made.put("train.attention", name, *keys)
    for key in made.given:
        if "attention" in key or key.startswith("attn_"):
            made.leave(key, "attention is computed by train.attention")


def _trackers(made: Draft) -> None:
    if made.get("use_wandb") is not False and made.get("wandb_project"):
        keys = {"wandb_project": "project", "wandb_entity": "entity", "wandb_name": "name"}
        mode = made.get("wandb_mode")
        keys |= {"wandb_mode": "mode"} if mode in ("online", "offline") else {}
        training.tracker(made, "wandb", keys, *({"use_wandb"} & set(made.given)))
    if made.get("use_mlflow") is not False and (
        made.get("mlflow_tracking_uri") or made.get("mlflow_experiment_name") or made.get("use_mlflow")
    ):
        keys = {
            "mlflow_tracking_uri": "uri",
            "mlflow_experiment_name": "experiment",
            "mlflow_run_name": "name",
        }
        training.tracker(made, "mlflow", keys, *({"use_mlflow"} & set(made.given)))
    if made.get("use_tensorboard"):
        training.tracker(made, "tensorboard", {}, "use_tensorboard")
    if made.get("trackio_project_name") or made.get("use_trackio"):
        keys = {"trackio_project_name": "project", "trackio_run_name": "name", "trackio_space_id": "space"}
        training.tracker(made, "trackio", keys, *({"use_trackio"} & set(made.given)))
