"""exp for printed kernels: without a branch, so that as many are computed at once as a register holds.

The system's function takes one number at a time, and its last bit differs from system to system; this one has the same
bits everywhere, within 2 units in the last place.
"""

from __future__ import annotations

from decimal import Decimal

LN2 = Decimal("0.693147180559945309417232121458176568")
LN2_HIGH = {bits: float(round(LN2 * 2**bits)) / 2.0**bits for bits in (15, 40)}  # so short that n of them are exact

EXPONENTIAL = f'''
from math import factorial

WIDE = F is np.float64
WORD, BITS, BIAS = (np.int64, 52, 1023) if WIDE else (np.int32, 23, 127)
LOW, HIGH = (F(-746.0), F(710.0)) if WIDE else (F(-104.0), F(89.0))
LN2_HIGH = F({LN2_HIGH[40]!r} if WIDE else {LN2_HIGH[15]!r})
LN2_LOW = F({float(LN2 - Decimal(LN2_HIGH[40]))!r} if WIDE else {float(LN2 - Decimal(LN2_HIGH[15]))!r})
PER_LN2 = F({float(1 / LN2)!r})
C0, C1, C2, C3, C4, C5, C6, C7, C8, C9, C10, C11, C12, C13 = [F(1.0 / factorial(k)) for k in range(14)]


@njit(error_model="numpy", _nrt=False)
def power_of_two(n):
    return WORD((WORD(n) + WORD(BIAS)) << WORD(BITS)).view(F)


@njit(error_model="numpy", _nrt=False)
def exp(x):
    # x = n ln 2 + r: the series of exp(r), times 2**n in two steps, because 2**n alone may be too large or small
    z = LOW if x < LOW else (HIGH if x > HIGH else x)
    n = np.floor(z * PER_LN2 + F(0.5))
    r = (z - n * LN2_HIGH) - n * LN2_LOW
    if WIDE:
        p = ((((((C13 * r + C12) * r + C11) * r + C10) * r + C9) * r + C8) * r + C7)
        p = ((((((p * r + C6) * r + C5) * r + C4) * r + C3) * r + C2) * r + C1) * r + C0
    else:
        p = ((((((C7 * r + C6) * r + C5) * r + C4) * r + C3) * r + C2) * r + C1) * r + C0
    half = np.int32(n) >> np.int32(1)
    y = p * power_of_two(half) * power_of_two(np.int32(n) - half)
    return y if x == x else x
'''
