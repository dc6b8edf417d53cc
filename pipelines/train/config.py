"""The config of `train`, apart from its code.

A recipe holds them, and every task of every pass holds a recipe: torch and peft take seconds to
import, which a task that cleans text must not pay.
"""

from typing import Annotated, Any, Literal

from pydantic import (
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
    model_validator,
)

from headrace.pipelines.evaluate.judged.function import FORM
from headrace.pipelines.examine.advice.config import Kind
from headrace.pipelines.section import Path, Section

Attention = Literal["auto", "varlen", "sdpa", "eager"]
Method = Literal["lora", "rslora", "dora", "qlora", "full"]
RANKS = 2  # where the recipe names none, and there is no GPU
Precision = Literal["auto", "float32", "bfloat16"]
BEST = ("validation_loss", "exact_match", "f1", "rougeL")


Like = Literal["support", "code", "style", "domain", "auto"]
KINDS: dict[str, Kind] = {"support": "narrow", "code": "skill", "style": "style", "domain": "text"}
STARTED = ("rank", "alpha", "learning_rate", "epochs")


def start_of(kind: Kind) -> dict[str, float]:
    """The advice's values for sets of a kind, by key of `STARTED`."""
    from headrace.pipelines.examine.advice.start import STARTS  # NumPy and more, which few recipes need

    found = STARTS[kind]
    return {"rank": found.rank, "alpha": found.alpha, "learning_rate": found.rate, "epochs": found.epochs}


class Workers(Section):
    """Ranks of a training that is resized with its cluster."""

    least: int = Field(default=1, ge=1)
    """Ranks with which it starts or goes on at least."""
    most: int = Field(ge=1)
    """Ranks that it takes at most."""

    @model_validator(mode="after")
    def _ordered(self) -> "Workers":
        if self.least > self.most:
            raise ValueError(f"least is {self.least} and most {self.most}: least may not be more")
        return self


class Watch(Section):
    """What is looked at while a training runs. Changed while it is under way, it holds from there on."""

    on_bad_step: Literal["stop", "skip"] = "stop"
    """What comes of a step whose loss or gradient is no number, or far beyond those before: the training
    stops (exit 3), or the step is left out and counted."""
    stop: bool = True
    """Stop (exit 3) where the loss diverges or nothing is learnt; otherwise that is said, and it goes on."""
    forgetting: bool = True
    """Measure with each validation the loss on a few general texts, and say where it rises."""


class Preference(Section):
    """How pairs of a chosen and a rejected answer are learned."""

    loss: Literal["dpo", "ipo"] = "dpo"
    """dpo: the chosen answer shall gain over the rejected one, beside the base model; ipo: by a margin that
    does not grow, of the answers' means over their tokens."""
    beta: float = Field(default=0.1, gt=0)
    """How near to the base model answers stay: the greater, the nearer."""
    label_smoothing: float = Field(default=0.0, ge=0, lt=0.5)
    """dpo: share of the pairs that may be the wrong way round."""
    sft_weight: float = Field(default=0.0, ge=0)
    """Weight of the cross entropy of chosen answers beside it, against answers that both become unlikely."""
    reference: Literal["base"] = "base"
    """What answers are held against: the base model, which is the one with its adapter switched off."""

    @model_validator(mode="before")
    @classmethod
    def _offered(cls, values: Any) -> Any:
        if isinstance(values, dict) and isinstance(loss := values.get("loss"), str) and loss in ONLINE:
            raise ValueError(online(loss))
        return values


class Canaries(Section):
    """Made secrets that are planted into a training, by which it is measured what it learns by heart."""

    count: int = Field(default=10, ge=5, le=1000)
    """How many."""
    times: int = Field(default=1, ge=1, le=1000)
    """How often each stands among the rows of an epoch."""


ONLINE = ("grpo", "ppo", "rloo", "online_dpo")  # whose answers the model being trained gives


def online(name: str) -> str:
    """Why a training by answers of its own is refused."""
    return (
        f"{name} is not offered: it learns from answers that the model gives while it is trained, and from a "
        "function that judges them, and headrace trains on rows. Pairs of answers (columns chosen and "
        "rejected) are learned by train.preference; for what a function judges hand prepared/ to TRL"
    )


class Config(Section):
    """How the adapter is trained."""

    model_config = ConfigDict(validate_by_name=True, validate_by_alias=True, serialize_by_alias=True)

    method: Method = "lora"
    """What is trained. lora: low-rank matrices beside the layers; rslora: the same, scaled by
    `alpha / sqrt(rank)`; dora: with a trained length of each output, too; qlora: lora over a base in 4 bits
    (NF4, quantised twice), by bitsandbytes; full: every weight, and `adapter/` holds a whole model."""
    from_: Path | None = Field(default=None, alias="from")
    """Go on from an earlier adapter: a run, or a directory that peft has saved. Its base must be `model`;
    `method`, `rank`, `alpha`, `target_modules` and `modules_to_save` are taken from it."""
    rank: int = Field(default=16, ge=1)
    """Rank of the adapter's matrices (LoRA's r)."""
    alpha: float = Field(default=32, gt=0)
    """Scale of the adapter: its output counts `alpha / rank` times."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Share of the adapter's inputs that is left out at random."""
    target_modules: Literal["auto", "all-linear"] | tuple[str, ...] = "all-linear"
    """Layers that get an adapter: all linear ones but the output; auto: those that peft names for the
    architecture (mostly queries and values); or a list of names."""
    modules_to_save: tuple[str, ...] = ()
    """Layers that are trained whole beside the adapter and saved with it (`lm_head`, `embed_tokens`)."""
    new_tokens: tuple[str, ...] = ()
    """Tokens of the model's tokenizer whose rows in embedding and output are trained beside the adapter:
    those that were added to it, for which the model gets rows, and those that it never learned."""
    aux_loss: float | None = Field(default=None, gt=0)
    """How much the loss counts that makes a router use all experts alike (0.001 to 0.02); left out: not at
    all. It is added to the loss of training, not to that of validation."""
    packed: Literal["auto"] | bool = "auto"
    """true: compute packed rows as they are, several samples in one; false: take them apart and pad the
    samples; auto: as they are where the model's logits prove that no sample sees another, else apart."""
    learning_rate: float = Field(default=2e-4, gt=0)
    """Highest learning rate, reached after warm-up."""
    epochs: int = Field(default=3, ge=1)
    """How often each packed row is trained on; `max_steps` takes precedence."""
    max_steps: int | None = Field(default=None, ge=1)
    """Steps of the whole training; left out: as many as `epochs` takes."""
    rows_per_step: int = Field(default=8, ge=1)
    """Packed rows of a step, whatever the number of workers (others' workers x batch x accumulation)."""
    batch_size: int = Field(default=4, ge=1)
    """Packed rows that a worker computes at once, at most; the others of its step follow."""
    warmup: float = Field(default=0.03, ge=0, le=1)
    """Share of the steps in which the learning rate rises."""
    schedule: Literal["cosine", "constant"] = "cosine"
    """How the learning rate goes on after warm-up: to 0 by half a cosine, or as it is."""
    weight_decay: float = Field(default=0.01, ge=0)
    """Decoupled weight decay of AdamW."""
    max_grad_norm: float = Field(default=1.0, ge=0)
    """Gradients are scaled down to this norm; 0: never."""
    preference: Preference = Preference()
    precision: Precision = "auto"
    """float32, bfloat16 (the adapter stays float32), or auto: bfloat16 on GPUs that compute in it, but
    float32 where `method` is full, computed in bfloat16 on those."""
    attention: Attention = "auto"
    """Implementation of attention: varlen (no mask, the fastest), sdpa (a mask) or eager (plain); auto: the
    first of them that is shown to keep the samples of a packed row apart in this model."""
    gradient_checkpointing: bool | Literal["selective"] = False
    """Compute activations a second time instead of keeping them: less memory, ~30% slower; selective: those
    of every second layer."""
    compile: bool = False
    """Compile each layer by torch.compile: minutes at the start, for faster steps on GPUs."""
    shard: Literal["auto", "none", "fsdp"] = "auto"
    """fsdp: each rank holds a part of the weights that are not trained (FSDP2); none: all of them; auto: fsdp
    where they do not fit on one of several GPUs."""
    offload: bool = False
    """Keep the weights that are not trained in the machine's memory, and on a GPU one layer at a time."""
    workers: Literal["auto"] | Annotated[int, Field(ge=1)] | Workers = "auto"
    """Ranks; auto: one a GPU, or 2 without GPUs; or `{least: 1, most: 8}`: as many as the cluster holds while
    it grows and shrinks. With fewer GPUs, one a GPU. A training goes on with another number."""
    use_gpu: Literal["auto"] | bool = "auto"
    """Train on GPUs: one a worker; auto: where the cluster has any."""
    cpus_per_worker: float = Field(default=1, gt=0)
    """CPUs that each rank reserves."""
    validate_every: int | None = Field(default=None, ge=1)
    """Steps between validations; left out: a tenth of all steps, 500 at most. The last step validates always.
    Changed while a training is under way, it holds from there on."""
    validation_rows: int = Field(default=512, ge=1)
    """Most packed rows that a validation reads."""
    checkpoint_every: int | None = Field(default=None, ge=1)
    """Steps between checkpoints; left out: as `validate_every`. The last step leaves one always."""
    keep_checkpoints: int = Field(default=2, ge=1)
    """Checkpoints that are kept, the newest ones; the best adapter is kept beside them."""
    like: Like | None = None
    """What is to be learnt, for values of rank, alpha, learning_rate and epochs where the recipe sets none:
    support (labels, extraction, replies), code, style, domain (much text), or auto: as `advise` tells it by
    the rows. Left out: the defaults."""
    best: str = "validation_loss"
    """What the best checkpoint is chosen by, on validation rows: validation_loss; or, of answers that the
    model writes, exact_match, f1, rougeL or `python:FILE:FUNCTION`, a function of (answers, references) that
    returns a number for each, higher being better."""
    best_samples: int = Field(default=64, ge=1)
    """Most validation samples that are answered, where `best` is of answers."""
    best_tokens: int = Field(default=128, ge=1)
    """Longest answer, where `best` is of answers."""
    patience: int | None = Field(default=3, ge=1)
    """Validations without a better checkpoint after which the training ends (exit 0); null: never."""
    min_delta: float = Field(default=0.0, ge=0)
    """Least change that counts as better."""
    smoke: float = Field(default=0.1, ge=0, lt=1)
    """Share of the steps after which speed, time and cost of the whole are said, and the training stops where
    the loss has not moved; otherwise it goes on from there, and nothing is done twice. 0: never."""
    watch: Watch = Watch()
    canaries: Canaries | None = None
    """Plant secrets (tokens at random, with loss) among the rows, for the gate `canaries` of `evaluate`: a
    model that is shipped holds them, and steps far beyond those before are looked for no more. Left out:
    none."""
    seeds: int = Field(default=1, ge=1)
    """Trainings, the run's own and others with the seeds behind the recipe's: how far the metric that decides
    lies apart between them is chance, which `evaluate` tells beside the gain. Each takes as long."""
    max_failures: int = Field(default=3, ge=0)
    """How often workers that died are restarted before the training fails."""
    use_weights: bool = True
    """Heed the weights of the sources; otherwise each sample is trained on once an epoch."""

    @property
    def most(self) -> int:
        """Ranks at most; of `auto` those without GPUs."""
        if self.workers == "auto":
            return RANKS
        return self.workers if isinstance(self.workers, int) else self.workers.most

    @model_validator(mode="before")
    @classmethod
    def _alike(cls, values: Any) -> Any:
        if isinstance(values, dict) and values.get("like") in KINDS:
            return {**start_of(KINDS[values["like"]]), **values}
        return values

    @model_serializer(mode="wrap")
    def _unset(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Values that `like: auto` is to find stay unset in the recipe that a run keeps."""
        values: dict[str, Any] = dump(self)
        if self.like == "auto":
            return {k: v for k, v in values.items() if k not in STARTED or k in self.model_fields_set}
        return values

    def alike(self, kind: Kind) -> "Config":
        """With the values for sets of this kind where the recipe sets none, for `like: auto`."""
        values = {k: v for k, v in start_of(kind).items() if k not in self.model_fields_set}
        return self.model_copy(update={**values, "like": None})

    @field_validator("best")
    @classmethod
    def _known(cls, value: str) -> str:
        if value not in BEST and not FORM.fullmatch(value):
            raise ValueError(f"is none of {', '.join(BEST)} and no python:FILE.py:FUNCTION")
        return value

    @model_validator(mode="before")
    @classmethod
    def _renamed(cls, values: Any) -> Any:
        if isinstance(values, dict) and isinstance(method := values.get("method"), str) and method in ONLINE:
            raise ValueError(online(method))
        if isinstance(values, dict) and "gradient_accumulation" in values:
            raise ValueError(
                "gradient_accumulation is no key any more; write rows_per_step, the packed rows of a step "
                "over all workers: workers x batch_size x gradient_accumulation"
            )
        return values

    @model_validator(mode="after")
    def _named(self) -> "Config":
        if self.target_modules == ():
            raise ValueError('target_modules is empty; name layers, or write "auto" or "all-linear"')
        if self.method == "full" and self.modules_to_save:
            raise ValueError("modules_to_save has no meaning with method: full, which trains every weight")
        return self
