"""One small file of each format, made plainly, with the events and the sensor that are in it."""

from __future__ import annotations

import io

import h5py
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
    return found | containers(n, rng)


def in_hdf5(held, **attributes):
    """{name: array, or a list of arrays for ragged rows} as the bytes of an HDF5 file."""
    with h5py.File("held", "w", driver="core", backing_store=False) as file:
        for name, value in held.items():
            if isinstance(value, list):
                rows = file.create_dataset(name, (len(value),), h5py.vlen_dtype(value[0].dtype))
                for i, row in enumerate(value):
                    rows[i] = row
            else:
                rows = max(64, len(value) // 32) if value.shape else 0
                chunks = (rows, *value.shape[1:]) if value.shape and len(value) > rows else None
                file.create_dataset(name, data=value, chunks=chunks, compression="gzip" if chunks else None)
        file.attrs.update(attributes)
        file.flush()
        return file.id.get_file_image()


def table(events, names="xypt", kinds=("<u2", "<u2", "<i2", "<i8")):
    made = np.zeros(len(events), list(zip(names, kinds, strict=True)))
    for name, column in zip("txyp", zip(*events, strict=True), strict=True):
        made[name] = column
    return made


def columns(events):
    return {n: np.array(c) for n, c in zip("txyp", zip(*events, strict=True), strict=True)}


def in_numpy(value):
    """The bytes of an .npy, or of an .npz where a dictionary is given."""
    file = io.BytesIO()
    if isinstance(value, dict):
        np.savez_compressed(file, **value)
    else:
        np.save(file, value)
    return file.getvalue()


def in_text(events, order="txyp", between=",", head="", end="\n"):
    rows = (dict(zip("txyp", e, strict=True)) for e in events)
    return (head + "".join(between.join(str(row[n]) for n in order) + end for row in rows)).encode()


def containers(n, rng):
    found = {}
    hd, vga, davis = Sensor(720, 1280), Sensor(480, 640), Sensor(260, 346)
    e = [(0, 1279, 719, 1), *drawn(rng, n, hd, 2**36)]
    found["hdf5-prophesee"] = in_hdf5({"CD/events": table(e), "CD/indexes": np.zeros(3)}, geometry="1280x720"), e, hd
    e = [(0, 639, 479, 1), *drawn(rng, n, vga, 2**30)]
    held = {f"events/{k}": v.astype(d) for (k, v), d in zip(columns(e).items(), ("u4", "u2", "u2", "u1"), strict=True)}
    late = [(t + 2**40, x, y, p) for t, x, y, p in e]
    found["hdf5-dsec"] = in_hdf5(held | {"t_offset": np.int64(2**40), "ms_to_idx": np.zeros(9, "u8")}), late, vga
    found["hdf5-matrix"] = in_hdf5({"events": np.array(e, np.uint32)}), e, vga
    heard = [(round(float(np.float16(t)) * 1e6), u, 0, 0)
             for t, u in sorted(zip(rng.random(n), rng.integers(0, 700, n).tolist(), strict=True))]
    times, units = np.array([t / 1e6 for t, *_ in heard], np.float16), np.array([u for _, u, *_ in heard], np.uint16)
    held = {"spikes/times": [times], "spikes/units": [units], "labels": np.array([7])}
    found["hdf5-shd"] = in_hdf5(held), heard, Sensor(1, 700, 1)
    e = [(0, 345, 259, 1), *drawn(rng, n, davis, 10**6)]
    found["aedat4"] = plain.aedat4_file([(t + 2**50, *v) for t, *v in e], 346, 260), [(t + 2**50, *v) for t, *v in e], davis
    found["npy"] = in_numpy(table(e)), e, davis
    found["npy-matrix"] = in_numpy(np.asfortranarray(np.array(e))), e, davis
    found["npz"] = in_numpy(columns(e) | {"width": 400, "height": 300, "label": 7}), e, Sensor(300, 400)
    signed = columns(e)
    signed |= {"t": signed["t"] / 1e6, "p": 2 * signed["p"] - 1}
    found["npz-seconds"] = in_numpy({f"{n}s": c for n, c in signed.items()}), e, davis
    found["npz-table"] = in_numpy({"events": table(e), "more": np.arange(4)}), e, davis
    found["csv"] = in_text(e), e, davis
    found["csv-named"] = in_text(e, "yxpt", ";", "y;x;polarity;timestamp\r\n", "\r\n")[:-2], e, davis
    found["csv-metavision"] = in_text(e, "xypt", ",", "%geometry:400,300\n"), e, Sensor(300, 400)
    seconds = [(f"{t / 1e6:.6f}", x, y, p) for t, x, y, p in e]
    found["csv-seconds"] = in_text(seconds, "txyp", " ", "400 300\n"), e, Sensor(300, 400)
    return found
