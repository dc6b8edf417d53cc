"""Machine words for jitted code: unaligned loads and stores, ones, trailing zeros, bytes reversed; pointers.

Cost: one instruction each. A load reads 8 bytes from any address, a store writes them, little-endian on
every platform that Numba serves; the caller keeps them inside the array (nothing is checked).
"""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

HIGH, EACH = np.uint64(0x8080808080808080), np.uint64(0x0101010101010101)


@njit(inline="always")
def between(word, first, last):  # type: ignore[no-untyped-def]
    """The high bit of each byte of an ASCII `word` that lies in ``first..last``."""
    above = word + EACH * np.uint64(0x80 - first)
    return above & ~(word + EACH * np.uint64(0x7F - last)) & HIGH


@intrinsic
def pointer(typing: Any, array: Any) -> Any:
    """The first element of a contiguous array, to be indexed as that is.

    For small functions that are called for every word: each array that is passed to one has its references
    counted, at five nanoseconds, and a pointer has none. Whoever makes it keeps the array.
    """

    def codegen(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        return cgutils.create_struct_proxy(signature.args[0])(context, builder, value=args[0]).data

    return types.CPointer(array.dtype)(array), codegen


@intrinsic
def load64(typing: Any, data: Any, at: Any) -> Any:
    """``uint64`` of the bytes ``data[at:at + 8]`` of a contiguous uint8 array, or behind a pointer to one."""

    def codegen(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        first = args[0]
        if not isinstance(signature.args[0], types.CPointer):
            first = cgutils.create_struct_proxy(signature.args[0])(context, builder, value=first).data
        place = builder.gep(first, [args[1]])
        return builder.load(builder.bitcast(place, ir.IntType(64).as_pointer()), align=1)

    return types.uint64(data, types.intp), codegen


@njit(inline="always")
def loaded(data, at):  # type: ignore[no-untyped-def]
    """`load64`, but nothing behind the end of the data, of which fewer than eight bytes may be left."""
    if at + 8 <= len(data):
        return load64(data, at)
    word = np.uint64(0)
    for place in range(len(data) - at):
        word |= np.uint64(data[at + place]) << np.uint64(8 * place)
    return word


@intrinsic
def store64(typing: Any, data: Any, at: Any, word: Any) -> Any:
    """Write a ``uint64`` to the bytes ``data[at:at + 8]`` of a contiguous uint8 array."""

    def codegen(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        array = cgutils.create_struct_proxy(signature.args[0])(context, builder, value=args[0])
        place = builder.gep(array.data, [args[1]])
        builder.store(args[2], builder.bitcast(place, ir.IntType(64).as_pointer()), align=1)
        return context.get_dummy_value()

    return types.void(data, types.intp, types.uint64), codegen


@intrinsic
def prefetch(typing: Any, array: Any, at: Any) -> Any:
    """Ask the processor for the bytes around ``array.reshape(-1)[at]`` of a contiguous array, and go on."""

    def codegen(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        first = cgutils.create_struct_proxy(signature.args[0])(context, builder, value=args[0]).data
        byte, word = ir.IntType(8).as_pointer(), ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [byte, word, word, word])
        called = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0i8")
        place = builder.bitcast(builder.gep(first, [args[1]]), byte)
        builder.call(called, [place, *(ir.Constant(word, number) for number in (0, 3, 1))])
        return context.get_dummy_value()

    return types.void(array, types.intp), codegen


@intrinsic
def popcount(typing: Any, word: Any) -> Any:
    """Number of ones in a ``uint64``."""

    def codegen(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        return builder.ctpop(args[0])

    return types.uint64(types.uint64), codegen


@intrinsic
def reversed_bytes(typing: Any, word: Any) -> Any:
    """A ``uint64`` with its first byte as its last."""

    def codegen(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        return builder.bswap(args[0])

    return types.uint64(types.uint64), codegen


@intrinsic
def trailing_zeros(typing: Any, word: Any) -> Any:
    """Place of the lowest one in a ``uint64``, 64 for zero."""

    def codegen(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        return builder.cttz(args[0], ir.Constant(ir.IntType(1), 0))

    return types.uint64(types.uint64), codegen
