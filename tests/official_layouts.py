"""Twins written as the sets' authors release them, by the plain encoders: what the catalogue's readers are tested on."""

from __future__ import annotations

import tarfile
import zipfile
from pathlib import Path

import h5py
import numpy as np

from snnsim.datasets.catalogue.entries import ENTRIES
from snnsim.datasets.catalogue.twins import twin
from tests import event_encoders as plain


def of(name):
    """The parts of a small twin; of sets with many classes, of one recording a class."""
    return twin(ENTRIES[name], 1 if len(ENTRIES[name].classes) > 20 else 2, 30)


def write(name, folder):
    """Write the twin's files; what the readers should give: {part: [(label, events)]}, in their order."""
    folder.mkdir(parents=True, exist_ok=True)
    return WRITERS[name](of(name), folder)


def sorted_by_label(part):
    return [(r.label, r.events.tolist()) for r in sorted(part, key=lambda r: r.label)]


def _nmnist(parts, folder):
    for part, dataset in parts.items():
        _files(dataset, folder / part.title(), "{:05d}.bin", plain.bin_file)
    return {part: sorted_by_label(dataset) for part, dataset in parts.items()}


def _files(dataset, folder, name, encode, called=None):
    """One file a recording in a folder a class; numbers of two lengths, which sort otherwise than their names do."""
    seen = {}
    for r in dataset:
        label = (called or dataset.classes)[r.label]
        seen[label] = seen.get(label, 8) + 1
        path = folder / label / name.format(seen[label])
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode(r.events.tolist()))


def _spikes(name):
    def written(parts, folder):
        for part, dataset in parts.items():
            spike_file(folder / f"{name}_{part}.h5", dataset)
        return {part: [(r.label, r.events.tolist()) for r in dataset] for part, dataset in parts.items()}

    return written


def spike_file(path, dataset):
    """As Zenke's laboratory writes SHD and SSC."""
    with h5py.File(path, "w") as f:
        times = f.create_dataset("spikes/times", (len(dataset),), h5py.vlen_dtype(np.float16))
        units = f.create_dataset("spikes/units", (len(dataset),), h5py.vlen_dtype(np.uint16))
        for i, r in enumerate(dataset):
            times[i] = (r.events["t"] * 1e-6).astype(np.float16)
            units[i] = r.events["x"]
        f["labels"] = dataset.labels.astype(np.uint16)
        f["extra/speaker"] = dataset.extra["speaker"].astype(np.uint16)
        f["extra/keys"] = np.array([c.encode() for c in dataset.classes], "S")


def _gestures(parts, folder):
    """Two trials a part; each begins at 80 s, and between gestures there are events that belong to none."""
    expected = {}
    for part, dataset in parts.items():
        names, recordings = [], list(dataset)
        for k, (user, lighting) in enumerate((("07", "fluorescent_led"), ("10", "lab"))):
            chosen = recordings[k::2]
            names.append(f"user{user}_{lighting}.aedat" if part == "train" else f"user2{k}_{lighting}.aedat")
            rows, events, at = ["class,startTime_usec,endTime_usec"], [], 80_000_000
            for r in chosen:
                stop = at + 6_000_000
                rows.append(f"{r.label + 1},{at},{stop}")
                events += [(at + t, x, y, p, 1) for t, x, y, p in r.events.tolist()]
                events += [(stop, 1, 1, 1, 1), (stop + 9, 2, 2, 0, 1)]
                at = stop + 10
            half = len(events) // 2
            packets = [(1, 0, events[:half], 3), (0, 0, [], 2), (1, 0, events[half:], 0)]
            (folder / names[-1]).write_bytes(plain.aedat3_file(packets))
            (folder / names[-1].replace(".aedat", "_labels.csv")).write_text("\n".join(rows) + "\n")
            expected.setdefault(part, []).extend((r.label, r.events.tolist()) for r in chosen)
        (folder / f"trials_to_{part}.txt").write_text("\n".join(names) + "\n")
    return expected


def tonic_gestures(folder):
    """What tonic downloads: times in ms, one file a gesture and trial."""
    expected = {}
    for part, dataset in of("dvs-gesture").items():
        rows = []
        for r in dataset[:11]:
            path = folder / f"ibmGesture{part.title()}" / "user03_natural" / f"{r.label}.npy"
            path.parent.mkdir(parents=True, exist_ok=True)
            t = r.events["t"] // 1000
            np.save(path, np.stack([r.events["x"], r.events["y"], r.events["p"], t], 1).astype(np.float64))
            rows.append((r.label, list(zip((1000 * t).tolist(), *(r.events[n].tolist() for n in "xyp"), strict=True))))
        expected[part] = sorted(rows)
    return expected


def _cifar(parts, folder):
    for dataset in parts.values():
        _files(dataset, folder, "cifar10_{}.aedat", plain.aedat2_file)
        return {"all": sorted_by_label(dataset)}


def _caltech(parts, folder):
    for dataset in parts.values():
        _files(dataset, folder / "Caltech101", "image_{:04d}.bin", plain.bin_file)
        return {"all": sorted_by_label(dataset)}


def _cars(parts, folder):
    for part, dataset in parts.items():
        _files(dataset, folder / f"n-cars_{part}", "obj_{:06d}_td.dat", lambda e: plain.dat_file(e, 304, 240, 0),
               ("background", "cars"))
    return {part: sorted_by_label(dataset) for part, dataset in parts.items()}


WRITERS = {"nmnist": _nmnist, "shd": _spikes("shd"), "ssc": _spikes("ssc"), "dvs-gesture": _gestures, "cifar10-dvs": _cifar,
           "n-caltech101": _caltech, "n-cars": _cars}


def zipped(folder: Path, archive: Path, within: str = "") -> None:
    """Pack what is in the folder, or that file, below the folder `within` of the archive."""
    archive.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        for path in [folder] if folder.is_file() else sorted(p for p in folder.rglob("*") if p.is_file()):
            file.write(path, Path(within) / (path.name if folder.is_file() else path.relative_to(folder)))


def tarred(folder: Path, archive: Path, within: str) -> None:
    archive.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(archive, "w:gz") as file:
        file.add(folder, within)
