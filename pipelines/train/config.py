"""The config of `train`, apart from its code.

A recipe holds them, and every task of every pass holds a recipe: torch and peft take seconds to
import, which a task that cleans text must not pay.
"""

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from headrace.pipelines.section import Section

Attention = Literal["sdpa", "eager"]
Precision = Literal["auto", "float32", "bfloat16"]


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

    rank: int = Field(default=16, ge=1)
    """Rank of the adapter's matrices (LoRA's r)."""
    alpha: float = Field(default=32, gt=0)
    """Scale of the adapter: its output counts `alpha / rank` times."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Share of the adapter's inputs that is left out at random."""
    target_modules: Literal["auto", "all-linear"] | tuple[str, ...] = "all-linear"
    """Layers that get an adapter: all linear ones but the output; auto: those that peft names for the
    architecture (mostly queries and values); or a list of names."""
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
    weight_decay: float = Field(default=0.0, ge=0)
    """Decoupled weight decay of AdamW."""
    max_grad_norm: float = Field(default=1.0, ge=0)
    """Gradients are scaled down to this norm; 0: never."""
    preference: Preference = Preference()
    precision: Precision = "auto"
    """float32, bfloat16 (the adapter stays float32), or auto: bfloat16 on GPUs that compute in it."""
    attention: Attention = "sdpa"
    """Implementation of attention: sdpa (fast) or eager (plain). Both keep samples apart."""
    gradient_checkpointing: bool = False
    """Compute activations a second time instead of keeping them: less memory, ~30% slower."""
    workers: Annotated[int, Field(ge=1)] | Workers = 2
    """Ranks, or `{least: 1, most: 8}`: as many as the cluster holds while it grows and shrinks. With fewer
    GPUs, one a GPU. A training goes on with another number."""
    use_gpu: Literal["auto"] | bool = "auto"
    """Train on GPUs: one a worker; auto: where the cluster has any."""
    cpus_per_worker: float = Field(default=1, gt=0)
    """CPUs that each rank reserves."""
    validate_every: int | None = Field(default=None, ge=1)
    """Steps between validations; left out: a tenth of all steps. The last step validates always. Changed
    while a training is under way, it holds from there on."""
    validation_rows: int = Field(default=512, ge=1)
    """Most packed rows that a validation reads."""
    checkpoint_every: int | None = Field(default=None, ge=1)
    """Steps between checkpoints; left out: as `validate_every`. The last step leaves one always."""
    keep_checkpoints: int = Field(default=2, ge=1)
    """Checkpoints that are kept, the newest ones; the best adapter is kept beside them."""
    max_failures: int = Field(default=3, ge=0)
    """How often workers that died are restarted before the training fails."""
    use_weights: bool = True
    """Heed the weights of the sources; otherwise each sample is trained on once an epoch."""

    @property
    def most(self) -> int:
        """Ranks at most."""
        return self.workers if isinstance(self.workers, int) else self.workers.most

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
        return self
