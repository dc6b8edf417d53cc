"""What a training needs is told in numbers that add up, and what would fit is said."""

import pytest
import torch
import transformers

from headrace.pipelines.examine.advice import fit
from headrace.pipelines.train import memory
from headrace.pipelines.train.config import Config
from headrace.pipelines.train.memory import Asked

EIGHT = transformers.LlamaConfig(
    hidden_size=4096,
    intermediate_size=14336,
    num_hidden_layers=32,
    num_attention_heads=32,
    num_key_value_heads=8,
    vocab_size=128256,
)


def test_a_recipe_that_fits_is_said_to_fit() -> None:
    config = Config(batch_size=2)
    need = memory.estimated(EIGHT, config, Asked(2048, 2, gpu=True))
    assert need is not None
    assert need.parts["model"] == pytest.approx(8.03e9 * 2 / fit.GIB, rel=0.01)
    assert need.whole == pytest.approx(sum(need.parts.values()))
    text = memory.words(need, config, 2048, 80.0, 1, need)
    assert text.startswith(
        f"memory: about {need.whole:.1f} GiB a rank at batch_size 2 x 2,048 tokens (model 15.0"
    )
    assert text.endswith("80.0 GiB are there for each of 1: fits")


def test_what_would_fit_is_proposed() -> None:
    config = Config(batch_size=4)
    need = memory.estimated(EIGHT, config, Asked(4096, 2, gpu=True))
    other = memory.largest(EIGHT, config, Asked(4096, 2, gpu=True), 40.0)
    assert need is not None
    assert other is not None
    assert other.whole <= 40.0 < need.whole
    text = memory.words(need, config, 4096, 40.0, 1, other)
    assert f"does not fit; train.batch_size: {other.batch} and train.gradient_checkpointing: " in text
    assert "rows_per_step stays 8" in text
    assert memory.largest(EIGHT, config, Asked(4096, 2, gpu=True), 10.0) is None
    assert "no smaller batch would" in memory.words(need, config, 4096, 10.0, 1, None)


def test_a_mask_takes_the_square_of_the_length() -> None:
    free, masked = (
        memory.estimated(EIGHT, Config(), Asked(8192, 2, gpu=True, masked=masked)) for masked in (False, True)
    )
    assert free is not None
    assert masked is not None
    assert masked.parts["mask"] - free.parts["mask"] == 4 * 8192**2 * 2 / fit.GIB


def test_on_a_cpu_the_heap_keeps_more_than_tensors_take() -> None:
    here, gpu = (memory.estimated(EIGHT, Config(), Asked(2048, 4, gpu=gpu)) for gpu in (False, True))
    assert here is not None
    assert gpu is not None
    made = here.parts["backward"] + here.parts["logits"] + here.parts["activations"] / 32
    mapped = 8 * 4 * 2048 * 4 * 14336 / fit.GIB  # whose tensors are larger than what the heap takes
    assert here.parts["heap"] == pytest.approx(fit.HEAP_FREED * (made - mapped) + fit.HEAP_FIRST)
    assert "heap" not in gpu.parts
    short = memory.estimated(EIGHT, Config(batch_size=1), Asked(128, 4, gpu=False))
    assert short is not None
    made = short.parts["backward"] + short.parts["logits"] + short.parts["activations"] / 32
    assert short.parts["heap"] == pytest.approx(fit.HEAP_FREED * made + fit.HEAP_FIRST)
    half = memory.estimated(EIGHT, Config(batch_size=1), Asked(128, 2, gpu=False))
    assert half is not None
    made = half.parts["backward"] + half.parts["logits"] + half.parts["activations"] / 32
    copies = 128256 * 4096 * 2 / fit.GIB
    wanted = fit.HEAP_FREED * made + fit.HEAP_COPIES * copies + fit.HEAP_FIRST
    assert half.parts["heap"] == pytest.approx(wanted)


def test_of_what_is_not_understood_nothing_is_said() -> None:
    asked = Asked(64, 4, gpu=False)
    assert memory.estimated(transformers.PretrainedConfig(), Config(), asked) is None
    assert memory.estimated(EIGHT, Config(method="qlora"), asked) is None


def parts(config: Config, **more: bool) -> dict[str, float]:
    """GiB of the parts of a training of `EIGHT` in float32 on a GPU."""
    need = memory.estimated(EIGHT, config, Asked(512, 4, gpu=True, **more))
    assert need is not None
    return need.parts


def test_layers_without_an_adapter_keep_no_input_for_it() -> None:
    every, few = parts(Config()), parts(Config(target_modules=("q_proj", "model.v_proj")))
    assert few == parts(Config(target_modules="auto"))  # what peft names for Llama
    assert few["adapter"] == 32 * 16 * (4096 + 4096 + 4096 + 1024) * 8 / fit.GIB
    kept = 4096 + 4096 + 14336 + 16 * 5  # inputs of o, of gate and up, of down, and the narrow sides
    assert every["activations"] - few["activations"] == pytest.approx(4 * 512 * 32 * 4 * kept / fit.GIB)
    assert parts(Config(target_modules=("experts.w1",))) == every  # a name that says nothing


def test_dora_keeps_both_of_what_it_scales() -> None:
    plain, dora = parts(Config()), parts(Config(method="dora"))
    wide = 4096 + 2 * 1024 + 4096 + 2 * 14336 + 4096  # outputs of a layer's linear layers
    assert dora["adapter"] - plain["adapter"] == pytest.approx(32 * wide * 8 / fit.GIB)
    assert dora["activations"] - plain["activations"] == pytest.approx(4 * 512 * 32 * 4 * 2 * wide / fit.GIB)


def test_gradients_of_all_weights_come_while_activations_go() -> None:
    weights = parts(Config())["model"]
    one = parts(Config(method="full", workers=1, rows_per_step=4))
    assert one["optimizer"] == 2 * weights
    assert one["gradients"] + one["activations"] == pytest.approx(weights)
    two = parts(Config(method="full", workers=2, rows_per_step=8))  # which sum a copy of them
    assert two["gradients"] + two["activations"] == pytest.approx(2 * weights)
    output = 2 * 4 * 128256 * 4096 / fit.GIB
    several = parts(Config(method="full", workers=1, rows_per_step=8))  # the first batch's stay
    assert several["gradients"] == pytest.approx(weights + output)


def test_what_is_trained_beside_an_adapter_and_pairs_count_for_more() -> None:
    plain, saved = parts(Config()), parts(Config(modules_to_save=("lm_head", "model.embed_tokens")))
    rows = 128256 * 4096 * 4 / fit.GIB
    assert saved["adapter"] - plain["adapter"] == pytest.approx(4 * rows)
    assert saved["optimizer"] - plain["optimizer"] == pytest.approx(4 * rows)
    pairs = parts(Config(), paired=True)
    assert pairs["logits"] - plain["logits"] == pytest.approx(523 * 128256 * 8 / fit.GIB)
    assert pairs["logits"] == saved["logits"]  # both by autograd


def test_the_share_of_a_gpu_counts_four_flop_a_weight_and_token() -> None:
    weights = 8.03e9 - 128256 * 4096
    assert memory.mfu(EIGHT, "NVIDIA H100 80GB HBM3", 12473, 1.0) == pytest.approx(
        4 * weights * 12473 / 989e12, rel=0.001
    )
    assert memory.mfu(EIGHT, "a GPU of 2040", 1, 1.0) is None


def test_what_a_process_grows_by_is_its_peak() -> None:
    peak = memory.Peak(torch.device("cpu"))
    held = torch.ones(2**26)
    assert peak.taken() >= 0
    del held
