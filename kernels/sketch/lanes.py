"""Vector code for blocks of 64 features: eight lanes of 64 bits, eight times.

Written as LLVM vectors, which every target lowers to what it has (one AVX-512, two AVX2 or four NEON
registers for eight lanes), since no loop vectoriser finds the overlapping loads or the adders by itself.

`Planes` are counters laid out by bit: row p of eight words holds bit p of 64 x 8 counts, one count for
each bit of each lane. The last row of the array hands a carry from `add_block` to `ripple`.

Source: Harley & Seal's carry-save adders as in Mula, Kurz & Lemire 2018, "Faster population counts using
AVX2 instructions", https://arxiv.org/abs/1611.07612.
"""

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from headrace.kernels.sketch.reference import M1, M2, M4

LANES = 8
BLOCK = 64  # features
READ = 72  # bytes of text that `hash_block` reads
_I64 = ir.IntType(64)
_VECTOR = ir.VectorType(_I64, LANES)
_SLIDING = [byte + lane for lane in range(LANES) for byte in range(8)]  # 8 overlapping words of 16 bytes


def _place(context: Any, builder: Any, kind: Any, array: Any, at: Any, pointee: Any) -> Any:
    data = cgutils.create_struct_proxy(kind)(context, builder, value=array).data
    at = ir.Constant(_I64, at) if isinstance(at, int) else at
    return builder.bitcast(builder.gep(data, [at]), pointee.as_pointer())


def _splat(value: int) -> Any:
    return ir.Constant(_VECTOR, [value] * LANES)


def _mix(builder: Any, words: Any, multiplier: int) -> Any:
    words = builder.mul(words, _splat(multiplier))
    return builder.xor(words, builder.lshr(words, _splat(32)))


def _add(builder: Any, a: Any, b: Any, c: Any) -> tuple[Any, Any]:
    """Full adder: (sum, carry)."""
    half = builder.xor(a, b)
    return builder.xor(half, c), builder.or_(builder.and_(a, b), builder.and_(half, c))


@intrinsic
def hash_block(typing: Any, data: Any, at: Any, hashes: Any) -> Any:
    """Hashes of the 64 windows of 8 bytes that begin at `at`; reads ``data[at:at + READ]``."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        text = _place(context, builder, signature.args[0], args[0], args[1], ir.IntType(8))
        bytes16, indices = ir.VectorType(ir.IntType(8), 16), ir.VectorType(ir.IntType(32), 64)
        for group in range(BLOCK // LANES):
            near = builder.gep(text, [ir.Constant(_I64, group * LANES)])
            loaded = builder.load(builder.bitcast(near, bytes16.as_pointer()), align=1)
            spread = builder.shuffle_vector(
                loaded, ir.Constant(bytes16, ir.Undefined), ir.Constant(indices, _SLIDING)
            )
            words = _mix(builder, _mix(builder, builder.bitcast(spread, _VECTOR), M1), M2)
            out = _place(context, builder, signature.args[2], args[2], group * LANES, _VECTOR)
            builder.store(words, out, align=8)
        return context.get_dummy_value()

    return types.void(data, types.intp, hashes), codegen


@intrinsic
def mix_block(typing: Any, hashes: Any) -> Any:
    """Turn 64 hashes into the words of the second half of a 128-bit signature, in place."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        for group in range(BLOCK // LANES):
            place = _place(context, builder, signature.args[0], args[0], group * LANES, _VECTOR)
            builder.store(_mix(builder, builder.load(place, align=8), M4), place, align=8)
        return context.get_dummy_value()

    return types.void(hashes), codegen


@intrinsic
def add_block(typing: Any, hashes: Any, planes: Any) -> Any:
    """Count the bits of 64 hashes into planes 0 to 2; what overflows goes to the carry row."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        def words(argument: int, row: int) -> Any:
            return _place(context, builder, signature.args[argument], args[argument], row * LANES, _VECTOR)

        ones, twos, fours = (builder.load(words(1, p), align=8) for p in range(3))
        carries = []
        for pair in range(4):
            first, second = (builder.load(words(0, 2 * pair + i), align=8) for i in range(2))
            ones, carry = _add(builder, ones, first, second)
            carries.append(carry)
        twos, low = _add(builder, twos, carries[0], carries[1])
        twos, high = _add(builder, twos, carries[2], carries[3])
        fours, eights = _add(builder, fours, low, high)
        for row, value in enumerate((ones, twos, fours)):
            builder.store(value, words(1, row), align=8)
        builder.store(eights, words(1, CARRY), align=8)
        return context.get_dummy_value()

    return types.void(hashes, planes), codegen


@intrinsic
def ripple(typing: Any, planes: Any, row: Any) -> Any:
    """Add the carry row to plane `row`, and leave what overflows in the carry row."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        at = builder.mul(args[1], ir.Constant(_I64, LANES))
        plane = _place(context, builder, signature.args[0], args[0], at, _VECTOR)
        spill = _place(context, builder, signature.args[0], args[0], CARRY * LANES, _VECTOR)
        old, carry = builder.load(plane, align=8), builder.load(spill, align=8)
        builder.store(builder.xor(old, carry), plane, align=8)
        builder.store(builder.and_(old, carry), spill, align=8)
        return context.get_dummy_value()

    return types.void(planes, types.intp), codegen


CARRY = 48  # row of the carry: counts have at most 48 bits
