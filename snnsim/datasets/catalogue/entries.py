"""What is known of each data set. Nothing here is guessed: what is not known for sure is left out, and said to be unknown.

Counts, names and checksums: the sets' own pages and papers; tonic 1.7 (for N-CARS an older one) and SpikingJelly 2.0, which
know these archives.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from snnsim.datasets.catalogue import folders, spikes, trials
from snnsim.datasets.catalogue.archives import stem
from snnsim.datasets.dataset import EventDataset
from snnsim.datasets.events import Sensor
from snnsim.datasets.nmnist import nmnist

Parts = dict[str, EventDataset]
DIGITS = tuple("0123456789")


@dataclass(frozen=True)
class Archive:
    """A file to download. md5: empty where it is not known. of: whose file it is, where it is not the authors'.

    to: what it becomes, where that is not its name without the ending. inner: it lies in another one.
    """

    name: str
    md5: str = ""
    of: str = ""
    to: str = ""
    inner: bool = False

    @property
    def target(self) -> str:
        return self.to or stem(self.name)


@dataclass(frozen=True)
class Layout:
    """One way in which the files may lie. places: folders below the one that is given; marks: what must be in one of them.

    counts: recordings of each part. open(folder, name): the parts.
    """

    places: tuple[str, ...]
    marks: tuple[str, ...]
    counts: Mapping[str, int]
    open: Callable[[Path, str], Parts]
    of: str = ""


@dataclass(frozen=True)
class Entry:
    """A data set. classes, sensor: as it is loaded. events, duration: of a typical recording, roughly; duration in ms.

    page: where it is downloaded. licence, size: empty where they are not known. note: what else one should know.
    needs: what to put where. made: the parts of a set that is made, not read.
    """

    name: str
    title: str
    sensor: Sensor
    classes: tuple[str, ...]
    events: int
    duration: float
    page: str = ""
    licence: str = ""
    citation: str = ""
    size: str = ""
    archives: tuple[Archive, ...] = ()
    layouts: tuple[Layout, ...] = ()
    note: str = ""
    needs: str = "them into the folder, packed or unpacked"
    made: Mapping[str, int] = field(default_factory=dict)

    @property
    def counts(self) -> Mapping[str, int]:
        """Recordings of each part, as released; empty where that is not known."""
        return self.layouts[0].counts if self.layouts else self.made

    def wanted(self) -> str:
        """What to download, from where, and where to put it."""
        names = ", ".join(a.name for a in self.archives if not a.of and not a.inner) or self.title
        return (f"download {names} (size {self.size or 'unknown'}; licence {self.licence or 'not known here, see the page'}) "
                f"from {self.page} and put {self.needs}")


def _nmnist(folder: Path, name: str) -> Parts:
    return dict(zip(("train", "test"), nmnist(folder), strict=True))


def _shd(folder: Path, name: str) -> Parts:
    return {part: spikes.spike_set(folder / f"{name}_{part}.h5", f"{name}-{part}") for part in ("train", "test")}


def _ssc(folder: Path, name: str) -> Parts:
    return {part: spikes.spike_set(folder / f"{name}_{part}.h5", f"{name}-{part}") for part in ("train", "valid", "test")}


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


CRAMER = ("Cramer, Stradmann, Schemmel, Zenke: The Heidelberg spiking data sets for the systematic evaluation of spiking "
          "neural networks. IEEE Transactions on Neural Networks and Learning Systems 33, 2744-2757 (2022)")
ORCHARD = ("Orchard, Jayawant, Cohen, Thakor: Converting static image datasets to spiking neuromorphic datasets using "
           "saccades. Frontiers in Neuroscience 9:437 (2015)")
SPOKEN = _words("""
    zero one two three four five six seven eight nine null eins zwei drei vier fuenf sechs sieben acht neun
""")
WORDS = _words("""
    backward bed bird cat dog down eight five follow forward four go happy house learn left marvin nine no off on one
    right seven sheila six stop three tree two up visual wow yes zero
""")
CALTECH = _words("""
    BACKGROUND_Google Faces_easy Leopards Motorbikes accordion airplanes anchor ant barrel bass beaver binocular bonsai
    brain brontosaurus buddha butterfly camera cannon car_side ceiling_fan cellphone chair chandelier cougar_body
    cougar_face crab crayfish crocodile crocodile_head cup dalmatian dollar_bill dolphin dragonfly electric_guitar
    elephant emu euphonium ewer ferry flamingo flamingo_head garfield gerenuk gramophone grand_piano hawksbill headphone
    hedgehog helicopter ibis inline_skate joshua_tree kangaroo ketch lamp laptop llama lobster lotus mandolin mayfly
    menorah metronome minaret nautilus octopus okapi pagoda panda pigeon pizza platypus pyramid revolver rhino rooster
    saxophone schooner scissors scorpion sea_horse snoopy soccer_ball stapler starfish stegosaurus stop_sign strawberry
    sunflower tick trilobite umbrella watch water_lilly wheelchair wild_cat windsor_chair wrench yin_yang
""")
HEIDELBERG = "https://zenkelab.org/resources/spiking-heidelberg-datasets-shd/"

ENTRIES = {e.name: e for e in (
    Entry("digits-events", "scikit-learn's digits, simulated camera", Sensor(34, 34), DIGITS, 2_400, 300.0,
          citation="Alpaydin, Kaynak: Optical recognition of handwritten digits. UCI (1998)",
          note="simulated when it is loaded; needs no files", made={"train": 1437, "test": 360}),
    Entry("nmnist", "N-MNIST", Sensor(34, 34), DIGITS, 4_100, 300.0,
          "https://www.garrickorchard.com/datasets/n-mnist", "CC BY-SA 4.0", ORCHARD,
          archives=(Archive("Train.zip", "20959b8e626244a1b502305a9e6e2031"),
                    Archive("Test.zip", "69ca8762b2fe404d9b9bad1103e97832")),
          layouts=(Layout(("", "NMNIST"), ("Train", "Test"), {"train": 60_000, "test": 10_000}, _nmnist),)),
    Entry("shd", "Spiking Heidelberg Digits", spikes.SENSOR, SPOKEN, 8_000, 1000.0, HEIDELBERG, "CC BY 4.0", CRAMER,
          archives=(Archive("shd_train.h5.zip", "f3252aeb598ac776c1b526422d90eecb"),
                    Archive("shd_test.h5.zip", "1503a5063faa34311c398fb0a1ed0a6f"),
                    Archive("shd_train.h5.gz", of="older"), Archive("shd_test.h5.gz", of="older")),
          layouts=(Layout(("", "SHD"), ("shd_train.h5", "shd_test.h5"), {"train": 8156, "test": 2264}, _shd),),
          note="extra: speaker; two of the twelve speakers are in the test alone"),
    Entry("ssc", "Spiking Speech Commands", spikes.SENSOR, WORDS, 8_000, 1000.0, HEIDELBERG, "CC BY 4.0", CRAMER,
          archives=(Archive("ssc_train.h5.zip", "d102be95e7144fcc0553d1f45ba94170"),
                    Archive("ssc_valid.h5.zip", "b4eee3516a4a90dd0c71a6ac23a8ae43"),
                    Archive("ssc_test.h5.zip", "a35ff1e9cffdd02a20eb850c17c37748"),
                    *(Archive(f"ssc_{part}.h5.gz", of="older") for part in ("train", "valid", "test"))),
          layouts=(Layout(("", "SSC"), ("ssc_train.h5", "ssc_valid.h5", "ssc_test.h5"),
                          {"train": 75_466, "valid": 9_981, "test": 20_382}, _ssc),),
          note='extra: speaker; test="valid" gives the validation set in place of the test set; classes are as the file says'),
    Entry("dvs-gesture", "DVS128 Gesture", trials.SENSOR, trials.CLASSES, 300_000, 6000.0,
          "https://research.ibm.com/interactive/dvsgesture/", "CC BY 4.0",
          "Amir and others: A low power, fully event-based gesture recognition system. CVPR (2017)",
          "3 GB packed, 5 GB unpacked",
          (Archive("DvsGesture.tar.gz", "8a5c71fb11e24e5ca5b11866ca6c00a1"),
           Archive("ibmGestureTrain.tar.gz", "3a8f0d4120a166bac7591f77409cb105", "tonic"),
           Archive("ibmGestureTest.tar.gz", "56070e45dadaa85fff82e0fbfbc06de5", "tonic")),
          (Layout(("", "DvsGesture"), ("trials_to_train.txt", "trials_to_test.txt"), {"train": 1176, "test": 288},
                  trials.trials),
           Layout(("", "DVSGesture"), ("ibmGestureTrain", "ibmGestureTest"), {"train": 1077, "test": 264}, trials.cut_trials,
                  "tonic")),
          "extra: user, lighting; the users of the test are not in the training set"),
    Entry("cifar10-dvs", "CIFAR10-DVS", folders.CIFAR, folders.OBJECTS, 180_000, 1300.0,
          "https://figshare.com/articles/dataset/CIFAR10-DVS_New/4724671/2", "",
          "Li, Liu, Ji, Li, Shi: CIFAR10-DVS: an event-stream dataset for object classification. Frontiers in Neuroscience "
          "11:309 (2017)",
          archives=(*(Archive(f"{of}.zip", md5) for of, md5 in zip(folders.OBJECTS, (
              "0afd5c4bf9ae06af762a77b180354fdd", "8438dfeba3bc970c94962d995b1b9bdd", "a9c207c91c55b9dc2002dc21c684d785",
              "52c63c677c2b15fa5146a8daf4d56687", "b6bf21f6c04d21ba4e23fc3e36c8a4a3", "f379ebdf6703d16e0a690782e62639c3",
              "cad6ed91214b1c7388a5f6ee56d08803", "e7cbbf77bec584ffbf913f00e682782a", "41c7bd7d6b251be82557c6cce9a7d5c9",
              "89f3922fd147d9aeff89e76a2b0b70a7"), strict=True)),
                    Archive("CIFAR10DVS.zip", "ce3a4a0682dc0943703bd8f749a7701c", "tonic")),
          layouts=(Layout(("", "CIFAR10DVS", "CIFAR10DVS/CIFAR10DVS"), folders.OBJECTS, {"all": 10_000}, folders.cifar10),),
          note="no official split: held=0.1 of each class are held back, by seed"),
    Entry("n-caltech101", "N-Caltech101", folders.CALTECH, CALTECH, 115_000, 300.0,
          "https://www.garrickorchard.com/datasets/n-caltech101", "", ORCHARD,
          archives=(Archive("Caltech101.zip", "66201824eabb0239c7ab992480b50ba3"),
                    Archive("N-Caltech101-archive.zip", "66201824eabb0239c7ab992480b50ba3", "tonic")),
          layouts=(Layout(("", "Caltech101", "NCALTECH101/Caltech101", "N-Caltech101-archive/Caltech101",
                           "NCALTECH101/N-Caltech101-archive/Caltech101", "N-Caltech101-archive"), ("accordion", "yin_yang"),
                          {"all": 8_709}, folders.caltech),),
          note="no official split: held=0.1 of each class are held back, by seed; classes are the folders there are"),
    Entry("n-cars", "N-CARS", folders.CARS, ("background", "car"), 4_000, 100.0,
          "https://www.prophesee.ai/2018/03/13/dataset-n-cars/", "",
          "Sironi, Brambilla, Bourdis, Lagorce, Benosman: HATS: histograms of averaged time surfaces for robust event-based "
          "object classification. CVPR (2018)",
          archives=(Archive("Prophesee_Dataset_n_cars.zip", "553ce464d6e5e617b3c21ce27c19368e"),
                    Archive("n-cars_train.zip", "976d126a651b95d81800b05a3093337b", inner=True),
                    Archive("n-cars_test.zip", "3b5e8e9a5bffeb95614b8c0a2ba4e511", inner=True)),
          layouts=(Layout(("", "Prophesee_Dataset_n_cars", "NCARS", "NCARS/Prophesee_Dataset_n_cars"),
                          ("n-cars_train", "n-cars_test"), {"train": 15_422, "test": 8_607}, folders.cars),)),
    Entry("spoken-digits", "Free Spoken Digit Dataset", Sensor(1, 64, 1), DIGITS, 2_000, 400.0,
          "https://github.com/Jakobovski/free-spoken-digit-dataset", "CC BY-SA 4.0",
          "Jackson and others: Free Spoken Digit Dataset", note="sound, heard by a simulated cochlea; the set grows, so its "
          "counts depend on the version; takes 0 to 4 of each digit and speaker are the test",
          needs="its files {digit}_{speaker}_{take}.wav into one folder"),
)}
