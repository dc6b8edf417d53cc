"""Our loss of pairs beside TRL's, and what some hundred steps of it teach a tiny model.

    python -m tests.benchmarks.preference parity     # needs trl
    python -m tests.benchmarks.preference learn RUN  # RUN: a prepared run with pairs

parity: two copies of one model with one adapter are trained for 20 steps on the same batches of pairs, TRL's
loss on padded batches and ours on packed rows, by the same AdamW; prints the losses and the largest
difference, and that of the first gradients.

learn: a tiny Llama learns the run's chosen answers for some steps, then its pairs; prints the share of
held-out pairs of which the chosen answer is the likelier one, and of those that gained more over the base,
before and after.
"""

import copy
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import peft
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from headrace.pipelines.train import batches, preference, steps
from headrace.pipelines.train.config import Preference
from headrace.pipelines.train.running import forward
from tests.pipelines import toys

CPU = torch.device("cpu")
STEPS, PAIRS, BATCH = 20, 80, 4
NOUNS = sorted(toys.KINDS)


def tiny(words: int, length: int, hidden: int = 32) -> Any:
    """A Llama of two layers with random weights and an adapter that does something."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=words,
        hidden_size=hidden,
        intermediate_size=2 * hidden,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=length,
    )
    lora = peft.LoraConfig(r=8, lora_alpha=16, target_modules="all-linear", task_type="CAUSAL_LM")
    return peft.get_peft_model(LlamaForCausalLM(config), lora)


def optimizer_of(model: Any, rate: float) -> torch.optim.Optimizer:
    return torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=rate, weight_decay=0)


def packed(batch: Any) -> dict[str, torch.Tensor]:
    """TRL's batch (chosen answers, then rejected ones) with each pair in one packed row."""
    ids, mask, real = (batch[name].numpy() for name in ("input_ids", "completion_mask", "attention_mask"))
    pairs = len(ids) // 2
    rows = {name: np.zeros((pairs, 2 * ids.shape[1]), np.int64) for name in (*batches.COLUMNS, "preferred")}
    rows["labels"][:] = -100
    for row in range(pairs):
        begin = 0
        for number, (at, sign) in enumerate(((row, 1), (row + pairs, -1)), 1):
            size = int(real[at].sum())
            cut = slice(begin, begin + size)
            rows["input_ids"][row, cut] = ids[at, :size]
            rows["labels"][row, cut] = np.where(mask[at, :size] == 1, ids[at, :size], -100)
            rows["position_ids"][row, cut] = np.arange(size)
            rows["segment_ids"][row, cut], rows["preferred"][row, cut] = number, sign
            begin += size
    return forward.tensors(rows, CPU)


def parity(kind: str, ours: str) -> None:
    """TRL's losses and ours, step by step."""
    from datasets import Dataset
    from trl import DPOConfig, DPOTrainer

    draw = np.random.default_rng(1)
    drawn = [(str(draw.choice(NOUNS)), str(draw.choice(NOUNS))) for _ in range(PAIRS)]
    rows = [
        {
            "prompt": f"what is a {a} ?",
            "chosen": f" it is a {toys.KINDS[a]}",
            "rejected": f" a {b} is it a {b}",
        }
        for a, b in drawn
    ]
    model = tiny(len(toys.WORDS), 64)
    other = copy.deepcopy(model)
    with tempfile.TemporaryDirectory() as scratch:
        trainer = DPOTrainer(
            model=model,
            args=DPOConfig(
                output_dir=scratch,
                per_device_train_batch_size=BATCH,
                beta=0.1,
                loss_type=[kind],
                report_to=[],
                use_cpu=True,
                bf16=False,
                gradient_checkpointing=False,
                disable_dropout=True,
            ),
            train_dataset=Dataset.from_list(rows),
            processing_class=toys.tokenizer(),
        )
        theirs = trainer.model
        optimizers = optimizer_of(theirs, 1e-3), optimizer_of(other, 1e-3)
        objective = preference.Objective(Preference(loss=ours), CPU)  # type: ignore[arg-type]
        pairs, worst = [], 0.0
        gradients = None
        for batch in list(trainer.get_train_dataloader())[:STEPS]:
            theirs.train()
            loss = trainer.compute_loss(theirs, batch)
            loss.backward()
            if gradients is None:
                gradients = [p.grad.clone() for p in theirs.parameters() if p.grad is not None]
            optimizers[0].step()
            optimizers[0].zero_grad()
            row = packed(batch)
            counts = objective.counts([row], CPU)
            mine = objective.part(other, row, counts)
            mine.backward()
            if not pairs:
                found = [p.grad for p in other.parameters() if p.grad is not None]
                worst = max(float((a - b).abs().max()) for a, b in zip(gradients, found, strict=True))
            optimizers[1].step()
            optimizers[1].zero_grad()
            pairs.append((float(loss.detach()), float(mine.detach())))
    largest = max(abs(a - b) / abs(a) for a, b in pairs)
    print(f"{kind}: first {pairs[0]}, last {pairs[-1]}, {len(pairs)} steps")
    print(f"  largest relative difference of losses {largest:.2g}, of first gradients {worst:.2g} (absolute)")


def accuracy(model: Any, shelf: batches.Shelf) -> tuple[float, float]:
    """Of a shelf's pairs, those whose chosen answer is the likelier one, and those that gained more."""
    reader = batches.Reader(batches.Plan(shelf, 0, 1, {}))
    likelier, gained, count = 0, 0, 0
    model.eval()
    with torch.no_grad():
        for place in range(shelf.rows):
            order = batches.Order(np.array([place]), np.array([0]))
            batch = forward.tensors(reader.read(order, 0), CPU)
            now, base = preference.answers(model, batch), preference.base_answers(model, batch)
            likelier += int((now.chosen > now.rejected).sum())
            gained += int((now.chosen - base.chosen > now.rejected - base.rejected).sum())
            count += len(now.chosen)
    return likelier / count, gained / count


def learn(run: str, count: int = 300, rows: int = 8) -> None:
    """Train on the pairs of a run and measure its held-out ones."""
    train, test = (batches.shelf(run, side) for side in ("train", "test"))
    plan = batches.Plan(train, 0, rows, {})
    reader = batches.Reader(plan)
    held = batches.Reader(batches.Plan(test, 0, 1, {}))
    words = int(max(batches.decoded(c)["input_ids"].max() for c in (*train.chunks, *test.chunks))) + 1
    model = tiny(words, held.length, 96)
    base = model.get_base_model()

    def read(step: int, epoch: int) -> dict[str, torch.Tensor]:
        order = plan.order(epoch)
        return forward.tensors(reader.read(plan.rows(order, step), epoch), CPU)

    per_epoch = plan.steps(plan.order(0))
    for parameter in base.parameters():
        parameter.requires_grad_(True)
    first = torch.optim.AdamW(base.parameters(), lr=2e-3)
    for at in range(count):  # the base has to know the language before it can prefer anything
        batch = read(at % per_epoch, at // per_epoch)
        said = preference.answers(model, batch)
        loss = -said.chosen.sum() / said.targets[0].sum()
        loss.backward()
        first.step()
        first.zero_grad()
    for name, parameter in model.named_parameters():
        parameter.requires_grad_("lora_" in name)
        if "lora_A" in name:
            torch.nn.init.kaiming_uniform_(parameter)
        if "lora_B" in name:
            torch.nn.init.zeros_(parameter)
    print(f"after {count} steps on chosen answers: loss {float(loss.detach()):.3f}")
    print("held-out pairs before: likelier {:.3f}, gained {:.3f}".format(*accuracy(model, test)), flush=True)
    objective, rank = preference.Objective(Preference(), CPU), steps.Rank(0, 1, CPU)
    optimizer = optimizer_of(model, 1e-3)
    for at in range(count):
        batch = read(at % per_epoch, at // per_epoch)
        steps.step(model, optimizer, [batch], rank, 1e-3, 1.0, (), objective)
        told = preference.told(objective.taken())
        if told is not None and (at + 1) % (count // 6) == 0:
            print(f"  step {at + 1}: {preference.words(told)}", flush=True)
    print("held-out pairs after: likelier {:.3f}, gained {:.3f}".format(*accuracy(model, test)))


if __name__ == "__main__":
    if sys.argv[1] == "parity":
        parity("sigmoid", "dpo")
        parity("ipo", "ipo")
    else:
        learn(str(Path(sys.argv[2])), *map(int, sys.argv[3:]))
