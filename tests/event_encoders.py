"""Event files written and read plainly, event by event, with struct alone: what the fast readers and writers are compared with.

Events are tuples (t, x, y, p), y downwards, p = 1 ON. Readers expect valid files.
"""

from __future__ import annotations

import re
import struct


def after_percent(data):
    """The bytes behind the lines of a Prophesee header."""
    while data[:2] == b"% ":
        line, _, data = data.partition(b"\n")
        if line == b"% end":
            break
    return data


def raw(encoding, version, width, height, words, end=True, extra=""):
    head = f"% date 2024-01-01\n% evt {version}\n% format {encoding};height={height};width={width}{extra}\n"
    return head.encode() + (b"% end\n" if end else b"") + b"".join(words)


def bin_file(events):
    """40 bits an event; a mark (y = 240) adds 2^13 µs."""
    out, base = [], 0
    for t, x, y, p in events:
        while t - base >= 2**23:
            out.append(bytes([0, 240, 0, 0, 0]))
            base += 2**13
        out.append(bytes([x, y]) + (p << 23 | t - base).to_bytes(3, "big"))
    return b"".join(out)


def bin_events(data):
    events, base = [], 0
    for x, y, high, low in struct.iter_unpack(">BBBH", data):
        if y == 240:
            base += 2**13
        else:
            events.append((base + ((high & 127) << 16 | low), x, y, high >> 7))
    return events


def evt2_words(events):
    high = None
    for t, x, y, p in events:
        if t >> 6 != high:
            high = t >> 6
            yield struct.pack("<I", 8 << 28 | high % 2**28)
        yield struct.pack("<I", p << 28 | (t & 63) << 22 | x << 11 | y)


def evt2_events(data):
    events, high, wraps = [], None, 0
    for (word,) in struct.iter_unpack("<I", after_percent(data)):
        kind = word >> 28
        if kind == 8:
            new = word & 0xFFFFFFF
            wraps += high is not None and high - new > 2**27
            high = new
        elif kind < 2 and high is not None:
            events.append((((wraps << 28) + high) * 64 + (word >> 22 & 63), word >> 11 & 2047, word & 2047, kind))
    return events


def evt21_words(groups, legacy=False):
    """groups: (t, x of the lowest bit, y, p, mask)."""
    high = None
    for t, x, y, p, mask in groups:
        if t >> 6 != high:
            high = t >> 6
            yield halves(8 << 60 | (high % 2**28) << 32, legacy)
        yield halves(p << 60 | (t & 63) << 54 | x << 43 | y << 32 | mask, legacy)


def halves(word, legacy):
    return struct.pack("<II", word >> 32, word & 0xFFFFFFFF) if legacy else struct.pack("<Q", word)


def of_groups(groups, bits=32):
    return [(t, x + i, y, p) for t, x, y, p, mask in groups for i in range(bits) if mask >> i & 1]


def word(kind, value):
    return struct.pack("<H", kind << 12 | value)


def evt3_words(groups, noise=()):
    """groups: (t, x, y, p, mask), mask of 1 alone, or 12 or 8 bits; `noise` are words strewn in between."""
    yield from noise
    high = low = row = None
    for t, x, y, p, mask in groups:
        if (t >> 12) % 4096 != high:
            high = (t >> 12) % 4096
            yield word(8, high)
        if t % 4096 != low:
            low = t % 4096
            yield word(6, low)
        if y != row:
            row = y
            yield word(0, y)
        yield from noise
        if mask == 1:
            yield word(2, p << 11 | x)
        else:
            yield word(3, p << 11 | x)
            yield word(5, mask) if mask < 256 else word(4, mask)


def evt3_events(data):
    events, high, low, loops, row, base, p = [], None, 0, 0, None, None, 0
    for (value,) in struct.iter_unpack("<H", after_percent(data)):
        kind, rest = value >> 12, value & 4095
        t = None if high is None else ((loops << 12) + high << 12) + low
        if kind == 8:
            loops += high is not None and high - rest > 2048
            high = rest
        elif kind == 6:
            low = rest
        elif kind == 0:
            row = rest & 2047
        elif kind == 3:
            base, p = rest & 2047, rest >> 11
        elif kind == 2 and None not in (t, row):
            events.append((t, rest & 2047, row, rest >> 11))
        elif kind in (4, 5) and base is not None:
            bits = 12 if kind == 4 else 8
            if None not in (t, row):
                events += [(t, base + i, row, p) for i in range(bits) if rest >> i & 1]
            base += bits
    return events


def dat_file(events, width=640, height=480, kind=0x0C):
    head = f"% Data file containing CD events\n% Version 2\n% Width {width}\n% Height {height}\n".encode()
    return head + bytes([kind, 8]) + b"".join(struct.pack("<II", t % 2**32, p << 28 | y << 14 | x) for t, x, y, p in events)


def dat_events(data):
    events, wraps, last = [], 0, 0
    for low, place in struct.iter_unpack("<II", after_percent(data)[2:]):
        wraps += last - low > 2**31
        last = low
        events.append(((wraps << 32) + low, place & 16383, place >> 14 & 16383, place >> 28))
    return events


def es_file(events, width, height, kind=1, exposures=()):
    """kind: 1 DVS, 2 ATIS, 4 colour. exposures: numbers of the events that are followed by a measurement of exposure."""
    out, last = [b"Event Stream" + bytes([2, 0, 0, kind]) + struct.pack("<HH", width, height)], 0
    longest = {1: 126, 2: 62, 4: 253}[kind]
    for n, (t, x, y, p) in enumerate(events):
        step, last = t - last, t
        while step > longest:
            jump = {1: 127, 2: 63 * min(3, step // 63), 4: 254}[kind]
            out.append(bytes([0xFC + jump // 63 if kind == 2 else 0xFF]))
            step -= jump
        out.append(bytes([{1: step << 1 | p, 2: step << 2 | p << 1, 4: step}[kind]]))
        out.append(struct.pack("<HH", x, height - 1 - y) + (bytes([n & 255, 2, 3]) if kind == 4 else b""))
        if kind == 2 and n in exposures:
            out.append(bytes([n % 2 << 1 | 1]) + struct.pack("<HH", x, height - 1 - y))
        if n % 7 == 3:
            out.append(b"\xfc" if kind == 2 else b"\xfe")  # nothing
    return b"".join(out)


def es_events(data):
    kind, (_, height), data = data[15], struct.unpack("<HH", data[16:20]), data[20:]
    events, t, i = [], 0, 0
    while i < len(data):
        first, i = data[i], i + 1
        if kind == 2 and first >= 0xFC:
            t += 63 * (first - 0xFC)
            continue
        if kind != 2 and first >= 0xFE:
            t += {0xFE: 0, 0xFF: 127 if kind == 1 else 254}[first]
            continue
        x, y = struct.unpack("<HH", data[i:i + 4])
        i += 7 if kind == 4 else 4
        t += {1: first >> 1, 2: first >> 2, 4: first}[kind]
        if not (kind == 2 and first & 1):
            events.append((t, x, height - 1 - y, {1: first & 1, 2: first >> 1 & 1, 4: 0}[kind]))
    return events


def aedat2_file(events, chip="DVS128", width=128, height=128, specials=()):
    """jAER's addresses: x from the right, y from below, and for the DVS128 a bit that is 1 for OFF."""
    out = [f"#!AER-DAT2.0\r\n# This is a raw AE data file\r\n# AEChip: {chip}\r\n".encode()]
    for n, (t, x, y, p) in enumerate(events):
        across, up = width - 1 - x, height - 1 - y
        address = up << 8 | across << 1 | 1 - p if chip.endswith("128") else up << 22 | across << 12 | p << 11
        if n in specials:
            out.append(struct.pack(">II", 1 << 15 if chip.endswith("128") else 1 << (31 if n % 2 else 10), t % 2**32))
        out.append(struct.pack(">II", address, t % 2**32))
    return b"".join(out)


def aedat3_file(packets, source="DVS128"):
    """packets: (type, overflow, [(t of 31 bits, x, y, p, valid)], padding), other types with any bytes of 8 each."""
    out = [f"#!AER-DAT3.1\r\n#Format: RAW\r\n#Source 1: {source}\r\n#!END-HEADER\r\n".encode()]
    for kind, overflow, events, padding in packets:
        valid = sum(e[4] for e in events)
        out.append(struct.pack("<HHIIIIII", kind, 1, 8, 4, overflow, len(events) + padding, len(events), valid))
        out += [struct.pack("<II", x << 17 | y << 2 | p << 1 | v, t) for t, x, y, p, v in events]
        out.append(struct.pack("<II", 5 << 17 | 5 << 2 | 3, 7) * padding)
    return b"".join(out)


def body(data):
    """How many bytes stand before the first record."""
    if data[:2] == b"% ":
        size = len(data) - len(after_percent(data))
        return size + (2 if b"containing" in data[:size] else 0)
    if data[:1] == b"#":
        return re.search(rb"#!END-HEADER\r\n|(?<=\n)(?!#)", data).end()
    return 20 if data[:5] == b"Event" else 0


def aedat4_file(events, width, height, streams=1, each=100):
    """Packets of `each` events without compression, in turn on each of the streams, laid out by hand as FlatBuffers are."""
    def node(name, inner):
        return f'<node name="{name}" path="/{name}/">{inner}</node>'

    def attribute(key, kind, value):
        return f'<attr key="{key}" type="{kind}">{value}</attr>'

    size = node("info", attribute("sizeX", "int", width) + attribute("sizeY", "int", height))
    info = "".join(node(i, attribute("typeIdentifier", "string", "EVTS") + size) for i in range(streams))
    text = ('<dv version="2.0">' + node("outInfo", info) + "</dv>").encode()
    text += b"\0" * (4 - len(text) % 4)
    # a table: where its vtable is, its fields; the vtable: sizes, and where the fields stand in the table
    head = struct.pack("<I4s5H2xiiqI", 20, b"IOHE", 10, 24, 4, 8, 16, 12, 0, -1, 4)
    out = [b"#!AER-DAT4.0\r\n", packed(head + struct.pack("<I", len(text.rstrip(b"\0"))) + text)]
    for i in range(0, len(events), each):
        part = events[i:i + each]
        body = struct.pack("<I4s3H2xiII", 16, b"EVTS", 6, 8, 4, 8, 4, len(part))
        body += b"".join(struct.pack("<qhh?3x", *e) for e in part)
        body = packed(body)
        out.append(struct.pack("<ii", i // each % streams, len(body)) + body)
    return b"".join(out)


def packed(data):
    return struct.pack("<I", len(data)) + data
