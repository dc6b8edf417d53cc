"""Traits: what a row is about, told by rules and one small model, for mixes, filters and weights.

What: the column `traits` (``TRAITS``) says of each row

===================  ==================================================================================
``language``         ISO 639 code of what is asked (a plain text's own); "und" where too little is said
``answer_language``  the same of the last answer
``task``             what is asked for, one of `config.TASKS`; `knowledge` and `opinion` are kinds of question
``rule``             the rule that told the task: the evidence, never text
``format``           how the last answer looks, one of `config.FORMATS`; call: it calls tools and says nothing
``reasoning``        the form of reasoning before the last answer, one of `config.REASONING`
``flags``            what is odd about its answers, of `config.FLAGS`
===================  ==================================================================================

A row that breaks `keep` or `drop` is marked as ``traits.<trait>``, the first in the order above. By default
nothing is marked. What is asked is the first turn of a user, without the tools that are offered.

Flags: `refusal`, `opener` ("Certainly! Here is ...") and `praise` ("Great question!") at the beginning of
an answer, `disclaimer` ("as an AI") in it, each of any answer; of the last one `copies_prompt` (it begins
with the whole prompt, and is no other wording or translation of it), `other_language` (than the prompt,
both sure, and no language named there or in the system prompt, nor a translation asked for),
`empty_answer`, `one_word`, and the names of the recipe's own models (see `models`).
`repeated_turn`: an answer of `SAID` bytes and more is one of the same conversation, or what it answers.
What machines have left in texts is `damage`'s. `identity`: an answer says that it is a model of somebody;
`error`: an answer of `SHORT` words at most begins as a message of a program that failed.

Why: mixes are decided, and failures found, by kinds of rows; word lists in nine languages and a model
inside a package do it without a download.

Cost: some 100 MB/s of text, the model's share apart, which long rows do not notice: see `language`.
Source: `words`, `signals`, `language`, `tasks`.
"""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from headrace.pipelines import arrays, schema, structure
from headrace.pipelines.stages.traits import damage, form, language, models, signals, tasks, words
from headrace.pipelines.stages.traits.config import Config as Config
from headrace.pipelines.stages.traits.signals import Signals

NAME = "traits"
VERSION = 3
NOT_IN_KEY = {"actors", "gpus"}
TRAITS = schema.TRAITS
HEAD, TAIL = 256, 160  # bytes of a text in which phrases are looked for
SAID = 24  # bytes of an answer that is more than a phrase
SHORT = 60  # words of an answer that is a message of an error and no more
Mask = NDArray[np.bool_]


def versions() -> dict[str, str]:
    """Libraries that decide what this stage writes."""
    from importlib.metadata import version

    return {"pyarrow": pa.__version__, "py3langid": version("py3langid")}


def apply(table: pa.Table, config: Config) -> pa.Table:
    """`table` with the column `traits` (null for marked rows and where switched off) and rows marked."""
    if not config.enabled or not table.num_rows:
        return table.append_column("traits", pa.nulls(table.num_rows, TRAITS))
    live = schema.live(table)
    own = told(table, config)
    column = pa.StructArray.from_arrays(
        [own[field.name].combine_chunks() for field in TRAITS], fields=list(TRAITS), mask=pc.invert(live)
    )
    return schema.mark(table.append_column("traits", column), "drop", _reasons(own, config))


def told(table: pa.Table, config: Config) -> pa.Table:
    """The fields of `TRAITS` of every row, marked or not."""
    roles, rows, contents = schema.contents(table)
    texts = structure.bare(contents)
    n = table.num_rows
    users, answers, plain = (_is(roles, name) for name in ("user", "assistant", "text"))
    spoken = np.flatnonzero(answers | plain)
    asked, last = _first(rows, np.flatnonzero(users), n), arrays.last(rows, spoken, n)
    prompt, answer = _taken(texts, asked), _taken(texts, last)
    lists = words.table()
    of_prompt = signals.look(prompt, lists, HEAD, TAIL)
    of_system = _systems(texts, _first(rows, np.flatnonzero(_is(roles, "system")), n), lists)
    every = signals.look(texts.take(pa.array(spoken)), lists, HEAD, TAIL)
    of_answer = _of(every, np.searchsorted(spoken, last), last >= 0)
    shape = form.look(answer, of_answer)
    calling = structure.calling(contents)
    tools = np.bincount(rows[calling], minlength=n) > 0
    calls = np.append(calling, False)[last] & shape["empty"]
    shape["format"] = pc.if_else(pa.array(calls), "call", shape["format"])
    turns = np.bincount(rows[users], minlength=n)
    labels = pc.is_in(shape["format"], pa.array(["label"])).to_numpy(zero_copy_only=False) & shape["snake"]
    task = tasks.tell(of_system, of_prompt, of_answer, labels, asked >= 0, turns, tools)
    is_text = asked < 0
    spoken_in = language.tell(answer, config.letters)
    asked_in = pc.if_else(pa.array(is_text), spoken_in, language.tell(prompt, config.letters))
    flags = {
        **(_flagged(table, prompt, answer, config) if config.models else {}),
        **_phrases(every, rows[spoken], n),
        **_damaged(texts, roles, rows, n),
        "repeated_turn": _repeated(texts, answers, rows, n),
        "copies_prompt": form.copies(prompt, answer) & ~_tasks(task, "rewriting", "translation"),
        "other_language": _other(asked_in, spoken_in, of_prompt, of_system)
        & ~_tasks(task, "translation", "code"),
        "empty_answer": (of_answer.words == 0) & shape["empty"] & ~is_text & ~calls,
        "one_word": (of_answer.words == 1) & ~is_text,
    }
    return pa.table(
        {
            "language": asked_in,
            "answer_language": spoken_in,
            **{name: task[name].combine_chunks() for name in ("task", "rule")},
            "format": shape["format"],
            "reasoning": form.reasoning(answer, of_answer),
            "flags": _listed(flags, config.flags, n),
        }
    )


def _flagged(table: pa.Table, prompt: pa.Array, answer: pa.Array, config: Config) -> dict[str, Mask]:
    """Flags by the recipe's models. They are not asked about marked rows: it is dear, and nobody reads it."""
    live, none = schema.live(table), pa.scalar("", pa.large_string())
    texts = {"prompt": prompt, "answer": answer}
    return models.found({part: pc.if_else(live, text, none) for part, text in texts.items()}, config)


def _is(roles: pa.Array, name: str) -> Mask:
    mask: Mask = pc.equal(roles, name).fill_null(False).to_numpy(zero_copy_only=False)
    return mask


def _first(rows: NDArray[np.int64], at: NDArray[np.int64], n: int) -> NDArray[np.int64]:
    """Of each row the first of the messages `at`, -1 where it has none."""
    return arrays.last(rows, at[::-1], n)


def _taken(texts: pa.Array, at: NDArray[np.int64]) -> pa.Array:
    """``texts[at]``, empty where `at` is -1."""
    return texts.take(pa.array(at, mask=at < 0)).fill_null("")


def _of(every: Signals, at: NDArray[np.int64], mask: Mask) -> Signals:
    """Signals of some texts, nothing where not `mask`."""
    at = np.where(mask, at, 0)

    def own(field: NDArray[Any]) -> NDArray[Any]:
        return (
            np.where(mask, field[at], np.zeros(1, field.dtype))
            if len(field)
            else np.zeros_like(at, field.dtype)
        )

    return Signals(*map(own, every))


def _phrases(every: Signals, rows: NDArray[np.int64], n: int) -> dict[str, Mask]:
    """Flags by what answers say: ``bool[n]`` each."""
    told = {
        "refusal": every.opening & words.bit("refusal"),
        "opener": every.first & words.bit("openers"),
        "praise": every.first & words.bit("praise"),
        "disclaimer": every.anywhere & words.bit("disclaimers"),
        "identity": every.anywhere & words.bit("identity"),
        "error": np.where(every.words <= SHORT, every.opening & words.bit("errors"), np.uint64(0)),
    }
    flags = {name: np.zeros(n, np.bool_) for name in told}
    for name, bits in told.items():
        flags[name][rows[bits != 0]] = True
    return flags


def _damaged(texts: pa.Array, roles: pa.Array, rows: NDArray[np.int64], n: int) -> dict[str, Mask]:
    """Flags by what machines have left in texts, but in what tools said: ``bool[n]`` each."""
    spoken, seen = ~_is(roles, "tool"), damage.look(texts, _is(roles, "assistant"))
    flags = {name: np.zeros(n, np.bool_) for name in damage.NAMES}
    for name, found in zip(damage.NAMES, seen, strict=True):
        flags[name][rows[found & spoken]] = True
    flags["placeholder"][rows[_is(roles, "text")]] = False  # markup of a page
    return flags


def _repeated(texts: pa.Array, answers: Mask, rows: NDArray[np.int64], n: int) -> Mask:
    """Rows in which an assistant says the very same twice, or what was said just before: ``bool[n]``."""
    many = np.bincount(rows[answers], minlength=n) > 1
    long = pc.greater_equal(pc.binary_length(texts), SAID).fill_null(False).to_numpy(zero_copy_only=False)
    at = np.flatnonzero(many[rows] & long)
    said = (
        texts.take(pa.array(at)).dictionary_encode().indices.to_numpy(zero_copy_only=False).astype(np.int64)
    )
    found = np.zeros(n, np.bool_)
    echo = (np.diff(at) == 1) & (np.diff(rows[at]) == 0) & (np.diff(said) == 0) & answers[at[1:]]
    found[rows[at[1:][echo]]] = True
    told = answers[at]
    keys, counts = np.unique(rows[at][told] << 32 | said[told], return_counts=True)
    found[keys[counts > 1] >> 32] = True
    return found


def _systems(texts: pa.Array, at: NDArray[np.int64], lists: Any) -> Signals:
    """Signals of the system turns ``texts[at]``, of which few are different; nothing where `at` is -1."""
    named = _taken(texts, at).dictionary_encode()
    every = signals.look(named.dictionary, lists, HEAD, TAIL)
    return _of(every, named.indices.to_numpy(zero_copy_only=False).astype(np.int64), at >= 0)


def _tasks(task: pa.Table, *names: str) -> Mask:
    """Which rows have one of these tasks: ``bool[N]``."""
    found: Mask = pc.is_in(task["task"].combine_chunks(), pa.array(names)).to_numpy(zero_copy_only=False)
    return found


def _other(asked: pa.Array, spoken: pa.Array, prompt: Signals, system: Signals) -> Mask:
    """Whether the answer is in another language than the prompt, and nobody named a language."""
    unknown = pa.array([language.UNKNOWN])
    sure = pc.invert(pc.or_(pc.is_in(asked, unknown), pc.is_in(spoken, unknown)))
    apart = pc.not_equal(language.family(asked), language.family(spoken))
    other: Mask = pc.and_(sure, apart).to_numpy(zero_copy_only=False)
    named: Mask = ((prompt.anywhere | system.anywhere) & words.bit("languages")) != 0
    found: Mask = other & ~named
    return found


def _listed(flags: dict[str, Mask], order: tuple[str, ...], n: int) -> pa.Array:
    """The names of the flags that each row has, in this order: ``list<string>[n]``."""
    grid = np.array([flags[name] for name in order]).reshape(len(order), n).T
    _, kinds = np.nonzero(grid)
    names = pa.array(order, pa.string()).take(pa.array(kinds))
    ends = arrays.offsets(grid.sum(axis=1)).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(ends), names)


def _reasons(own: pa.Table, config: Config) -> pa.Array:
    """The first trait for which each row is not wanted, as a reason, or null."""
    reasons = pa.nulls(own.num_rows, pa.string())
    for name in (n for n in schema.TRAITS_BY if n in config.keep or n in config.drop):
        bad = np.zeros(own.num_rows, np.bool_)
        if name in config.drop:
            bad |= having(own[name], config.drop[name])
        if name in config.keep:
            bad |= ~having(own[name], (*config.keep[name], *_untold(own[name])))
        reason = pc.if_else(pa.array(bad), f"traits.{name}", pa.scalar(None, pa.string()))
        reasons = pc.coalesce(reasons, reason)
    return reasons


def _untold(column: pa.ChunkedArray) -> tuple[str, ...]:
    return () if pa.types.is_list(column.type) else (language.UNKNOWN,)


def having(column: pa.ChunkedArray, values: tuple[str, ...]) -> Mask:
    """Whether a row has one of `values`, of a trait."""
    wanted = pa.array(values, pa.string())
    array = column.combine_chunks()
    if not pa.types.is_list(array.type):
        mask: Mask = pc.is_in(array, wanted).to_numpy(zero_copy_only=False)
        return mask
    hit = np.zeros(len(array), np.bool_)
    owners = pc.list_parent_indices(array).filter(pc.is_in(array.flatten(), wanted))
    hit[owners.to_numpy()] = True
    return hit


def warm() -> None:
    """Compile, or load from Numba's cache."""
    signals.look(pa.array(["a"], pa.large_string()), words.table(), 8, 8)
    language.warm()
    form.warm()
    damage.warm()
