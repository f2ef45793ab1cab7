"""HDF5, AEDAT 4, NumPy's files and lines of text: what is told apart, refused, left out. (What is read: test_formats.)"""

import io
import re
import warnings
from pathlib import Path

import h5py
import numpy as np
import pytest
from typer.testing import CliRunner

from snnsim import datasets
from snnsim.cli import app
from snnsim.datasets import Sensor, read, recordings
from tests import event_encoders as plain
from tests.event_files import columns, files, in_hdf5, in_numpy, in_text, table

REAL = Path(__file__).parents[2] / "shared" / "data"
GOOD = [(1000, 1, 1, 1), (1001, 2, 2, 0), (1002, 3, 3, 1), (1003, 4, 4, 0), (1004, 5, 5, 1)]


def shd(lengths=(5, 0, 7), labels=(2, 0, 2), **more):
    rng = np.random.default_rng(0)
    return {"spikes/times": [np.sort(rng.random(n)).astype(np.float16) for n in lengths],
            "spikes/units": [rng.integers(0, 700, n).astype(np.uint16) for n in lengths], "labels": np.array(labels)} | more


def dsec(events=GOOD, **more):
    return {f"events/{n}": c for n, c in columns(events).items()} | more


@pytest.fixture
def written(tmp_path):
    def write(data, name="a"):
        path = tmp_path / name
        path.write_bytes(data)
        return path

    return write


# ------ HDF5


def test_a_file_of_many_recordings(written):
    held = shd()
    path = written(in_hdf5(held | {"extra/keys": np.array([b"null", b"eins", b"zwei"])}), "shd.h5")
    sentence = "holds 3 recordings: recording=0 to 2 reads one, datasets.recordings all, as a data set"
    with pytest.raises(ValueError, match=re.escape(sentence)):
        read(path)
    with pytest.raises(ValueError, match=r"recording must be from 0 to 2 in .*shd.h5, got 3"):
        read(path, recording=3)
    every = recordings(path)
    assert (len(every), every.classes, every.labels.tolist()) == (3, ("null", "eins", "zwei"), [2, 0, 2])
    assert every.sensor == Sensor(1, 700, 1)
    for i, (times, units) in enumerate(zip(held["spikes/times"], held["spikes/units"], strict=True)):
        found = read(path, recording=i)
        assert found.label == held["labels"][i]
        assert found.events["t"].tolist() == [round(float(t) * 1e6) for t in times]
        assert found.events["x"].tolist() == units.tolist()
        assert not found.events["y"].any() and not found.events["p"].any()
        np.testing.assert_array_equal(every[i].events, found.events)
        assert every[i].source == f"{path}, recording {i}"
    info = datasets.info(path)
    assert (info.recordings, info.format, info.about["layout"]) == (3, "hdf5", "SHD")
    assert recordings(written(in_hdf5(shd()), "b.h5")).classes == ("0", "1", "2")


def test_a_file_of_one_recording_is_a_set_of_one(written):
    one = recordings(written(in_hdf5(dsec())))
    assert (len(one), one.classes, one.labels.tolist(), one[0].source) == (1, ("?",), [0], "a")
    assert one[0].events.tolist() == GOOD
    with pytest.raises(ValueError, match="recording must be 0 in"):
        read(io.BytesIO(in_text(GOOD)), recording=1)


def linked(make):
    """The bytes of an HDF5 file that is made by hand."""
    with h5py.File("held", "w", driver="core", backing_store=False) as file:
        make(file)
        file.flush()
        return file.id.get_file_image()


def outside(file):
    file["events"] = h5py.ExternalLink("/etc/hostname", "/events")


def soft(file):
    file["other"] = np.zeros(3, "u2")
    for name in "txyp":
        file[f"events/{name}"] = h5py.SoftLink("/other")


def virtual(file):
    layout = h5py.VirtualLayout((5,), "u2")
    layout[:] = h5py.VirtualSource("other.h5", "x", (5,))
    for name in "txyp":
        file.create_virtual_dataset(f"events/{name}", layout)


def external(file):
    for name in "txyp":
        file.create_dataset(f"events/{name}", (5,), "u2", external=[("/etc/hostname", 0, 10)])


def endless(file):
    for name in "txyp":
        file.create_dataset(f"events/{name}", (2**60,), "u2", chunks=(1000,))


def coded(code):
    def make(file):
        for name in "txyp":
            plan = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
            plan.set_chunk((5,))
            plan.set_filter(code, h5py.h5z.FLAG_OPTIONAL, (1,))
            space = h5py.h5s.create_simple((5,))
            group = file.require_group("events")
            h5py.h5d.create(group.id, name.encode(), h5py.h5t.NATIVE_UINT16, space, plan)
    return make


@pytest.mark.parametrize(("data", "sentence"), [
    (b"\x89HDF\r\n\x1a\n" + bytes(100), "it is no HDF5 file, or it is damaged: "),
    (in_hdf5({"a": np.zeros(2), "b": np.zeros(3)}), "times and units (SHD), nor a table of events; at its top stands a, b"),
    (in_hdf5({"events": np.zeros((4, 3))}), "/events must be one row of events, has shape (4, 3)"),
    (in_hdf5({"events": np.zeros(4)}), "events must have the fields x, y, p and t, or four columns, has float64"),
    (in_hdf5({"CD/events": table(GOOD)[["x", "y", "t"]]}), "CD/events must have the fields x, y, p and t, has x, y, t"),
    (in_hdf5(dsec() | {"events/t": np.zeros(5)}), "events: t must hold whole numbers, holds float64"),
    (in_hdf5(dsec() | {"events/t": np.zeros(4, int)}), "events has columns of several lengths: t 4, x 5, y 5, p 5"),
    (in_hdf5(dsec(t_offset=np.int64(-1))), "t_offset must be a time from 0 to 2^62 µs, is -1"),
    (in_hdf5(shd((3, 3), (0, 1, 1))), "labels and extra/speaker must have one row for each recording, have 2, 2, 3"),
    (in_hdf5(shd() | {"spikes/units": np.zeros(3, int)}), "units must hold rows of whole numbers of any length, holds int64"),
    (in_hdf5({n: v for n, v in shd((), ()).items() if n == "labels"}), "at its top stands labels"),
    (linked(outside), "no layout of events that is known here"), (linked(soft), "no layout of events that is known here"),
    (linked(virtual), "/events/t points outside the file: it is not read"),
    (linked(external), "/events/t points outside the file: it is not read"),
    (linked(endless), f"/events/t claims {2**60} rows, and a file of this size holds at most 5162220"),
    (linked(coded(0x8ECF)), "/events/t is compressed with ECF, which is not installed: it is Prophesee's (hdf5_ecf"),
    (linked(coded(4242)), "/events/t is compressed with filter 4242 (), which is not installed"),
])
def test_hdf5_that_is_refused(data, sentence):
    with pytest.raises(ValueError, match=re.escape(sentence)) as caught:
        read(io.BytesIO(data))
    assert str(caught.value).startswith("<BytesIO>: ")


@pytest.mark.slow
def test_codecs_of_the_extra_are_found():
    pytest.importorskip("hdf5plugin")
    import hdf5plugin

    with h5py.File("held", "w", driver="core", backing_store=False) as file:
        for name, column in columns(GOOD).items():
            file.create_dataset(f"events/{name}", data=column, chunks=(5,), **hdf5plugin.Blosc())
        file.flush()
        data = file.id.get_file_image()
    assert read(io.BytesIO(data)).events.tolist() == GOOD


def test_a_damaged_chunk_is_a_fault_of_its_rows():
    first = 2**16 // 4375 * 4375  # rows that are read at once: whole chunks
    events = np.zeros(140_000, [("x", "<u2"), ("y", "<u2"), ("p", "<i2"), ("t", "<i8")])
    events["t"] = np.arange(len(events))
    data = in_hdf5({"CD/events": events})
    with h5py.File(io.BytesIO(data)) as file:
        chunk = file["CD/events"].id.get_chunk_info(20)  # of 1/32 of the rows each
    data = data[:chunk.byte_offset] + bytes(chunk.size) + data[chunk.byte_offset + chunk.size:]
    sentence = f"<BytesIO>: rows {first} to {2 * first - 1} of CD/events cannot be read: "
    with pytest.raises(ValueError, match=sentence):
        read(io.BytesIO(data))
    with pytest.warns(UserWarning, match=f"read only as far as the first fault: rows {first}"):
        assert read(io.BytesIO(data), on_error="truncate").events["t"].tolist() == list(range(first))
    with pytest.warns(UserWarning, match=f"faulty records left out: 1; the first: rows {first}"):
        assert read(io.BytesIO(data), on_error="skip").events["t"].tolist() == [*range(first), *range(2 * first, 140_000)]


# ------ faults of rows and lines, policies


BAD = [GOOD[0], (1001, 120, 2, 0), GOOD[2], (900, 4, 4, 0), GOOD[4]]


@pytest.mark.parametrize(("data", "place"), [
    (in_hdf5(dsec(BAD)), "row 1 of events"), (in_hdf5({"CD/events": table(BAD)}), "row 1 of CD/events"),
    (plain.aedat4_file(BAD, 100, 100), "row 1 of the event stream"), (in_numpy(table(BAD)), "row 1 of the array"),
    (in_numpy(columns(BAD)), "row 1 of its arrays"), (in_numpy({"a": table(BAD)}), "row 1 of array a"),
    (in_text(BAD), "byte 11"), (in_text(BAD, "xypt", "  ", "# X Y pol time\n"), "byte 29")],
    ids=["dsec", "prophesee", "aedat4", "npy", "npz", "npz-table", "csv", "csv-named"])
def test_what_is_done_about_faults(data, place):
    def found(**options):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return read(io.BytesIO(data), sensor=Sensor(100, 100), **options).events.tolist()

    with pytest.raises(ValueError, match=rf"^<BytesIO>: event 1 at {place} has x = 120, y = 2: outside the 100 x 100 sensor; "):
        found()
    assert found(on_error="truncate") == GOOD[:1]
    assert found(on_error="skip") == [GOOD[0], GOOD[2], GOOD[4]]
    assert found(on_error="skip", order="sort") == [(900, 4, 4, 0), GOOD[0], GOOD[2], GOOD[4]]
    with pytest.raises(ValueError, match=r"event 3 at .* has t = 900 after 1002: times run backwards; .*order='drop'"):
        read(io.BytesIO(data), sensor=Sensor(100, 128))
    assert read(io.BytesIO(data), sensor=Sensor(100, 128), order="drop").events.tolist() == [*BAD[:3], BAD[4]]


@pytest.mark.parametrize("make", [lambda e: in_hdf5(dsec(e)), lambda e: in_numpy(columns(e)), in_text])
def test_polarities_and_negative_times(make):
    signed = [(t, x, y, 2 * p - 1) for t, x, y, p in GOOD]
    assert read(io.BytesIO(make(signed))).events.tolist() == GOOD
    with pytest.raises(ValueError, match="event 1 at .*polarity is (0 or -1 for OFF, 1 or True|0 or -1 for OFF|none of 0, -1)"):
        read(io.BytesIO(make([GOOD[0], (1001, 2, 2, 2)])))
    with pytest.raises(ValueError, match="event 0 at .*(times must not be negative|its time is negative)"):
        read(io.BytesIO(make([(-5, 2, 2, 1)])), order="sort")
    with pytest.raises(ValueError, match="event 0 at .*(has x = -1, y = 2: outside|has x or y below 0)"):
        read(io.BytesIO(make([(5, -1, 2, 1)])))


# ------ NumPy


class Harmful:
    def __reduce__(self):
        return print, ("harm",)


def header(text, body=b""):
    text = text.encode()
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + body


@pytest.mark.parametrize(("data", "sentence"), [
    (in_numpy(np.array([Harmful()], object)), "the array holds objects, which would run code: it is not read"),
    (in_numpy(columns(GOOD) | {"z": np.array([Harmful()], object)}), "z holds objects, which would run code"),
    (in_numpy(np.zeros((4, 3))), "must be a table with the fields t, x, y, p, or a matrix of four columns, is float64"),
    (in_numpy(table(GOOD)[["x", "y", "t"]]), "the array must have the fields t, x, y and p, has x, y, t"),
    (in_numpy(np.zeros(3, [("t", "U3"), ("x", "i4"), ("y", "i4"), ("p", "i4")])), "t must hold numbers, holds <U3"),
    (in_numpy({"a": np.zeros(3)}), "events were expected as arrays t, x, y and p, or as one table or matrix"),
    (in_numpy({"a": table(GOOD), "b": table(GOOD)}), "found a [('x', '<u2')"),
    (in_numpy(columns(GOOD) | {"t": np.zeros(4, int)}), "the arrays must be equally long: t has 4"),
    (in_numpy({n: np.zeros(10**7, "u1") for n in "txyp"}), "t claims 10000000 rows, and a file of this size holds at most"),
    (header("{'descr': '<i8', 'fortran_order': False, 'shape': (-1, 4), }\n"), "has shape (-1, 4) and 8 bytes a row"),
    (header("{'descr': '<i8', 'fortran_order': False, 'shape': 3 + "), "the header of the array is damaged"),
    (b"PK\x05\x06" + bytes(18), "found nothing"), (b"PK\x03\x04", "File is not a zip file"),
    (in_numpy(table(GOOD))[:-3], "the file ends at row 4 of 5: it is cut off"),
    (header("{'descr': '<i8', 'fortran_order': False, 'shape': (1000000000000, 4), }\n"), "ends at row 0 of 1000000000000"),
    (header("{'descr': '<i8', 'fortran_order': True, 'shape': (1000000000000, 4), }\n"), "ends at row 0 of 1000000000000"),
])
def test_arrays_that_are_refused(data, sentence):
    with pytest.raises(ValueError, match=re.escape(sentence)) as caught:
        read(io.BytesIO(data))
    assert str(caught.value).startswith("<BytesIO>: ")


@pytest.mark.parametrize(("name", "unit"), [("t", 1), ("t_us", 1), ("timestamp_ns", 1000), ("time [ms]", 1e-3), ("ts_s", 1e-6)])
def test_units_of_times(name, unit):
    times = np.array([2_000_000, 4_000_000])
    held = {name: (times * unit).astype(np.int64), "x": [0, 1], "y": [0, 1], "on": [True, False]}
    assert read(io.BytesIO(in_numpy(held))).events.tolist() == [(2_000_000, 0, 0, 1), (4_000_000, 1, 1, 0)]
    text = f"{name.replace(' ', '')},x,y,on\n" + "".join(f"{int(t * unit)},{i},{i},{not i}\n" for i, t in enumerate(times))
    assert read(io.BytesIO(text.encode())).events.tolist() == [(2_000_000, 0, 0, 1), (4_000_000, 1, 1, 0)]


def test_times_of_floats():
    held = columns(GOOD)
    for times in (held["t"].astype(float), held["t"] / 1e6, (held["t"] / 1e6).astype(np.longdouble)):
        assert read(io.BytesIO(in_numpy(held | {"t": times}))).events.tolist() == GOOD
    with pytest.raises(ValueError, match="event 4 at row 4 of its arrays has t = -1"):
        read(io.BytesIO(in_numpy(held | {"t": np.where(held["t"] > 1003, np.nan, held["t"])})))
    with pytest.raises(ValueError, match="event 2 at row 2 of its arrays has x = -1"):
        read(io.BytesIO(in_numpy(held | {"x": np.array([0, 1, 1.5, 2, 3])})))


# ------ lines


@pytest.mark.parametrize(("text", "events"), [
    ("1.5e-3 3 4 1\n2e-3 3 4 0\n", [(1500, 3, 4, 1), (2000, 3, 4, 0)]),
    ("1.000000000000000000e+03 3.0e+00 4.000e+00 1.0e+00\n", [(1000, 3, 4, 1)]),  # np.savetxt
    ("0.0000014999,0,0,1\n0.0000015,0,0,1", [(1, 0, 0, 1), (2, 0, 0, 1)]),
    ("# t x y p\n\n5 0 0 1\n# more\n6 0 0 0\n", [(5, 0, 0, 1), (6, 0, 0, 0)]),
    ("\ufefft;x;y;p;note\n5;0;0;1;words\n", [(5, 0, 0, 1)]),
    ("t,x,y,p\n", []), ("t,x,y,p", []),
    ("9007199254740993,1,2,1\n", [(2**53 + 1, 1, 2, 1)]), ("+5,+1,2,-1\n", [(5, 1, 2, 0)]),
])
def test_lines(text, events):
    assert read(io.BytesIO(text.encode())).events.tolist() == events


@pytest.mark.parametrize(("text", "sentence"), [
    ("1,2,3,1\n2,2,3\n", "event 1 at byte 8: its line has more or fewer fields than the first"),
    ("1,2,3,1\n2,a,3,1\n", "event 1 at byte 8: a field is no number, or x, y or p no whole one"),
    ("1,2,3,1\n2,2.5,3,1\n", "event 1 at byte 8: a field is no number, or x, y or p no whole one"),
    ("1,2,3,1\n2e400,2,3,1\n", "event 1 at byte 8: a field is no number"),
    ("1,2,3,1\n2,70000,3,1\n", "event 1 at byte 8: it has x or y below 0 or beyond 65535"),
    ("1,2,3\n", "is no event file that is known here"), ("a,b,c,d\n1,2,3,4\n", "is no event file that is known here"),
    ("t,t,x,y,p\n1,2,3,4,1\n", "is no event file that is known here"),
])
def test_lines_that_are_refused(text, sentence):
    with pytest.raises(ValueError, match=re.escape(sentence)):
        read(io.BytesIO(text.encode()))


# ------ AEDAT 4, N-CARS, folders, the command line


@pytest.mark.skipif(not REAL.is_dir(), reason=f"there are no real recordings in {REAL}")
@pytest.mark.parametrize(("name", "count", "sensor"), [
    ("io_test_files_test-minimal", 255_283, Sensor(480, 640)), ("io_test_files_sample_data", 9_193, Sensor(260, 346)),
    ("data_sample_data", 9_408, Sensor(480, 640))])
def test_real_aedat4(name, count, sensor):
    [path] = (REAL / "recordings" / "aedat4").glob(f"*tests_{name}.aedat4")
    found = read(path)
    assert (len(found), found.sensor) == (count, sensor)
    datasets.validate(found.events, found.sensor)


def test_streams_of_aedat4_are_recordings(written):
    events = [(2**50 + i, i % 100, 3, i % 2) for i in range(400)]
    path = written(plain.aedat4_file(events, 100, 50, streams=2))
    with pytest.raises(ValueError, match="holds 2 recordings: recording=0 to 1 reads one"):
        read(path)
    pair = recordings(path)
    assert (len(pair), pair.sensor, pair.classes) == (2, Sensor(50, 100), ("?",))
    assert pair[0].events.tolist() == events[:100] + events[200:300]
    assert pair[1].events.tolist() == events[100:200] + events[300:]


def test_n_cars_is_dat_of_type_0(written):
    """As its files begin: no size of the sensor, type 0, polarities 0 and 1 in the top bits."""
    data = b"% Data file containing TD events.\n% Version 2\n% Date 2017-03-20 10:00:00\n" + plain.dat_file(GOOD, kind=0)[-42:]
    found = read(written(data, "obj_000001_td.dat"), sensor=Sensor(100, 120))
    assert found.events.tolist() == GOOD
    assert datasets.info(written(data)).about["Version"] == "2"


def test_a_folder_with_labels(tmp_path):
    for name in ("one", "two", "three"):
        datasets.write(tmp_path / f"{name}.es", datasets.make_events(*zip(*GOOD, strict=True)), Sensor(10, 12))
    table = tmp_path / "labels.csv"
    table.write_text("name,file,label\nwave,two.es,7\n,one.es,3\nwave,three.es,7\n")
    found = recordings(tmp_path)
    assert (found.classes, found.labels.tolist(), found.sensor) == (("3", "wave"), [1, 0, 1], Sensor(10, 12))
    assert found[0].events.tolist() == GOOD and found[0].source == str(tmp_path / "two.es")
    assert CliRunner().invoke(app, ["data", "check", str(tmp_path)]).exit_code == 0
    for text, sentence in (("file,label\n../a.es,1\n", "names '../a.es', which is no file in this folder"),
                           ("file,label\none.es,x\n", "line 2 must give a file and a whole number as its label"),
                           ("file,label\n", "names no recording")):
        table.write_text(text)
        with pytest.raises(ValueError, match=re.escape(sentence)):
            recordings(tmp_path)
    table.unlink()
    with pytest.raises(ValueError, match="is a folder without labels.csv: give a file, or a data set's name"):
        recordings(tmp_path)


@pytest.mark.skipif(not REAL.is_dir(), reason=f"there are no real recordings in {REAL}")
def test_real_gestures():
    found = recordings(REAL / "dvsgesture10")
    assert (len(found), found.sensor, found.classes[:2]) == (10, Sensor(128, 128), ("hand_clapping", "right_hand_wave"))
    assert [len(found[i]) for i in (0, 9)] == [63_471, 85_936]


def test_any_format_is_packed_looked_at_and_converted(written, tmp_path):
    def run(*words):
        result = CliRunner().invoke(app, ["data", *map(str, words)])
        assert result.exit_code == 0, result.output
        return result.output

    path = written(in_hdf5(shd()), "shd.h5")
    assert re.search(r"recordings\s+3\b", run("info", path))
    assert re.search(r"events\s+7\b", run("info", path, "--recording", 2))
    assert "12 events; none faulty" in run("check", path)
    run("pack", path, tmp_path / "store")
    stored = datasets.open_store(tmp_path / "store")
    assert (stored.classes, stored.labels.tolist(), stored.sensor) == (("0", "1", "2"), [2, 0, 2], Sensor(1, 700, 1))
    np.testing.assert_array_equal(stored[2].events, read(path, recording=2).events)
    late = written(plain.aedat4_file([(t + 2**50, *v) for t, *v in GOOD], 100, 50))
    run("convert", late, tmp_path / "b.es", "--zero")
    assert read(tmp_path / "b.es").events["t"].tolist() == [0, 1, 2, 3, 4]
    for name in ("npz", "csv"):
        run("pack", written(files(20)[name][0], f"c.{name}"), tmp_path / name)
        assert datasets.open_store(tmp_path / name)[0].events.tolist() == files(20)[name][1]
