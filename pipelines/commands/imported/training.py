"""Keys of a training that Axolotl and LLaMA-Factory have in common: most are transformers' own names."""

import math
from collections.abc import Mapping

from headrace.pipelines.commands.imported.draft import Draft

SAME = {
    "learning_rate": "train.learning_rate",
    "weight_decay": "train.weight_decay",
    "max_grad_norm": "train.max_grad_norm",
    "max_steps": "train.max_steps",
    "save_total_limit": "train.keep_checkpoints",
    "early_stopping_patience": "train.patience",
    "seed": "seed",
}
SCHEDULES = {"cosine": "cosine", "constant": "constant", "constant_with_warmup": "constant"}
ADAMW = ("adamw_torch", "adamw_torch_fused", "adamw_hf", "adamw", "adamw_apex_fused")

# Why a key has no counterpart, by the beginning of its name.
REASONS = {
    "adam_|optim_": "AdamW's other numbers are fixed: betas .9 and .999, epsilon 1e-8",
    "bf16|fp16|tf32|fp8|float|bfloat|pure_bf16": "train.precision alone says what is computed in",
    "dataloader_|preprocessing_|dataset_num|dataset_processes": "how many tasks run at once is `workers`, "
    "or as many as there are CPUs",
    "ddp|deepspeed|fsdp|device|local_rank|world_size|accelerator|tensor_parallel|context_parallel|sequence_par"
    "|expert_|dp_": "headrace spreads a training by train.workers and train.shard",
    "do_(train|eval|predict)|predict_": "what is done is said by the command",
    "eval_|per_device_eval|evals_per_epoch": "the size and number of validations have keys of their own: "
    "train.validation_rows, train.batch_size, train.validate_every",
    "group_by_length|pad_to|eval_sample_packing": "rows are packed: there is next to no padding",
    "gradient_checkpointing_kwargs|use_reentrant": "recomputed as PyTorch proposes",
    "hub_|push_|hf_|ms_hub|om_hub|cache_dir": "nothing is uploaded, and tokens come from the environment",
    "liger_|plugins|lora_.*kernel|use_kernels|torch_compile|flash_attn_|unsloth|use_unsloth|enable_liger|"
    "chunked_cross|cut_cross": "a faster way to the same numbers, which headrace chooses by itself",
    "load_best_model": "the adapter of the least validation loss is always the one that is kept",
    "logging_|plot_loss|include_|disable_tqdm|debug": "every step's loss is kept and drawn in the report",
    "model_type|tokenizer_type|processor_type|tokenizer_(use_fast|legacy)|use_fast": "told by the model",
    "overwrite_|resume_|auto_resume|save_only|save_first|save_str|save_safe|ignore_data_skip": "a training "
    "goes on from its newest checkpoint by itself, and one with other settings begins beside it",
    "remove_unused|shuffle_merged|skip_prepare|dataset_prepared|dataset_keep|tokenized_path|overwrite_cache|"
    "streaming|dataset_exact_dedup": "rows are prepared, cleaned of duplicates and shuffled by headrace",
    "rl|trl|dpo_|pref_|kto_|orpo_|simpo_|cpo_|ppo_|reward_|ref_": "of pairs of answers DPO and IPO are "
    "learned, beside the base model: see train.preference",
    "save_steps|saves_per_epoch|save_strategy": "train.checkpoint_every says how often",
    "strict": "an unknown key of a recipe is always refused",
    "trust_remote": "no code of a model's is run",
    "wandb_(watch|log_model|run_id)": "numbers are written, no weights",
}


def take(draft: Draft) -> None:
    """The keys that both have under one name."""
    for key, place in SAME.items():
        draft.copy(key, place)
    _warmup(draft)
    if draft.get("gradient_checkpointing"):
        draft.put("train.gradient_checkpointing", True, "gradient_checkpointing")
    elif draft.get("gradient_checkpointing") is False:
        draft.put("train.gradient_checkpointing", False, "gradient_checkpointing")
    if draft.get("torch_compile") is True:
        draft.put("train.compile", True, "torch_compile")
    _every(draft, "eval_steps", "train.validate_every")
    _every(draft, "save_steps", "train.checkpoint_every")


def _warmup(draft: Draft) -> None:
    ratio, steps = draft.get("warmup_ratio"), draft.get("warmup_steps")
    most = draft.get("max_steps")
    if isinstance(ratio, int | float):
        draft.put("train.warmup", ratio, "warmup_ratio")
    elif isinstance(steps, float) and steps < 1:  # transformers reads a share there too
        draft.put("train.warmup", steps, "warmup_steps")
    elif isinstance(steps, int) and isinstance(most, int) and most > 0:
        draft.put("train.warmup", round(min(1.0, steps / most), 6), "warmup_steps")
    else:
        draft.leave("warmup_steps", "train.warmup is a share of the steps, whose number the rows decide")


def _every(draft: Draft, key: str, place: str) -> None:
    value = draft.get(key)
    if isinstance(value, int) and not isinstance(value, bool) and value >= 1:
        draft.put(place, value, key)
    else:
        draft.leave(key, f"{place} is a number of steps; left out, it is a tenth of all")


def epochs(draft: Draft, key: str, default: int) -> None:
    """Whole epochs: a part of one is rounded up, and said."""
    value = draft.get(key, default)
    if not isinstance(value, int | float) or isinstance(value, bool):
        draft.leave(key, "is no number")
        return
    whole = max(1, math.ceil(value))
    draft.put("train.epochs", whole, key)
    if whole != value:
        draft.tell(key, f"train.epochs is a whole number: {whole} stands there", value)


def schedule(draft: Draft, key: str, default: str) -> None:
    """The schedule of the learning rate, where it is one that headrace has."""
    value = draft.get(key, default)
    if isinstance(value, str) and value in SCHEDULES:
        draft.put("train.schedule", SCHEDULES[value], key)
    elif key in draft.given:
        draft.leave(key, "train.schedule is cosine or constant: it stands at cosine")
    else:
        draft.notes.append(f"{key} is left out, which means {default} there; train.schedule stands at cosine")


def optimizer(draft: Draft, key: str) -> None:
    """AdamW is the only one."""
    if draft.get(key) in ADAMW:
        draft.taken.add(key)
    draft.leave(key, "the optimizer is AdamW, its state in float32")


def precision(draft: Draft, bf16: str, fp16: str) -> None:
    """float32, bfloat16 or what the device has."""
    if draft.get(fp16) is True:
        draft.leave(
            fp16, "float16 is not trained in; train.precision: auto takes bfloat16 where there is any"
        )
    value = draft.get(bf16)
    if value in (True, "auto", "true", "full"):
        draft.put("train.precision", "auto" if value == "auto" else "bfloat16", bf16)
    elif value is False and not draft.get(fp16):
        draft.put("train.precision", "float32", bf16)
    if draft.get(fp16) is False:
        draft.taken.add(fp16)


def batch(draft: Draft, per_device: str, default: int, gpus: int, packed: bool) -> None:
    """Rows of a step over all devices and accumulation."""
    size, steps = draft.get(per_device, default), draft.get("gradient_accumulation_steps", 1)
    if not (isinstance(size, int) and isinstance(steps, int)):
        draft.leave(per_device, "is no whole number")
        draft.leave("gradient_accumulation_steps", f"is told together with {per_device}")
        return
    draft.put("train.batch_size", size, per_device)
    draft.put("train.rows_per_step", size * steps * gpus, per_device, "gradient_accumulation_steps")
    draft.put("train.workers", gpus)
    times = f"{per_device} {size} x gradient_accumulation_steps {steps} x {gpus} GPU{'s' * (gpus != 1)}"
    draft.notes.append(
        f"train.rows_per_step is {size * steps * gpus}: {times}; for another number of GPUs import again "
        "with --gpus"
    )
    if not packed:
        draft.notes.append(
            "the file packs nothing: a row of a step was one sample there and holds several here, so a step "
            "trains on more; fewer rows a step, or a higher rate, come nearer"
        )


def method(draft: Draft, name: str, keys: tuple[str, ...]) -> None:
    """How weights are trained, where that is not by plain LoRA."""
    draft.taken |= set(keys)
    if name != "lora":
        draft.put("train.method", name, *keys)


def modules(draft: Draft, key: str, place: str) -> None:
    """A list, or names between commas."""
    value = draft.get(key)
    if value is not None:
        names = value if isinstance(value, list) else [n.strip() for n in str(value).split(",")]
        draft.put(place, names, key)


def preference(draft: Draft, loss: str, keys: Mapping[str, str]) -> None:
    """Pairs of a better and a worse answer. loss: ours; keys: theirs to those of `train.preference`."""
    draft.put("train.preference.loss", loss)
    for theirs, ours in keys.items():
        value = draft.get(theirs)
        if isinstance(value, int | float) and not isinstance(value, bool):
            draft.put(f"train.preference.{ours}", value, theirs)


def tracker(draft: Draft, name: str, keys: dict[str, str], *also: str) -> None:
    """A section of `trackers`. keys: theirs to ours; also: what else said that it is used."""
    section = {ours: draft.get(theirs) for theirs, ours in keys.items() if draft.get(theirs) is not None}
    draft.put(f"trackers.{name}", section, *(k for k in keys if draft.get(k) is not None), *also)
