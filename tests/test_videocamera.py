"""The simulated event camera that sees a video: closed forms of each thing that it models, and the files it sees."""

import math
import re
from itertools import pairwise

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from snnsim import datasets
from snnsim.cli.app import app
from snnsim.datasets import Camera, Sensor, VideoCamera, read_video, validate, videocamera

IDEAL = {"mismatch": 0.0, "refractory": 0.0, "leak": 0.0, "noise": 0.0, "floor": 0.1}


def ramp(slope, times, shape=(2, 3)):
    """Frames whose log(0.1 + value) rises by `slope` a ms, from the lowest value or to it."""
    level = math.log(0.1) + slope * np.asarray(times) - min(0.0, slope * times[-1])
    return np.broadcast_to((np.exp(level) - 0.1)[:, None, None], (len(times), *shape)).clip(0.0, 1.0)


@pytest.mark.parametrize("refractory", [0.0, 1.5])
@pytest.mark.parametrize("frames", [2, 37])
@pytest.mark.parametrize(("slope", "leak"), [(0.02, 0.0), (-0.02, 0.0), (0.02, 25.0), (-0.02, 25.0)])
def test_a_ramp_gives_events_at_known_times(slope, leak, frames, refractory):
    """ON each theta / (slope + theta leak), OFF each theta_off / (-slope - theta leak), and a blind time after each."""
    camera = VideoCamera(0.25, 0.31, **{**IDEAL, "refractory": refractory, "leak": leak})
    times = 7.0 + np.linspace(0.0, 110.0, frames)
    events = camera.record(ramp(slope, times - 7.0), times)
    rate = slope + 0.25 * leak / 1000.0
    period = (0.25 if rate > 0 else 0.31) / abs(rate)
    assert np.all(events["p"] == (rate > 0)) and len(events) > 6 * 3
    for y, x in np.ndindex(2, 3):
        mine = events[(events["x"] == x) & (events["y"] == y)]["t"]
        if not leak:  # the phase is drawn otherwise
            assert abs(mine[0] - 1000.0 * (7.0 + period)) <= 1.0
            assert len(mine) == math.floor((110.0 + refractory) / (period + refractory))
        np.testing.assert_allclose(np.diff(mine), 1000.0 * (period + refractory), atol=1.01)


def test_saccades_are_seen_as_the_camera_of_images_sees_them():
    """With neither leak nor noise both are one model, thresholds included."""
    image = np.random.default_rng(1).random((5, 6))
    still = Camera(Sensor(9, 11), 8.0, 4.0, threshold=0.2, mismatch=0.2, noise=0.0, seed=5)
    seen = VideoCamera(0.2, None, 0.2, still.refractory, 0.0, 0.0, still.floor, 5).record(*still.frames(image))
    expected = still.record(image)
    by_pixel = [e[np.lexsort((e["t"], e["x"], e["y"]))] for e in (seen, expected)]
    assert len(expected) > 1000
    for name in ("x", "y", "p"):
        np.testing.assert_array_equal(by_pixel[0][name], by_pixel[1][name])
    assert np.abs(by_pixel[0]["t"] - by_pixel[1]["t"]).max() <= 1


def test_mismatch_is_a_fixed_pattern_of_the_size_asked_for():
    """Thresholds as the events tell them: where the first one of a ramp comes."""
    camera = VideoCamera(**{**IDEAL, "mismatch": 0.15, "seed": 3})
    theta = []
    for slope in (0.004, -0.004):
        events = camera.record(ramp(slope, [0.0, 550.0], (50, 60)), [0.0, 550.0])
        first = np.full((50, 60), np.inf)
        np.minimum.at(first, (events["y"], events["x"]), events["t"])
        theta.append(first / 1000.0 * 0.004)
    for measured, set_to in zip(theta, camera.thresholds(50, 60), strict=True):
        np.testing.assert_allclose(measured, set_to, atol=1e-5)
        assert abs(measured.mean() / 0.2 - 1.0) < 4 * 0.15 / math.sqrt(3000)
        assert abs(measured.std() / 0.2 - 0.15) < 4 * 0.15 / math.sqrt(6000)
    assert abs(np.corrcoef(theta[0].ravel(), theta[1].ravel())[0, 1]) < 4 / math.sqrt(3000)
    assert np.min(VideoCamera(mismatch=2.0).thresholds(50, 60)) == pytest.approx(0.02)


@pytest.mark.parametrize("refractory", [0.0, 30.0])
def test_leak_is_on_events_at_its_rate(refractory):
    """One each 1 / leak + refractory, the same for every threshold; the first one anywhere in 1 / leak."""
    camera = VideoCamera(**{**IDEAL, "leak": 4.0, "mismatch": 0.3, "refractory": refractory})
    events = camera.record(np.full((3, 30, 30), 0.5), [0.0, 333.3, 3000.0])
    assert np.all(events["p"] == 1)
    order = np.lexsort((events["t"], events["x"], events["y"]))
    t, place = events["t"][order], (events["y"].astype(int) * 30 + events["x"])[order]
    same = place[1:] == place[:-1]
    np.testing.assert_allclose(np.diff(t)[same], 250_000.0 + 1000.0 * refractory, atol=1.01)
    first = t[np.concatenate([[True], ~same])]
    assert len(first) == 900 and first.max() <= 250_000
    assert abs(first.mean() - 125_000) < 4 * 250_000 / math.sqrt(12 * 900)


@pytest.mark.parametrize(("value", "refractory"), [(0.0, 0.0), (1.0, 0.0), (0.0, 100.0)])
def test_shot_noise_is_as_frequent_as_it_should_be(value, refractory):
    """A Poisson process of noise (1 - 3/4 value) a second, that a blind time follows: 1 / (1 / rate + refractory)."""
    camera = VideoCamera(**{**IDEAL, "noise": 5.0, "refractory": refractory})
    events = camera.record(np.full((4, 40, 50), value), [0.0, 1.0, 500.0, 4000.0])
    rate = 5.0 * (1.0 - 0.75 * value)
    expected = 4.0 * 2000 / (1.0 / rate + refractory / 1000.0)
    assert abs(len(events) - expected) < 4 * math.sqrt(expected) + 2000 * refractory / 1000.0  # the first wait is short of it
    assert abs(events["p"].mean() - 0.5) < 2 / math.sqrt(expected)
    counts = np.bincount(events["y"].astype(int) * 50 + events["x"], minlength=2000)
    if not refractory:
        assert abs(counts.var() / counts.mean() - 1.0) < 4 * math.sqrt(2 / 2000)


def busy(seed=0):
    """A video of waves, with a frame each 3 ms."""
    y, x, k = np.ogrid[:12, :17, :40]
    return np.moveaxis(0.5 + 0.5 * np.sin(0.6 * x + 0.3 * y - 0.4 * k), 2, 0), 3.0 * np.arange(40.0)


@pytest.mark.parametrize("refractory", [0.0, 0.7, 5.0])
def test_no_two_events_of_a_pixel_are_closer_than_the_blind_time(refractory):
    events = VideoCamera(0.1, None, 0.2, refractory, 20.0, 50.0).record(*busy())
    validate(events, Sensor(12, 17))
    order = np.lexsort((events["t"], events["x"], events["y"]))
    t, place = events["t"][order], (events["y"].astype(int) * 17 + events["x"])[order]
    gaps = np.diff(t)[place[1:] == place[:-1]]
    assert len(gaps) > 2000 and gaps.min() > 1000.0 * refractory - 1.0
    assert gaps.min() < 1000.0 * refractory + 1000.0


def test_a_stream_is_the_recording_and_chance_is_the_seed_and_the_sample(monkeypatch):
    frames, times = busy()
    camera = VideoCamera(leak=5.0, noise=20.0, seed=4)
    whole = camera.record(frames, times, sample=2)
    parts = list(camera.stream((f for f in frames), iter(times), sample=2))
    assert len(parts) == 39 and np.concatenate(parts).tobytes() == whole.tobytes()
    assert all(a["t"][-1] <= b["t"][0] for a, b in pairwise(parts) if len(a) and len(b))
    others = (camera.record(frames, times), VideoCamera(leak=5.0, noise=20.0).record(frames, times, sample=2))
    assert len({whole.tobytes(), *(e.tobytes() for e in others)}) == 3
    real = videocamera._Pixels.__init__

    def cramped(self, *arguments):
        real(self, *arguments)
        self.keys = self.keys[:3]

    monkeypatch.setattr(videocamera._Pixels, "__init__", cramped)
    assert camera.record(frames, times, sample=2).tobytes() == whole.tobytes()


def test_whole_numbers_are_shares_of_their_largest():
    frames, times = busy()
    for dtype in (np.uint8, np.uint16):
        whole = np.round(frames * np.iinfo(dtype).max).astype(dtype)
        camera = VideoCamera()
        assert camera.record(whole, times).tobytes() == camera.record(whole / np.iinfo(dtype).max, times).tobytes()


@pytest.mark.parametrize(("call", "sentence"), [
    (lambda: VideoCamera(threshold=0.0), "threshold must be at least 0.01, got 0.0"),
    (lambda: VideoCamera(threshold_off=0.0), "threshold_off must be at least 0.01, got 0.0"),
    (lambda: VideoCamera(floor=0.0), "floor must be above 0, got 0.0"),
    (lambda: VideoCamera(leak=-1.0), "leak must be at least 0, got -1.0"),
    (lambda: VideoCamera(noise=2e6), "noise must be at most 1e+06 a second, got 2e+06"),
    (lambda: VideoCamera(seed=-1), "seed must be a whole number from 0, got -1"),
    (lambda: VideoCamera().record(np.zeros((1, 2, 2)), [0.0]), "frames must be at least two: events lie between them"),
    (lambda: VideoCamera().record(np.zeros((2, 2, 2)), [0.0]), "times must give one for each of the 2 frames, got 1"),
    (lambda: VideoCamera().record(np.zeros((2, 2, 2)), iter([0.0])), "times must give one for each frame, there are only 1"),
    (lambda: VideoCamera().record([np.zeros((2, 2)), np.zeros((2, 3))], [0.0, 1.0]),
     "frame 1 must be of the shape of frame 0, (2, 2), got (2, 3)"),
    (lambda: VideoCamera().record(np.zeros((2, 2, 2)), [5.0, 5.0]),
     "the time of frame 1 must be from 0.001 to 2e+06 ms after that of frame 0, 5 ms, got 5"),
    (lambda: VideoCamera().record(np.full((2, 2, 2), 1.5), [0.0, 1.0]),
     "frame 0 must be [height, width] with values from 0 to 1, or unsigned whole numbers, got float64 of shape (2, 2) from 1.5 "
     "to 1.5"),
    (lambda: VideoCamera().record(np.zeros((2, 2, 2, 3)), [0.0, 1.0]),
     "frame 0 must be [height, width] with values from 0 to 1, or unsigned whole numbers, got float64 of shape (2, 2, 3) from "
     "0 to 0"),
])
def test_what_is_wrong_is_named(call, sentence):
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        call()


@pytest.fixture
def files(tmp_path):
    """The same 5 frames as an array, a GIF (20 ms, then 50 ms each) and a folder of pictures."""
    frames = (np.arange(5)[:, None, None] * 40 + np.arange(24).reshape(4, 6)).astype(np.uint8)
    np.save(tmp_path / "a.npy", frames)
    pictures = [Image.fromarray(f) for f in frames]
    pictures[0].save(tmp_path / "a.gif", save_all=True, append_images=pictures[1:], duration=[20, 50, 50, 50, 50])
    (tmp_path / "a").mkdir()
    for n, picture in enumerate(pictures):
        picture.save(tmp_path / "a" / f"{n:03d}.png")
    (tmp_path / "a" / "notes.txt").write_text("no picture")
    return tmp_path, frames


def test_videos_in_files(files):
    folder, frames = files
    for name, fps, times in (("a.npy", 50.0, [0, 20, 40, 60, 80]), ("a", 25.0, [0, 40, 80, 120, 160]),
                             ("a.gif", None, [0, 20, 70, 120, 170]), ("a.gif", 100.0, [0, 10, 20, 30, 40])):
        seen = read_video(folder / name, fps)
        np.testing.assert_array_equal(np.array(list(seen)), frames)
        np.testing.assert_allclose(seen.times, times)
        assert len(seen) == 5
    deep = Image.fromarray(np.full((2, 3), 40_000, np.uint16))
    (folder / "b").mkdir()
    deep.save(folder / "b" / "0.png")
    (only,) = read_video(folder / "b", 1.0)
    assert only.dtype == np.uint16 and np.all(only == 40_000)


def test_what_is_no_video_is_named(files):
    folder, _ = files
    np.save(folder / "flat.npy", np.zeros((3, 3)))
    (folder / "broken.npy").write_bytes(b"nothing")
    (folder / "broken.gif").write_bytes(b"nothing")
    (folder / "empty").mkdir()
    for name, fps, sentence in (
            ("a.npy", None, "a.npy does not say when its frames were taken: give fps"),
            ("a.npy", 0.0, "fps must be above 0, got 0.0"),
            ("flat.npy", 1.0, "flat.npy must be of shape [T, height, width], got (3, 3)"),
            ("broken.npy", 1.0, "broken.npy is no NumPy array of numbers: "),
            ("broken.gif", None, "broken.gif is no picture: "),
            ("empty", 1.0, "empty holds no picture: its files must end in .png, "),
            ("a/notes.txt", 1.0, "notes.txt is no video that is read here: give a .npy of shape")):
        with pytest.raises(ValueError, match=re.escape(sentence)):
            read_video(folder / name, fps)
    with pytest.raises(FileNotFoundError, match="there is no file or folder"):
        read_video(folder / "c.npy", 1.0)


def test_the_command_writes_what_the_camera_sees(files):
    folder, frames = files
    command = ["data", "camera", str(folder / "a.gif"), str(folder / "a.es")]
    said = CliRunner().invoke(app, [*command, "--leak", "0", "--noise", "3"])
    assert said.exit_code == 0 and "of 5 frames, 6 x 4 pixels, 170 ms" in said.output
    expected = VideoCamera(leak=0.0, noise=3.0).record(frames, [0, 20, 70, 120, 170])
    np.testing.assert_array_equal(datasets.read(folder / "a.es").events, expected)
    again = CliRunner().invoke(app, command)
    assert again.exit_code == 1 and "a.es exists already" in again.output
