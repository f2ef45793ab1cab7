"""Videos in files as frames and times, one frame at a time: a NumPy array, a GIF, a folder of pictures."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnsim.rule import finite

PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".pgm")
UNSAID = 100.0  # ms that a GIF's frame is shown where it says 0, as browsers do


@dataclass(frozen=True, eq=False)
class Video:
    """Frames [height, width] of uint8, uint16 or floats, read when they are asked for, and the time of each in ms."""

    frames: Any
    times: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.times)

    def __iter__(self) -> Iterator[NDArray[Any]]:
        return iter(self.frames)


def read_video(path: str | os.PathLike[str], fps: float | None = None) -> Video:
    """The video in a file: an array [T, height, width] in a .npy (memory-mapped), a .gif, or a folder of pictures in the order
    of their names. Colours become grey (ITU-R BT.601).

    fps: frames a second; a GIF has times of its own, which it overrides. Errors: FileNotFoundError; ImportError that says what
    to install, for pictures without Pillow; ValueError that names the file.
    """
    place = Path(path)
    if not place.exists():
        raise FileNotFoundError(f"there is no file or folder {place}")
    if fps is not None:
        finite("fps", fps, above=0.0)
    kind = "folder" if place.is_dir() else place.suffix.lower()
    if kind not in ("folder", ".npy", ".gif"):
        raise ValueError(f"{place} is no video that is read here: give a .npy of shape [T, height, width], a .gif, or a folder "
                         "of pictures")
    if kind == ".gif":
        return _gif(place, fps)
    if fps is None:
        raise ValueError(f"{place} does not say when its frames were taken: give fps")
    if kind == ".npy":
        frames: Any = _array(place)
    else:
        names = sorted(p for p in place.iterdir() if p.suffix.lower() in PICTURES)
        if not names:
            raise ValueError(f"{place} holds no picture: its files must end in {', '.join(PICTURES)}")
        frames = _Pictures(names)
    return Video(frames, _even(len(frames), fps))


def _even(frames: int, fps: float) -> NDArray[np.float64]:
    return np.arange(frames, dtype=np.float64) * (1000.0 / float(fps))


def _array(path: Path) -> Any:
    try:
        frames = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError, OSError) as e:
        raise ValueError(f"{path} is no NumPy array of numbers: {e}") from None
    if frames.ndim != 3:
        raise ValueError(f"{path} must be of shape [T, height, width], got {frames.shape}")
    return frames


def _gif(path: Path, fps: float | None) -> Video:
    with _opened(path) as picture:
        shown = []
        for n in range(getattr(picture, "n_frames", 1)):
            picture.seek(n)
            shown.append(float(picture.info.get("duration", 0)) or UNSAID)
    own = np.array([0.0, *np.cumsum(shown[:-1])], np.float64)
    return Video(_Gif(path), own if fps is None else _even(len(shown), fps))


@dataclass(frozen=True)
class _Gif:
    path: Path

    def __iter__(self) -> Iterator[NDArray[Any]]:
        with _opened(self.path) as picture:
            for n in range(getattr(picture, "n_frames", 1)):
                picture.seek(n)
                yield _grey(picture)


@dataclass(frozen=True)
class _Pictures:
    paths: list[Path]

    def __len__(self) -> int:
        return len(self.paths)

    def __iter__(self) -> Iterator[NDArray[Any]]:
        for path in self.paths:
            with _opened(path) as picture:
                yield _grey(picture)


def _opened(path: Path) -> Any:
    try:
        from PIL import Image
    except ImportError:
        raise ImportError('Pillow is missing: pip install "snnsim[plot]"') from None
    try:
        return Image.open(path)
    except OSError as e:
        raise ValueError(f"{path} is no picture: {e}") from None


def _grey(picture: Any) -> NDArray[Any]:
    deep = picture.mode.startswith("I;16")
    return np.asarray(picture, np.uint16) if deep else np.asarray(picture.convert("L"))
