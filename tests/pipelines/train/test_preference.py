"""The loss of pairs is the plain formula's, however rows are packed and dealt, and it is learned."""

from multiprocessing import get_context
from typing import Any

import numpy as np
import peft
import pyarrow as pa
import pytest
import torch
import torch.distributed as dist
from torch.nn import functional
from transformers import LlamaConfig, LlamaForCausalLM

from headrace.cluster import storage
from headrace.cluster.errors import ModelError, RecipeError
from headrace.pipelines import recipe as recipes
from headrace.pipelines.train import adapter, batches, driver, preference, steps, worker
from headrace.pipelines.train.config import Config, Preference
from headrace.pipelines.train.steps import Job
from tests.pipelines import toys

CPU = torch.device("cpu")
LENGTH, WORDS = 40, 50
Answer = tuple[list[int], list[int], int]  # prompt, answer, 1 chosen, -1 rejected, 0 neither
Batch = dict[str, torch.Tensor]


@pytest.fixture(scope="module")
def model() -> Any:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=WORDS,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=LENGTH,
    )
    lora = peft.LoraConfig(r=4, lora_alpha=8, target_modules="all-linear", task_type="CAUSAL_LM")
    made = peft.get_peft_model(LlamaForCausalLM(config), lora)
    for name, weight in made.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.3)
    return made


def drawn() -> tuple[list[tuple[list[int], list[int], list[int]]], tuple[list[int], list[int]]]:
    """Three pairs and a plain row."""
    random = np.random.default_rng(0)

    def ids(count: int) -> list[int]:
        return [int(i) for i in random.integers(3, WORDS, count)]

    return [(ids(5), ids(4), ids(6)), (ids(3), ids(7), ids(2)), (ids(6), ids(3), ids(3))], (ids(4), ids(5))


PAIRS, PLAIN = drawn()


def both(pair: tuple[list[int], list[int], list[int]]) -> list[Answer]:
    prompt, chosen, rejected = pair
    return [(prompt, chosen, 1), (prompt, rejected, -1)]


def packed(*rows: list[Answer]) -> Batch:
    columns = {name: np.zeros((len(rows), LENGTH), np.int64) for name in (*batches.COLUMNS, "preferred")}
    columns["labels"][:] = -100
    for at, row in enumerate(rows):
        begin = 0
        for number, (prompt, answer, sign) in enumerate(row, 1):
            end = begin + len(prompt) + len(answer)
            columns["input_ids"][at, begin:end] = prompt + answer
            columns["labels"][at, begin + len(prompt) : end] = answer
            columns["position_ids"][at, begin:end] = np.arange(end - begin)
            columns["segment_ids"][at, begin:end], columns["preferred"][at, begin:end] = number, sign
            begin = end
    return {name: torch.from_numpy(values) for name, values in columns.items()}


ROWS = [both(PAIRS[0]) + both(PAIRS[1]), [(*PLAIN, 0), *both(PAIRS[2])]]


def said(model: Any, prompt: list[int], answer: list[int]) -> torch.Tensor:
    """Log-probability of an answer, by itself."""
    logits = model(torch.tensor([prompt + answer])).logits[0, len(prompt) - 1 : -1].float()
    nats = functional.cross_entropy(logits, torch.tensor(answer), reduction="sum")
    return -nats


def formula(model: Any, config: Preference) -> torch.Tensor:
    """The loss of `ROWS` as the papers have it, a sample at a time."""
    pairs = []
    for prompt, chosen, rejected in PAIRS:
        now = [said(model, prompt, answer) for answer in (chosen, rejected)]
        with torch.no_grad(), model.disable_adapter():
            base = [said(model, prompt, answer) for answer in (chosen, rejected)]
        gains = [a - b for a, b in zip(now, base, strict=True)]
        if config.loss == "ipo":
            means = gains[0] / len(chosen) - gains[1] / len(rejected)
            pairs.append((means - 1 / (2 * config.beta)) ** 2)
            continue
        margin, smooth = config.beta * (gains[0] - gains[1]), config.label_smoothing
        pairs.append(-functional.logsigmoid(margin) * (1 - smooth) - functional.logsigmoid(-margin) * smooth)
    targets = sum(len(chosen) for _, chosen, _ in PAIRS)
    chosen_nats = -sum((said(model, prompt, chosen) for prompt, chosen, _ in PAIRS), torch.zeros(()))
    plain = -said(model, *PLAIN) / len(PLAIN[1])
    return sum(pairs, torch.zeros(())) / len(pairs) + config.sft_weight * chosen_nats / targets + plain


def gradients(model: Any) -> dict[str, torch.Tensor]:
    found = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    return found


@pytest.mark.parametrize(
    "config",
    [Preference(), Preference(beta=0.5, label_smoothing=0.2, sft_weight=0.3), Preference(loss="ipo")],
)
@pytest.mark.parametrize("micro", [[packed(*ROWS)], [packed(ROWS[1]), packed(ROWS[0])]])
def test_loss_and_gradients_are_the_formulas(model: Any, config: Preference, micro: list[Batch]) -> None:
    wanted = formula(model, config)
    wanted.backward()
    due = gradients(model)
    objective = preference.Objective(config, CPU)
    counts = objective.counts(micro, CPU)
    assert counts.tolist() == [5, 3, 14]
    loss = torch.zeros(())
    for batch in micro:
        part = objective.part(model, batch, counts)
        part.backward()
        loss += part.detach()
    assert loss.item() == pytest.approx(wanted.item(), rel=1e-5)
    for name, found in gradients(model).items():
        torch.testing.assert_close(found, due[name], rtol=1e-4, atol=1e-6)


def test_the_untouched_model_prefers_nothing() -> None:
    torch.manual_seed(1)
    config = LlamaConfig(
        vocab_size=WORDS, hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2
    )
    lora = peft.LoraConfig(r=2, target_modules="all-linear", task_type="CAUSAL_LM")
    fresh = peft.get_peft_model(LlamaForCausalLM(config), lora)
    objective, batch = preference.Objective(Preference(), CPU), packed(both(PAIRS[0]))
    loss = objective.part(fresh, batch, objective.counts([batch], CPU))
    assert loss.item() == pytest.approx(np.log(2), rel=1e-6)
    assert preference.told(objective.taken()) == [1, 0, 0, 0, 0]
    assert preference.told(objective.taken()) is None


def test_pairs_are_learned(model: Any) -> None:
    objective = preference.Objective(Preference(), CPU)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-2)
    rank = steps.Rank(0, 1, CPU)
    batch, told = packed(*ROWS), []
    for _ in range(20):
        steps.step(model, optimizer, [batch], rank, 1e-2, 1.0, pairs=objective)
        told.append(preference.told(objective.taken()))
    assert told[0] is not None
    assert told[-1] is not None
    assert told[-1][1] == 1
    assert told[-1][2] > told[0][2] + 0.1
    assert told[-1][2] == pytest.approx(told[-1][3] - told[-1][4], rel=1e-6)


def test_the_summary_is_of_the_last_tenth_of_steps_with_pairs() -> None:
    early, late = [2.0, 0.0, -1.0, 0.0, 1.0], [4.0, 0.75, 2.0, 1.5, -0.5]
    assert preference.over_steps([early] * 19 + [None, late]) == {
        "pairs": 42,
        "accuracy": 0.5,
        "margin": 1.0,
        "chosen_reward": 1.0,
        "rejected_reward": 0.0,
    }
    assert preference.over_steps([None, None]) == {}
    assert preference.words(late) == "4 pairs, 75% right, margin 2"


def test_the_reader_says_which_tokens_are_of_which_answer(tmp_path: Any) -> None:
    batch = packed(*ROWS)
    columns = {n: pa.array(batch[n].int().tolist(), pa.list_(pa.int32())) for n in batches.COLUMNS}
    beside = {
        "row_ids": pa.array([[1, 1, 2, 2], [3, 4, 4]], pa.list_(pa.uint64())),
        "preferred": pa.array([[1, -1, 1, -1], [0, 1, -1]], pa.list_(pa.int8())),
    }
    folder = f"{tmp_path}/packed/train"
    storage.write_table(f"{folder}/part-0.parquet", pa.table({**columns, **beside}))
    plain = pa.table({**columns, "row_ids": beside["row_ids"]})
    storage.write_table(f"{folder}/part-1.parquet", plain)
    shelf = batches.shelf(str(tmp_path), "train")
    assert [chunk.paired for chunk in shelf.chunks] == [True, False]
    reader = batches.Reader(batches.Plan(shelf, 0, 1, {}))
    places = np.array([0, 1, 2])
    read = reader.read(batches.Order(places, np.zeros_like(places)), 0)
    assert np.array_equal(read["preferred"][:2], batch["preferred"].numpy())
    assert not read["preferred"][2].any()


def test_what_is_not_offered_is_said_in_words() -> None:
    base = {"output": "out", "sources": [{"path": "x"}]}
    for section in ({"method": "grpo"}, {"preference": {"loss": "grpo"}}):
        with pytest.raises(RecipeError, match="grpo is not offered: it learns from answers that the model"):
            recipes.validate({**base, "train": section}, "r.yaml")


def test_without_an_adapter_there_is_nothing_to_hold_answers_against() -> None:
    plain = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=WORDS, hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2
        )
    )
    with pytest.raises(ModelError, match="train an adapter"):
        preference.base_answers(plain, packed(*ROWS))
    preference.check(Config())


class Killed(BaseException):
    """Stands for a kill: nothing catches it."""


def prepared(folder: Any, words: list[str]) -> str:
    """A run whose packed rows each hold a pair about some thing and a plain row, in both splits."""
    wrong = dict(zip(sorted(toys.KINDS), ["fish", "tree", "fruit", "fish", "tree", "tree"], strict=True))
    for side, count in (("train", 24), ("validation", 6)):
        rows, signs, ids = [], [], []
        for at in range(count):
            thing = sorted(toys.KINDS)[at % 6]
            tokens, labels = toys.sample(thing)
            other = [*tokens[:-2], words.index(wrong[thing]), tokens[-1]]
            rows += [(tokens, labels), (other, [*labels[:5], *other[5:]]), (tokens, labels)]
            signs.append([1, -1, 0])
            ids += [at, at, 100 + at]
        table = toys.pack(rows, ids, 3 * len(rows[0][0]))
        table = table.append_column("preferred", pa.array(signs, pa.list_(pa.int8())))
        storage.write_table(f"{folder}/packed/{side}/part-00000000.parquet", table, row_group=4)
    return str(folder)


def test_a_killed_training_of_pairs_ends_as_one_that_was_not(toy_model: str, tmp_path: Any) -> None:
    config = Config(learning_rate=1e-2, max_steps=8, rows_per_step=4, batch_size=2, rank=4, validate_every=3)

    def trained(folder: Any, kill_at: int | None = None) -> Any:
        job = driver.plan(prepared(folder, toys.WORDS), toy_model, config, 7, {})

        def told(step: worker.Step) -> None:
            if step.step == kill_at:
                raise Killed

        worker.train(job, steps.Rank(0, 1, CPU), told)
        history = driver._publish(job, {})
        weights = storage.read_bytes(adapter.path(job.run, adapter.WEIGHTS))
        return history, weights

    history, weights = trained(tmp_path / "through")
    with pytest.raises(Killed):
        trained(tmp_path / "killed", kill_at=5)
    again, same = trained(tmp_path / "killed")
    for name in ("loss", "validation", "preference", "tokens", "rows_used"):
        assert again[name] == history[name]
    assert same == weights
    assert history["preference"]["pairs"] == 32
    assert history["preference"]["margin"] > 0
    assert history["loss"][-1] < history["loss"][0]


def over_ranks(job: Job, count: int, scratch: Any) -> Any:
    """History of a training of pairs by some ranks, each a process."""

    def rank_main(number: int) -> None:
        torch.set_num_threads(1)
        if count > 1:
            dist.init_process_group("gloo", f"file://{scratch}/met", rank=number, world_size=count)
        worker.train(job, steps.Rank(number, count, CPU), lambda step: None)
        if count > 1:
            dist.destroy_process_group()

    ranks = [get_context("fork").Process(target=rank_main, args=(n,)) for n in range(count)]
    for process in ranks:
        process.start()
    for process in ranks:
        process.join()
    assert [process.exitcode for process in ranks] == [0] * count
    return driver._publish(job, {})


def test_pairs_over_several_ranks_are_those_of_one(toy_model: str, tmp_path: Any) -> None:
    """With three micro-batches a step, ranks have one, two, or at the end of an epoch none."""
    config = Config(
        learning_rate=1e-3,
        max_steps=10,
        rows_per_step=3,
        batch_size=1,
        rank=4,
        validate_every=5,
        dropout=0.1,
        preference=Preference(sft_weight=0.5),
    )
    found = []
    for count in (1, 2, 4):
        job = driver.plan(prepared(tmp_path / str(count), toys.WORDS), toy_model, config, 7, {})
        found.append(over_ranks(job, count, tmp_path / str(count)))
    one, *others = found
    assert one["preference"]["pairs"] == 30
    for other in others:
        assert other["rows_used"] == one["rows_used"]
        assert other["loss"] == pytest.approx(one["loss"], rel=1e-5)
        assert other["validation"] == pytest.approx(one["validation"], rel=1e-5)
        assert other["preference"] == pytest.approx(one["preference"], rel=1e-3, abs=1e-5)
