"""One small file of each format, made plainly, with the events and the sensor that are in it."""

from __future__ import annotations

import numpy as np

from snnsim.datasets import Sensor
from tests import event_encoders as plain


def drawn(rng, n, sensor, latest):
    t = np.sort(rng.integers(0, latest, n))
    columns = rng.integers(0, sensor.width, n), rng.integers(0, sensor.height, n), rng.integers(0, 2, n)
    return list(zip(t.tolist(), *(c.tolist() for c in columns), strict=True))


def vectors(rng, n, sensor, latest, bits):
    """Groups (t, x, y, p, mask) of up to `bits` events within the sensor; some of one event, some of 8 pixels."""
    groups = []
    for t, x, y, p in drawn(rng, n, sensor, latest):
        width = int(rng.choice([1, 8, bits])) if bits == 12 else bits
        x = min(x, sensor.width - width) // (32 if bits == 32 else 1) * (32 if bits == 32 else 1)
        groups.append((t, x, y, p, 1 if width == 1 else int(rng.integers(1, 2**width))))
    return groups


def files(n=300, seed=0):
    """{name: (bytes, events, sensor)}; the part of a name before the dash is that of the format."""
    rng = np.random.default_rng(seed)
    hd, vga, davis, small, old = Sensor(720, 1280), Sensor(480, 640), Sensor(260, 346), Sensor(34, 34), Sensor(128, 128)
    found = {}
    e = drawn(rng, n, vga, 2**36)
    found["evt2"] = plain.raw("EVT2", "2.0", 640, 480, plain.evt2_words(e)), e, vga
    found["evt2-bare"] = plain.raw("EVT2", "2.0", 640, 480, plain.evt2_words(e), end=False), e, vga
    groups = vectors(rng, n, hd, 2**36, 32)
    for order in ("little", "legacy", ""):
        for legacy in {order != "little", order == "legacy"}:
            name = f"evt21-{order or 'unsaid'}-{legacy}"
            extra = f";endianness={order}" if order else ""
            words = plain.evt21_words(groups, legacy)
            found[name] = plain.raw("EVT21", "2.1", 1280, 720, words, extra=extra), plain.of_groups(groups), hd
    groups = vectors(rng, n, hd, 2**26, 12)
    noise = [plain.word(k, 77) for k in (7, 10, 14, 15)]
    found["evt3"] = plain.raw("EVT3", "3.0", 1280, 720, plain.evt3_words(groups)), plain.of_groups(groups), hd
    words = list(plain.evt3_words(groups, noise))
    found["evt3-noise"] = plain.raw("EVT3", "3.0", 1280, 720, words, end=False), plain.of_groups(groups), hd
    e = drawn(rng, n, vga, 2**34)
    found["dat"] = plain.dat_file(e), e, vga
    found["dat-2d"] = plain.dat_file(e, kind=0), e, vga
    e = drawn(rng, n, davis, 10**5)
    found["es"] = plain.es_file(e, 346, 260, 1), e, davis
    found["es-atis"] = plain.es_file(e, 346, 260, 2, {0, 5, 6, n - 1}), e, davis
    found["es-color"] = plain.es_file(e, 346, 260, 4), [(t, x, y, 0) for t, x, y, _ in e], Sensor(260, 346, 1)
    e = drawn(rng, n, old, 2**34)
    found["aedat2"] = plain.aedat2_file(e, specials={0, 7}), e, old
    e = drawn(rng, n, davis, 2**34)
    found["aedat2-davis"] = plain.aedat2_file(e, "eu.seebetter.ini.chips.davis.DAVIS346", 346, 260, {0, 7}), e, davis
    e = drawn(rng, n, old, 2**31)
    late = drawn(rng, n, old, 2**31)
    packets = [(1, 0, [(*v, 1) for v in e], 3), (2, 0, [(1, 2, 3, 1, 1)] * 4, 1), (0, 0, [], 0),
               (1, 2, [(*v, i % 3 > 0) for i, v in enumerate(late)], 0)]
    expected = e + [(t + 2**32, x, y, p) for i, (t, x, y, p) in enumerate(late) if i % 3]
    found["aedat3"] = plain.aedat3_file(packets), expected, old
    e = [(0, 33, 33, 1), *drawn(rng, n, small, 2**24)]
    found["bin"] = plain.bin_file(e), e, small
    return found
