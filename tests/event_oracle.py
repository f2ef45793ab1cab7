"""What transforms of events mean, as slow plain Python: each is compared with its definition here."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np


def rows(events):
    """The events as tuples (t, x, y, p) of whole numbers."""
    return [tuple(int(e[n]) for n in ("t", "x", "y", "p")) for e in events]


def denoise(events, us, corners):
    kept = []
    for i, (t, x, y, _) in enumerate(events):
        for s, a, b, _ in events[:i]:
            far, near = max(abs(x - a), abs(y - b)), abs(x - a) + abs(y - b)
            if (far == 1 if corners else near == 1) and t - s <= us:
                kept.append(events[i])
                break
    return kept


def refractory(events, us, extending):
    kept, blocked = [], {}
    for t, x, y, p in events:
        stays = t - blocked.get((x, y), -math.inf) >= us
        if stays:
            kept.append((t, x, y, p))
        if stays or extending:
            blocked[x, y] = t
    return kept


def hot_pixels(events, rate=None, times=None):
    counts = Counter((x, y) for _, x, y, _ in events)
    duration = (events[-1][0] - events[0][0] + 1) / 1e6
    most = rate * duration if times is None else times * len(events) / len(counts)
    return [e for e in events if counts[e[1], e[2]] <= most]


def crop(events, top, left, height, width):
    return [(t, x - left, y - top, p) for t, x, y, p in events if left <= x < left + width and top <= y < top + height]


def downsample(events, down, across, distinct):
    made = [(t, x // across, y // down, p) for t, x, y, p in events]
    return list(dict.fromkeys(made)) if distinct else made


def flip(events, axis, height, width):
    if axis == "t":
        return [(events[0][0] + events[-1][0] - t, x, y, p) for t, x, y, p in reversed(events)]
    return [(t, width - 1 - x if axis == "x" else x, height - 1 - y if axis == "y" else y, 1 - p if axis == "p" else p)
            for t, x, y, p in events]


def part_of(events, i, bins=None, window=None, event_bins=None, size=None):
    """(the part that event i is in, how many parts there are)."""
    n, first, last, t = len(events), events[0][0], events[-1][0], events[i][0]
    if bins is not None:
        return (t - first) * bins // (last - first + 1), bins
    if window is not None:
        return (t - first) // window, (last - first) // window + 1
    if event_bins is not None:
        return i * event_bins // n, event_bins
    return i // size, (n - 1) // size + 1


def frames(events, shape, **cutting):
    parts = [part_of(events, i, **cutting) for i in range(len(events))]
    out = np.zeros((parts[0][1] if parts else cutting.get("bins") or cutting.get("event_bins") or 1, *shape), np.int64)
    for (_, x, y, p), (k, _) in zip(events, parts, strict=True):
        out[k, p, y, x] += 1
    return out


def voxels(events, bins, shape, signed):
    out = np.zeros((bins, *shape))
    for t, x, y, p in events:
        span = events[-1][0] - events[0][0]
        u = (t - events[0][0]) * ((bins - 1) / span) if span else 0.0
        share = math.floor((u - int(u)) * 2**24 + 0.5) / 2**24
        for k, weight in ((int(u), 1.0 - share), (int(u) + 1, share)):
            if weight:
                out[k, 0 if signed else p, y, x] += -weight if signed and not p else weight
    return out


def surface(events, shape, edges, tau):
    """tau and edges in µs; edges: where each part ends."""
    out = np.zeros((len(edges), *shape))
    for k, edge in enumerate(edges):
        for t, x, y, p in events:
            if t < edge:
                out[k, p, y, x] = math.exp((t - edge) / tau)
    return out


def slices(values, total, length, step, tail):
    """Lists of indices: those of slice k have k step <= value < k step + length; total is past the last value."""
    found, k = [], 0
    while True:
        begin, end = k * step, k * step + length
        if end <= total or tail:
            found.append([i for i, v in enumerate(values) if begin <= v < end])
        if end >= total:
            return found
        k += 1
