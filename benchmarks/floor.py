"""The bare event loop: what one network, written by hand with its sizes as constants, costs at least.

No records, rules, delays, counts or checks: 700-256-256-20 soft-reset LIF, threshold 1, and nothing else.
"""

import numba
import numpy as np

SIZES = (700, 256, 256, 20)
HIDDEN, OUTPUT = SIZES[1], SIZES[3]
ONE = np.float32(1.0)


@numba.njit(fastmath=True)
def floor(indptr, indices, steps, batch, w0, w1, w2, decay, outputs, counts):
    """indptr: CSR rows b * steps + t. Adds the spikes of each output to `outputs` and of each layer to `counts`."""
    u0, u1, u2 = np.zeros(HIDDEN, np.float32), np.zeros(HIDDEN, np.float32), np.zeros(OUTPUT, np.float32)
    fired = np.empty(HIDDEN, np.int32)
    for b in range(batch):
        u0[:] = 0
        u1[:] = 0
        u2[:] = 0
        for row in range(b * steps, (b + 1) * steps):
            for j in range(HIDDEN):
                u0[j] *= decay
            for k in range(indptr[row], indptr[row + 1]):
                w = w0[indices[k]]
                for j in range(HIDDEN):
                    u0[j] += w[j]
            n = 0
            for j in range(HIDDEN):
                if u0[j] >= ONE:
                    fired[n] = j
                    n += 1
                    u0[j] -= ONE
            counts[0] += n
            for j in range(HIDDEN):
                u1[j] *= decay
            for k in range(n):
                w = w1[fired[k]]
                for j in range(HIDDEN):
                    u1[j] += w[j]
            n = 0
            for j in range(HIDDEN):
                if u1[j] >= ONE:
                    fired[n] = j
                    n += 1
                    u1[j] -= ONE
            counts[1] += n
            for j in range(OUTPUT):
                u2[j] *= decay
            for k in range(n):
                w = w2[fired[k]]
                for j in range(OUTPUT):
                    u2[j] += w[j]
            for j in range(OUTPUT):
                if u2[j] >= ONE:
                    outputs[b, j] += 1
                    counts[2] += 1
                    u2[j] -= ONE
