"""NIR files of other tools that are damaged, malformed or crafted: always a ValueError that names the file, never more."""

import itertools

import h5py
import numpy as np
import pytest

from snnsim.hardware import nir
from tests.test_nir import assert_same, refusal
from tests.test_nir_plain import chain_of, conv2d, lif, peer, pool, write


def foreign(path):
    """A file as the nir package writes it, without checksums: nested graphs, all kinds of nodes, compressed arrays."""
    n = 5
    loop = peer.NIRGraph({"input": peer.Input(np.array([n])), "lif": lif((n,)), "w_rec": peer.Linear(np.eye(n)),
                          "output": peer.Output(np.array([n]))},
                         [("input", "lif"), ("lif", "w_rec"), ("w_rec", "lif"), ("lif", "output")], type_check=False)
    return write(path, *chain_of(
        conv2d(np.ones((2, 1, 3, 3)), padding=1), lif((2, 4, 4)), pool(peer.AvgPool2d), peer.Flatten(np.array([2, 2, 2]), 0),
        peer.Scale(np.ones(8)), peer.Affine(np.ones((n, 8)), np.ones(n)), loop, peer.Delay(np.arange(n) * 1e-4),
        peer.Linear(np.ones((3, n))), lif((3,)), shape=(1, 4, 4)))


def read_or_refused(path):
    sentence = refusal(nir.read, path, dt=0.1)
    assert sentence is None or str(path) in sentence
    return sentence is None


@pytest.mark.parametrize("many", [80, pytest.param(600, marks=pytest.mark.slow)])
def test_any_damaged_byte_of_a_foreign_file_is_read_or_refused(tmp_path, many):
    path = foreign(tmp_path / "net.nir")
    assert read_or_refused(path)
    whole, refused = path.read_bytes(), 0
    rng = np.random.default_rng(3)
    for place in np.concatenate([rng.integers(0, 4000, many // 2), rng.integers(0, len(whole), many // 2)]):
        flipped = whole[place] ^ (1 << int(rng.integers(8))) if rng.random() < 0.5 else int(rng.integers(256))
        path.write_bytes(whole[:place] + bytes([flipped]) + whole[place + 1:])
        refused += not read_or_refused(path)
    assert refused > many // 15
    for length in range(0, len(whole), len(whole) // (many // 8)):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=r"net\.nir"):
            nir.read(path, dt=0.1)


def test_texts_that_libhdf5_would_read_for_ever_are_refused(tmp_path):
    """The free space of a heap of texts claims no bytes, so that walking the heap makes no way."""
    path = foreign(tmp_path / "net.nir")
    data = bytearray(path.read_bytes())
    start = data.index(b"GCOL\x01\x00\x00\x00")
    data[start + 16:start + 32] = bytes(16)
    path.write_bytes(data)
    with pytest.raises(ValueError, match=rf"net\.nir is damaged: its texts, at byte {start}, cannot be read"):
        nir.read(path, dt=0.1)


VALUES = (None, 3, -1.0, np.nan, "text", np.zeros(0), np.ones((2, 2)), np.ones((1, 1, 1, 1)), np.full(3, np.inf),
          np.array([2**62, 2**62]), np.array([-1, 5]), np.array([[1.5]]), np.ones(3, bool), 2**62, 1e300)


@pytest.mark.parametrize("every", [11, pytest.param(1, marks=pytest.mark.slow)])
def test_every_dataset_that_is_dropped_or_replaced_is_refused_or_read(tmp_path, every):
    path = foreign(tmp_path / "net.nir")
    whole, names = path.read_bytes(), []
    with h5py.File(path) as f:
        f.visititems(lambda name, item: names.append(name))
    changes = refused = 0
    for i, (name, value) in enumerate(itertools.product(names, VALUES)):
        if i % every == 0:
            path.write_bytes(whole)
            with h5py.File(path, "r+") as f:
                del f[name]
                if value is not None:
                    f[name] = value
            changes += 1
            refused += not read_or_refused(path)
    assert refused > 0.6 * changes


def test_versions_links_and_endless_nesting_are_refused(tmp_path):
    path = foreign(tmp_path / "net.nir")
    with h5py.File(path, "r+") as f:
        del f["version"]
    assert read_or_refused(path)  # of old tools
    for version in ("2.0", "x", "1.0/../.."):
        with h5py.File(path, "r+") as f:
            f.pop("version", None)
            f["version"] = version
        with pytest.raises(ValueError, match=r"net\.nir is a NIR file of version '.*'; snnsim reads 0 and 1, such as"):
            nir.read(path, dt=0.1)
    foreign(path)
    with h5py.File(path, "r+") as f:
        f["node/nodes/nirgraph/nodes/again"] = f["node/nodes/nirgraph"]
    with pytest.raises(ValueError, match=r"again/again' is nested deeper than 8 graphs"):
        nir.read(path, dt=0.1)
    foreign(path)
    with h5py.File(path, "r+") as f:
        f["node/nodes/more"] = h5py.ExternalLink("/etc/hostname", "/")
    with pytest.raises(ValueError, match=r"/node/nodes/more is a link, which is not followed"):
        nir.read(path, dt=0.1)
    foreign(path)
    with h5py.File(path, "r+") as f:
        f["node/edges"][-1] = ("linear_9", "lif_1")
    with pytest.raises(ValueError, match=r"the edge 'linear_9' -> 'lif_1' names node 'linear_9', which is missing"):
        nir.read(path, dt=0.1)


def test_files_are_closed_after_errors(tmp_path):
    """What could not be read can be written again, and deleted, at once."""
    path = foreign(tmp_path / "net.nir")
    with h5py.File(path, "r+") as f:
        del f["node/nodes/lif/tau"]
    with pytest.raises(ValueError, match=r"/node/nodes/lif/tau is missing"):
        nir.read(path, dt=0.1)
    with h5py.File(path, "w") as f:
        f["x"] = 1
    with pytest.raises(ValueError, match=r"is not a NIR file"):
        nir.read(path, dt=0.1)
    assert not list(h5py.h5f.get_obj_ids(types=h5py.h5f.OBJ_FILE))


@pytest.mark.parametrize("encoding", ["unit_r", "tau_over_dt"])
def test_card6_what_is_read_from_a_foreign_file_is_exported_to_the_same_bytes(tmp_path, encoding):
    network = nir.read(foreign(tmp_path / "net.nir"), dt=0.1)
    nir.export(network, tmp_path / "a.nir", encoding=encoding)
    again = nir.read(tmp_path / "a.nir")
    assert_same(network, again)
    nir.export(again, tmp_path / "b.nir", encoding=encoding)
    assert (tmp_path / "a.nir").read_bytes() == (tmp_path / "b.nir").read_bytes()
