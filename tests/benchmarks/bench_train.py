"""Speed of LoRA steps on packed rows, beside TRL with packing and peft with padding: same rows, same losses.

    python -m tests.benchmarks.bench_train [--shape NAME] [--rows N] [--length N] [--steps N] [--repeat N]
        [--precision float32|bfloat16] [--peer-python PATH] [--no-peft] [--cores N]
        [--out FILE] [--check]

A model of a shape (random weights, from a config), an adapter and packed rows are made once. Each way then
trains on them in a process of its own, one after the other and again, `repeat` times; figures are medians,
the ratio to TRL that of the pairs.
Ways: `headrace` (the step that trainings make), `trl` (SFTTrainer, padding-free over the same packed rows, as
its `packing` does), `peft` (a plain loop over the samples, padded to the longest of a step). The first step
of each is left out of the times. Nothing is told of speed before all losses of a way are those of headrace.

tokens/s counts all tokens of packed rows, prompts too, padding of packed rows left out. MFU counts
4 N FLOP a token, N the weights of linear layers and output layer: weights are frozen, so the backward pass is
made for activations alone (6 N would flatter by half). It is of GPUs of a known peak. Memory is the
greatest that PyTorch held on a GPU, or by which the process grew on a CPU.

--check compares losses of 20 steps instead: headrace packed, its samples apart, over 1, 2 and 4 ranks and by
micro-batches, beside TRL and the plain loop. trl needs an environment that has it (--peer-python).

On an H200: ``--shape llama-8b --rows 4 --length 4096 --precision bfloat16 --steps 12``.
"""

import argparse
import csv
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parents[1]
RATE, RANK = 1e-3, 16
CLOSE = {"float32": 1e-5, "bfloat16": 2e-2}  # by which losses may differ, as a share
Rows = dict[str, NDArray[np.int64]]


def sizes(kind: str, *of: int, tied: bool = False) -> dict[str, Any]:
    """A configuration: hidden, intermediate, layers, heads, key heads, vocabulary."""
    names = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads")
    more = {"tie_word_embeddings": tied, "max_position_embeddings": 8192, "bos_token_id": None}
    values = dict(zip((*names, "num_key_value_heads", "vocab_size"), of, strict=True))
    return {"kind": kind, **values, **more, "pad_token_id": None, "eos_token_id": None}


SHAPES = {
    "tiny": sizes("LlamaConfig", 64, 96, 2, 4, 2, 211),
    "small": sizes("LlamaConfig", 512, 1408, 8, 8, 4, 8_192),
    "small-qwen": sizes("Qwen3Config", 512, 1408, 8, 8, 4, 8_192),
    "llama-1b": sizes("LlamaConfig", 2048, 8192, 16, 32, 8, 128_256, tied=True),
    "llama-8b": sizes("LlamaConfig", 4096, 14336, 32, 32, 8, 128_256),
    "qwen-0.6b": sizes("Qwen3Config", 1024, 3072, 28, 16, 8, 151_936, tied=True),
    "qwen-8b": sizes("Qwen3Config", 4096, 12288, 36, 32, 8, 151_936),
}
NAMES = (
    *("shape", "way", "rows", "length", "precision", "steps", "tokens/s", "ratio to trl", "memory GiB"),
    *("mfu", "greatest loss difference", "hardware", "load", "date", "versions"),
)


def made_rows(count: int, length: int, vocabulary: int, seed: int) -> Rows:
    """Packed rows of samples of many lengths (median 200 tokens), with targets on their second half."""
    drawn = np.random.default_rng(seed)
    rows = {n: np.zeros((count, length), np.int64) for n in ("input_ids", "position_ids", "segment_ids")}
    rows["labels"] = np.full((count, length), -100, np.int64)
    for row in range(count):
        at, segment = 0, 0
        while length - at >= 16:
            segment += 1
            size = min(length - at, max(8, int(drawn.lognormal(np.log(200), 0.8))))
            cut = slice(at, at + size)
            ids = drawn.integers(0, vocabulary, size)
            rows["input_ids"][row, cut], rows["segment_ids"][row, cut] = ids, segment
            rows["position_ids"][row, cut] = np.arange(size)
            rows["labels"][row, at + (size + 1) // 2 : at + size] = ids[(size + 1) // 2 :]
            at += size
    return rows


def sample_lists(rows: Rows, row: int) -> list[tuple[list[int], list[int]]]:
    """Tokens and labels of the samples of a packed row."""
    found = []
    for segment in range(1, int(rows["segment_ids"][row].max()) + 1):
        own = rows["segment_ids"][row] == segment
        found.append((rows["input_ids"][row][own].tolist(), rows["labels"][row][own].tolist()))
    return found


def prepare(folder: Path, given: argparse.Namespace) -> None:
    """Model, adapter and rows that every way starts from."""
    import peft
    import torch
    import transformers

    about = dict(SHAPES[given.shape])
    config = getattr(transformers, about.pop("kind"))(**about)
    torch.manual_seed(0)
    model = transformers.AutoModelForCausalLM.from_config(config, dtype=getattr(torch, given.precision))
    model.save_pretrained(folder / "base")
    lora = peft.LoraConfig(r=RANK, lora_alpha=2 * RANK, target_modules="all-linear", task_type="CAUSAL_LM")
    adapted = peft.get_peft_model(model, lora)
    adapted.save_pretrained(folder / "adapter")
    rows = made_rows(given.rows * given.steps, given.length, about["vocab_size"], 1)
    np.savez(folder / "rows.npz", **rows)


def loaded(folder: Path, attention: str | None) -> Any:
    """The model with its adapter, as prepared, on its device."""
    import peft
    import torch
    import transformers

    base = transformers.AutoModelForCausalLM.from_pretrained(
        folder / "base", attn_implementation=attention, dtype="auto"
    )
    device = "cuda" if torch.cuda.is_available() else "cpu"
    base.config.use_cache = False
    model = peft.PeftModel.from_pretrained(base.to(device), folder / "adapter", is_trainable=True)
    return model.train()


Told = tuple[list[float], list[float]]  # losses and seconds of each step


def clock() -> float:
    """Seconds of this process's CPU, or of the clock where a GPU works."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.synchronize()
        return time.perf_counter()
    return time.process_time()


def headrace(folder: Path, given: dict[str, Any]) -> Told:
    """The step of headrace's trainings."""
    from headrace.pipelines.train import speed, steps
    from headrace.pipelines.train.config import Config
    from headrace.pipelines.train.running import forward, ways

    rows = dict(np.load(folder / "rows.npz"))
    config = Config(compile=given["compile"], rank=RANK, alpha=2 * RANK, learning_rate=RATE)
    model = loaded(folder, None)
    way = ways.proved(model.get_base_model(), ways.candidates(given["packed"], "auto", segments=True), "it")
    model = speed.prepared(model.train(), config)
    optimizer = speed.optimizer([p for p in model.parameters() if p.requires_grad], config)
    rank = steps.Rank(0, 1, next(model.parameters()).device)
    losses, seconds = [], []
    for step in range(given["steps"]):
        began = clock()
        micro = []
        for first in range(0, given["rows"], size := given["batch"] or given["rows"]):
            at = step * given["rows"] + first
            cut = slice(at, min(at + size, (step + 1) * given["rows"]))
            micro += [
                forward.tensors(p, rank.device) for p in way.inputs({n: v[cut] for n, v in rows.items()})
            ]
        loss = float(steps.step(model, optimizer, micro, rank, RATE, 1.0)[0])
        seconds.append(clock() - began)
        losses.append(loss)
    return losses, seconds


def trl(folder: Path, given: dict[str, Any]) -> Told:
    """TRL's SFTTrainer over the same packed rows, padding-free."""
    import datasets
    import transformers
    from trl import SFTConfig, SFTTrainer

    rows = dict(np.load(folder / "rows.npz"))
    told = []
    for row in range(len(rows["input_ids"])):
        samples = sample_lists(rows, row)
        ids, labels = ([token for sample in samples for token in sample[i]] for i in (0, 1))
        told.append({"input_ids": ids, "labels": labels, "seq_lengths": [len(s[0]) for s in samples]})
    losses: list[float] = []
    marks: list[float] = []

    class Watch(transformers.TrainerCallback):  # type: ignore[misc]
        def on_step_begin(self, *_: Any, **__: Any) -> None:
            marks.append(clock())

        def on_log(self, *_: Any, logs: dict[str, float], **__: Any) -> None:
            if "loss" in logs:
                losses.append(logs["loss"])

    model = loaded(
        folder, "sdpa" if given["precision"] == "float32" or not given["cuda"] else "flash_attention_2"
    )
    trainer = SFTTrainer(
        model=model,
        args=SFTConfig(
            output_dir=str(folder / "trl"),
            per_device_train_batch_size=given["rows"],
            max_steps=given["steps"],
            learning_rate=RATE,
            lr_scheduler_type="constant",
            weight_decay=0.0,
            max_grad_norm=1.0,
            bf16=given["precision"] == "bfloat16",
            padding_free=True,
            packing=False,
            max_length=None,
            logging_steps=1,
            save_strategy="no",
            report_to=[],
            gradient_checkpointing=False,
            dataset_kwargs={"skip_prepare_dataset": True},
            dataloader_pin_memory=False,
            disable_tqdm=True,
            train_sampling_strategy="sequential",
            use_cpu=not given["cuda"],
            remove_unused_columns=False,
        ),
        train_dataset=datasets.Dataset.from_list(told),
        processing_class=words(given["vocabulary"]),
        callbacks=[Watch()],
    )
    trainer.train()
    marks.append(clock())
    return losses, [b - a for a, b in pairwise(marks)]


def words(vocabulary: int) -> Any:
    """A tokenizer, which SFTTrainer asks for and does not use here."""
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    core = Tokenizer(models.WordLevel({"<pad>": 0, "<end>": 1, **{f"w{i}": i for i in range(2, vocabulary)}}))
    return PreTrainedTokenizerFast(tokenizer_object=core, pad_token="<pad>", eos_token="<end>")


def peft_padded(folder: Path, given: dict[str, Any]) -> Told:
    """A plain loop: samples padded to the longest of the step, transformers' own loss."""
    import torch

    rows = dict(np.load(folder / "rows.npz"))
    model = loaded(folder, "sdpa")
    device = next(model.parameters()).device
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=RATE, weight_decay=0.0)
    losses, seconds = [], []
    for step in range(given["steps"]):
        began = clock()
        samples = [s for row in range(given["rows"]) for s in sample_lists(rows, step * given["rows"] + row)]
        longest = max(len(s[0]) for s in samples)
        ids, labels, mask = (torch.zeros(len(samples), longest, dtype=torch.int64) for _ in range(3))
        labels -= 100
        for i, (tokens, wanted) in enumerate(samples):
            ids[i, : len(tokens)] = torch.tensor(tokens)
            labels[i, : len(tokens)] = torch.tensor(wanted)
            mask[i, : len(tokens)] = 1
        with torch.autocast(device.type, torch.bfloat16, enabled=given["precision"] == "bfloat16"):
            out = model(input_ids=ids.to(device), attention_mask=mask.to(device), labels=labels.to(device))
        out.loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(float(out.loss.detach()))
        seconds.append(clock() - began)
    return losses, seconds


WAYS = {"headrace": headrace, "trl": trl, "peft": peft_padded}


def child(way: str, folder: Path, given: dict[str, Any]) -> None:
    """Train one way and print what came of it, as the last line."""
    import torch
    import transformers

    transformers.utils.logging.set_verbosity_error()
    torch.set_num_threads(given["cores"])
    given["cuda"] = torch.cuda.is_available()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    losses, seconds = WAYS[way](folder, given)
    if given["cuda"]:
        memory, hardware = torch.cuda.max_memory_allocated() / 2**30, torch.cuda.get_device_name()
    else:
        memory, hardware = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20 - before, ""
    versions = f"torch {torch.__version__}, transformers {transformers.__version__}"
    if way == "trl":
        import trl as package

        versions = f"trl {package.__version__}, {versions}"
    told = {
        "losses": losses,
        "seconds": seconds,
        "memory": memory,
        "hardware": hardware,
        "versions": versions,
    }
    print(json.dumps(told))


def ran(way: str, folder: Path, given: argparse.Namespace, **more: Any) -> dict[str, Any]:
    """One way in a process of its own. Exits where it fails."""
    python = given.peer_python if way == "trl" else sys.executable
    about = {
        **{n: getattr(given, n) for n in ("rows", "steps", "precision", "cores", "compile", "batch")},
        "packed": True,
        "vocabulary": SHAPES[given.shape]["vocab_size"],
        **more,
    }
    environment = {
        **os.environ,
        "PYTHONPATH": str(REPOSITORY),
        "OMP_NUM_THREADS": str(given.cores),
        "HF_HUB_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
    }
    command = [python, str(HERE / "bench_train.py"), "--child", way, str(folder), json.dumps(about)]
    done = subprocess.run(
        command, capture_output=True, text=True, env=environment, cwd=REPOSITORY, check=False
    )
    if done.returncode:
        raise SystemExit(f"{way}: {done.stderr[-2000:]}")
    told: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return told


def difference(ours: list[float], theirs: list[float]) -> float:
    """The greatest share by which losses differ."""
    return max(abs(a - b) / abs(b) for a, b in zip(ours, theirs, strict=True))


def checked(folder: Path, given: argparse.Namespace) -> None:
    """Losses of all ways beside each other. Exits where they are not the same."""
    wanted = ran("headrace", folder, given)["losses"]
    cases: list[tuple[str, list[float]]] = [
        ("headrace, micro-batches of one row", ran("headrace", folder, given, batch=1)["losses"]),
        ("headrace, samples apart", ran("headrace", folder, given, packed=False)["losses"]),
        ("peft, padded", ran("peft", folder, given)["losses"]),
    ]
    cases += [(f"headrace, {n} ranks", over_ranks(folder, given, n)) for n in (2, 4)]
    if given.peer_python:
        cases.append(("trl, packed", ran("trl", folder, given)["losses"]))
    for name, losses in cases:
        far = difference(losses, wanted)
        print(f"{name}: {len(losses)} losses, greatest difference {far:.1e}", flush=True)
        if far > CLOSE[given.precision]:
            raise SystemExit(f"{name}: losses are not the same")


def over_ranks(folder: Path, given: argparse.Namespace, count: int) -> list[float]:
    """Losses of headrace's step over several ranks on CPUs, a row at a time."""
    from multiprocessing import get_context

    spawn = get_context("spawn")
    told = spawn.Queue()
    ranks = [
        spawn.Process(target=rank_main, args=(n, count, str(folder), given.rows, given.steps, told))
        for n in range(count)
    ]
    for process in ranks:
        process.start()
    losses: list[float] = told.get(timeout=600)
    for process in ranks:
        process.join()
    return losses


def rank_main(number: int, count: int, folder: str, per_step: int, steps_: int, told: Any) -> None:
    """One rank of several."""
    import torch
    import torch.distributed as dist

    from headrace.pipelines.train import batches, speed, steps
    from headrace.pipelines.train.config import Config
    from headrace.pipelines.train.running import forward, ways

    torch.set_num_threads(1)
    dist.init_process_group("gloo", f"file://{folder}/meeting-{count}", rank=number, world_size=count)
    rows = dict(np.load(Path(folder) / "rows.npz"))
    model = loaded(Path(folder), None)
    way = ways.proved(model.get_base_model(), ways.candidates(True, "auto", segments=True), "it")
    model.train()
    optimizer = speed.optimizer(
        [p for p in model.parameters() if p.requires_grad], Config(learning_rate=RATE)
    )
    rank, losses = steps.Rank(number, count, torch.device("cpu")), []
    for step in range(steps_):
        places = np.arange(step * per_step, (step + 1) * per_step)
        order = batches.Order(places, np.zeros_like(places))
        micro = [
            forward.tensors(part, rank.device)
            for one in batches.share(order, per_step, number, count, 1)
            for part in way.inputs({n: v[one.order.places] for n, v in rows.items()})
        ]
        losses.append(float(steps.step(model, optimizer, micro, rank, RATE, 1.0)[0]))
    if number == 0:
        told.put(losses)


def timed(folder: Path, given: argparse.Namespace) -> list[list[Any]]:
    """Lines of the table: every way, again and again, in turn."""
    from headrace.pipelines.examine.advice import fit

    names = ["headrace", *(["trl"] if given.peer_python else []), *([] if given.no_peft else ["peft"])]
    outcomes: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
    for _ in range(given.repeat):
        for name in names:
            outcomes[name].append(ran(name, folder, given))
    tokens = int((np.load(folder / "rows.npz")["segment_ids"] > 0).sum()) / given.steps
    wanted = outcomes["headrace"][0]["losses"]
    seconds = {n: [statistics.median(o["seconds"][1:]) for o in outcomes[n]] for n in names}
    speeds = {n: tokens / statistics.median(seconds[n]) for n in names}
    pairs = {n: [t / s for t, s in zip(seconds.get("trl", []), seconds[n], strict=False)] for n in names}
    lines = []
    for name in names:
        far = max(difference(o["losses"], wanted) for o in outcomes[name])
        if far > CLOSE[given.precision]:
            raise SystemExit(f"{name}: losses differ by {far:.1e}: nothing is said of its speed")
        hardware = outcomes[name][0]["hardware"]
        gpu = next(
            (g for key, g in fit.GPUS.items() if key.split("-")[0] in hardware.lower().replace(" ", "")), None
        )
        flop = 4 * weights(given.shape) * speeds[name]
        lines.append(
            [
                *(
                    given.shape,
                    name,
                    given.rows,
                    given.length,
                    given.precision,
                    given.steps,
                    round(speeds[name]),
                ),
                round(statistics.median(pairs[name]), 2) if pairs[name] else "",
                round(statistics.median(o["memory"] for o in outcomes[name]), 2),
                round(flop / (gpu.tflops * 1e12), 3) if gpu else "",
                *(f"{far:.1e}", hardware or processor(given.cores), round(os.getloadavg()[0], 1)),
                *(datetime.now(UTC).date().isoformat(), outcomes[name][0]["versions"]),
            ]
        )
        print(", ".join(f"{n} {v}" for n, v in zip(NAMES, lines[-1], strict=True)), flush=True)
    return lines


def weights(shape: str) -> int:
    """Weights of linear layers and output layer."""
    import torch
    import transformers

    about = dict(SHAPES[shape])
    with torch.device("meta"):
        model = transformers.AutoModelForCausalLM.from_config(
            getattr(transformers, about.pop("kind"))(**about)
        )
    return sum(m.weight.numel() for m in model.modules() if isinstance(m, torch.nn.Linear))


def processor(cores: int) -> str:
    """What the CPU is called, and how many cores were used."""
    with open("/proc/cpuinfo") as file:
        name = next((line.partition(":")[2].strip() for line in file if line.startswith("model name")), "CPU")
    return f"{name}, {cores} core{'s' if cores > 1 else ''}, CPU seconds"


def main(arguments: list[str] | None = None) -> None:
    """Prepare, check or time, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--shape", choices=SHAPES, default="small")
    parser.add_argument("--rows", type=int, default=2, help="packed rows of a step")
    parser.add_argument("--batch", type=int, default=0, help="rows at once; 0: all of a step")
    parser.add_argument("--length", type=int, default=1024)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--precision", choices=CLOSE, default="float32")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--cores", type=int, default=1)
    parser.add_argument("--no-peft", action="store_true", help="leave the plain loop out")
    parser.add_argument("--peer-python", help="Python of an environment with TRL")
    parser.add_argument("--out", type=Path, default=HERE / "train.csv")
    parser.add_argument("--check", action="store_true", help="losses of 20 steps, and no times")
    given = parser.parse_args(arguments)
    if given.check:
        given.steps = 20
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        prepare(folder, given)
        if given.check:
            checked(folder, given)
            return
        lines = timed(folder, given)
    earlier: list[list[str]] = []
    if given.out.exists():
        with given.out.open() as file:
            earlier = [line for line in csv.reader(file) if line and line[0] not in ("shape", given.shape)]
    with given.out.open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([NAMES, *earlier, *lines])


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        child(sys.argv[2], Path(sys.argv[3]), json.loads(sys.argv[4]))
    else:
        main()
