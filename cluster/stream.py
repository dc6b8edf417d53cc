"""Run work over fragments on Ray, at most `workers` tasks at once.

Three ways, for three kinds of work:

- `fragments`: those that can be read on their own are read where they are worked on, a Ray task
  each. A file that cannot be cut is read once, in order, by one task that hands its parts to the
  others: where there is one, or a pool, all are one Ray Data stream.
- `grouped`: records that belong together stand in different files; Ray Data shuffles them by
  bucket, and each bucket is worked on as one part.
- `each`: a plain function over small items (paths, ranges, bands), results in the items' order.

A part travels between operators as *one row* that holds an Arrow stream (`session` sets the
target block size so that each row is a block): Ray may then join and cut blocks as it likes and
a part is still one table from end to end.

Ray Data is imported where it is needed: with pandas it takes a second and 60 MiB of every process, and two
actors of its own as much again, with 190 MiB each.

Nothing here trusts an order of arrival: work writes under the name of its part and gives back
one small record, and Ray may run a task twice.
"""

import json
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import pyarrow as pa
import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from headrace.cluster import process, running, session
from headrace.cluster.errors import discreet
from headrace.cluster.fragments import Fragment
from headrace.cluster.watch import own_errors

if TYPE_CHECKING:
    from ray.data import Dataset

Record = dict[str, Any]
Read = Callable[[Fragment], Iterator[pa.Table]]
Work = Callable[[Fragment, int, bool, pa.Table], Record]
Begin = Callable[[Fragment, int, bool, pa.Table], tuple[pa.Table, Record]]
Finish = Callable[[Fragment, int, bool, pa.Table, Record], Record]
Item = TypeVar("Item")
Result = TypeVar("Result")

PART = pa.schema(
    [
        pa.field("fragment", pa.large_string()),
        pa.field("done", pa.list_(pa.int64())),
        pa.field("part", pa.int64()),  # -1: the work reads the fragment itself
        pa.field("last", pa.bool_()),
        pa.field("payload", pa.large_binary()),  # an Arrow stream of one table
    ]
)
BEGUN = PART.append(pa.field("state", pa.large_string()))
RECORD = pa.schema([pa.field("record", pa.large_string())])
SHUFFLE_BLOCK = 32 * 2**20  # bytes
READER_CPUS = 0.1  # a reader mostly waits; unequal to a worker's 1, which also keeps Ray from fusing the two


@dataclass(frozen=True)
class Pool:
    """Actors that end the work on parts, where it takes a device that not every worker has.

    `begin` takes the place of the work and hands a table and a small state on; `finish` writes and
    commits. size: actors. gpus: that each of them holds.
    """

    begin: Begin
    finish: Finish
    size: int
    gpus: float


def fragments(
    todo: Sequence[tuple[Fragment, Sequence[int]]],
    read: Read,
    work: Work,
    *,
    workers: int,
    pool: Pool | None = None,
) -> Iterator[Record]:
    """Read and work on every fragment; yields the record of each part as it is done.

    `todo` holds each fragment with the parts of it that are done already. `read` gives the parts
    of a fragment as tables, in an order that never changes (at least one, if only an empty one);
    `work(fragment, part, last, table)` writes and commits one of them, or `pool` does in two steps.
    """
    if pool is None and all(fragment.kind != "stream" for fragment, _ in todo):
        # Started again without end where its process ends, as Ray Data does: `running.task` counts.
        remote = ray.remote(num_cpus=1, max_retries=-1)(_whole).options(name="fragments")
        with own_errors():
            for _, records in _ended(partial(remote.remote, read, work), todo, workers):
                yield from records
        return
    from ray.data import TaskPoolStrategy

    session.configure_data()
    items = [
        {"fragment": json.dumps(f.to_json()), "done": list(done), "part": -1, "last": False, "payload": None}
        for f, done in todo
    ]
    source = ray.data.from_items(items, override_num_blocks=len(items))
    parts = source.map_batches(
        partial(_hand_out, read=read),
        batch_size=None,
        batch_format="pyarrow",
        compute=TaskPoolStrategy(size=min(workers, len(items))),
        num_cpus=READER_CPUS,
    )
    worked = parts.map_batches(
        partial(_work, read=read, done=_commits(work) if pool is None else _hands_on(pool.begin)),
        batch_size=None,
        batch_format="pyarrow",
        compute=TaskPoolStrategy(size=workers),
        num_cpus=1,
    )
    yield from _records(_pooled(worked, pool))


def _whole(read: Read, work: Work, item: tuple[Fragment, Sequence[int]]) -> list[Record]:
    """The records of all parts of a fragment that are not done."""
    fragment, done = item
    with running.task(_named(fragment)):
        return [
            work(fragment, part, last, table)
            for part, last, table in _numbered(read(fragment))
            if part not in done
        ]


def _pooled(worked: "Dataset", pool: Pool | None) -> "Dataset":
    """The records of what was worked on; with a pool, after its second step."""
    if pool is None:
        return worked
    from ray.data import ActorPoolStrategy

    return worked.map_batches(
        _Finisher,
        fn_constructor_args=(pool.finish,),
        batch_size=None,
        batch_format="pyarrow",
        compute=ActorPoolStrategy(size=pool.size),
        num_cpus=1 if pool.gpus < 1 else 0,
        num_gpus=pool.gpus,
    )


class _Finisher:
    """An actor of a pool; what it loads onto its device stays there."""

    def __init__(self, finish: Finish) -> None:
        process.single_threaded()
        self.finish = finish

    def __call__(self, batch: pa.Table) -> Iterator[pa.Table]:
        for item in batch.to_pylist():
            fragment = Fragment.from_json(json.loads(item["fragment"]))
            with discreet(_named(fragment)):
                table, state = _unpack(item["payload"]), json.loads(item["state"])
                yield _record(self.finish(fragment, item["part"], item["last"], table, state))


Done = Callable[[Fragment, int, bool, pa.Table], pa.Table]


def _commits(work: Work) -> Done:
    """`work`, its record as the block that is given back."""
    return partial(_committed, work=work)


def _committed(fragment: Fragment, part: int, last: bool, table: pa.Table, work: Work) -> pa.Table:
    return _record(work(fragment, part, last, table))


def _hands_on(begin: Begin) -> Done:
    """`begin`, its table and state as a block for the pool."""
    return partial(_handed_on, begin=begin)


def _handed_on(fragment: Fragment, part: int, last: bool, table: pa.Table, begin: Begin) -> pa.Table:
    begun, state = begin(fragment, part, last, table)
    item = {
        "fragment": json.dumps(replace(fragment, ranges=()).to_json()),
        "done": [],
        "part": part,
        "last": last,
        "payload": _pack(begun),
        "state": json.dumps(state),
    }
    return pa.Table.from_pylist([item], schema=BEGUN)


def _hand_out(batch: pa.Table, read: Read) -> Iterator[pa.Table]:
    """Parts of the fragments that only one reader can read; other fragments pass as they are."""
    for item in batch.to_pylist():
        fragment = Fragment.from_json(json.loads(item["fragment"]))
        with running.task(_named(fragment)):
            if fragment.kind != "stream":
                yield pa.Table.from_pylist([item], schema=PART)
                continue
            for part, last, table in _numbered(read(fragment)):
                if part not in (item["done"] or ()):
                    sent = {**item, "part": part, "last": last, "payload": _pack(table)}
                    yield pa.Table.from_pylist([sent], schema=PART)


def _work(batch: pa.Table, read: Read, done: Done) -> Iterator[pa.Table]:
    for item in batch.to_pylist():
        fragment = Fragment.from_json(json.loads(item["fragment"]))
        with running.task(_named(fragment)):
            if item["part"] >= 0:
                yield done(fragment, item["part"], item["last"], _unpack(item["payload"]))
                continue
            for part, last, table in _numbered(read(fragment)):
                if part not in (item["done"] or ()):
                    yield done(fragment, part, last, table)


def _named(fragment: Fragment) -> str:
    """A fragment, for a message: its source and its first file."""
    files = [r.relative for r in fragment.ranges]
    more = f" and {len(files) - 1} others" if len(files) > 1 else ""
    return f"source {fragment.source!r}" + (f", {files[0]!r}{more}" if files else "")


def _numbered(tables: Iterator[pa.Table]) -> Iterator[tuple[int, bool, pa.Table]]:
    """(part, whether it is the last, table), holding one table back to know which is last."""
    held = next(tables)
    part = 0
    for table in tables:
        yield part, False, held
        held, part = table, part + 1
    yield part, True, held


def _pack(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


def _unpack(payload: bytes) -> pa.Table:
    return pa.ipc.open_stream(pa.py_buffer(payload)).read_all().combine_chunks()


def _record(record: Record) -> pa.Table:
    return pa.Table.from_pylist([{"record": json.dumps(record)}], schema=RECORD)


def grouped(
    inputs: Sequence[Fragment],
    buckets: Sequence[Fragment],
    read: Read,
    work: Work,
    *,
    workers: int,
    pool: Pool | None = None,
) -> Iterator[Record]:
    """Shuffle the records of `inputs` by bucket and work on every bucket in `buckets`.

    `read(input)` gives tables with an int32 column `bucket` (the number of the bucket fragment);
    `work(bucket fragment, 0, True, table)` gets all rows of its bucket in no particular order, also
    where there are none.
    """
    if not buckets:
        return
    from ray.data import DataContext, TaskPoolStrategy

    session.configure_data()
    items = [{"fragment": json.dumps(f.to_json())} for f in inputs]
    context = DataContext.get_current()
    target, context.target_max_block_size = context.target_max_block_size, SHUFFLE_BLOCK
    try:
        records = ray.data.from_items(items, override_num_blocks=len(items)).map_batches(
            partial(_read_grouped, read=read, wanted={f.bucket for f in buckets}),
            batch_size=None,
            batch_format="pyarrow",
            compute=TaskPoolStrategy(size=min(workers, len(items))),
            num_cpus=1,
        )
        # A bucket is worked on from what the shuffle brings: the source's ranges need not travel.
        by_bucket = {f.bucket: json.dumps(replace(f, ranges=()).to_json()) for f in buckets}
        worked = records.groupby("bucket", num_partitions=min(len(buckets), 200)).map_groups(
            partial(
                _work_group,
                by_bucket=by_bucket,
                work=_commits(work) if pool is None else _hands_on(pool.begin),
            ),
            batch_format="pyarrow",
            compute=TaskPoolStrategy(size=workers),
            num_cpus=1,
        )
        done = set()
        for record in _records(_pooled(worked, pool)):
            done.add(record["ordinal"])
            yield record
    finally:
        context.target_max_block_size = target
    for fragment in buckets:
        if fragment.ordinal not in done:
            empty = next(iter(read(inputs[0]))).slice(0, 0)
            yield work(fragment, 0, True, empty)


def _read_grouped(batch: pa.Table, read: Read, wanted: set[int]) -> Iterator[pa.Table]:
    for text in batch["fragment"].to_pylist():
        fragment = Fragment.from_json(json.loads(text))
        with running.task(_named(fragment)):
            for table in read(fragment):
                yield table.filter(pa.compute.is_in(table["bucket"], pa.array(sorted(wanted), pa.int32())))


def _work_group(group: pa.Table, work: Done, by_bucket: dict[int, str]) -> pa.Table:
    fragment = Fragment.from_json(json.loads(by_bucket[group["bucket"][0].as_py()]))
    with running.task(_named(fragment)):
        return work(fragment, 0, True, group.combine_chunks())


def _records(dataset: "Dataset") -> Iterator[Record]:
    with own_errors():
        for batch in dataset.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0):
            for text in batch["record"].to_pylist():
                yield json.loads(text)


def each(
    function: Callable[[Item], Result], items: Iterable[Item], *, workers: int, name: str, gpus: float = 0
) -> Iterator[Result]:
    """`function` over `items` as Ray tasks, at most `workers` at once; results in the items' order.

    gpus: that each task holds.
    """
    remote = ray.remote(num_cpus=1, num_gpus=gpus, max_retries=3)(_call).options(name=name)
    ready: dict[int, Result] = {}
    following = 0
    with own_errors():
        for number, result in _ended(partial(remote.remote, function), items, workers):
            ready[number] = result
            while following in ready:
                yield ready.pop(following)
                following += 1


def _ended(start: Callable[[Any], Any], items: Iterable[Any], workers: int) -> Iterator[tuple[int, Any]]:
    """Number and result of each item as its task ends, at most `workers` at once; `start` starts one."""
    waiting = deque(enumerate(items))
    running: dict[Any, int] = {}
    while waiting or running:
        while waiting and len(running) < workers:
            number, item = waiting.popleft()
            running[start(item)] = number
        finished, _ = ray.wait(list(running), num_returns=1)
        for reference in finished:
            yield running.pop(reference), ray.get(reference)


def on_nodes(function: Callable[[str], Result], nodes: Sequence[str], *, name: str) -> Iterator[Result]:
    """`function` once on each node, all at once, called with the node's id; results in the nodes' order."""
    remote = ray.remote(num_cpus=1, max_retries=3)(_call)
    with own_errors():
        there = [NodeAffinitySchedulingStrategy(node, soft=True) for node in nodes]
        tasks = [
            remote.options(name=name, scheduling_strategy=one).remote(function, node)
            for node, one in zip(nodes, there, strict=True)
        ]
        yield from map(ray.get, tasks)


def _call(function: Callable[[Item], Result], item: Item) -> Result:
    what = item if isinstance(item, str) and "/" in item else ""  # a path; a node's id has none
    with running.task(what):
        return function(item)
