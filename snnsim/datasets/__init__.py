"""Events in: one dtype, own readers, a simulated event camera, and the way from events to steps."""

from snnsim.datasets.adding import adding
from snnsim.datasets.augment import Augment
from snnsim.datasets.binning import EventBatch, bin_events
from snnsim.datasets.camera import Camera
from snnsim.datasets.cochlea import Cochlea, Voice
from snnsim.datasets.dataset import EventDataset, split
from snnsim.datasets.digits import digits_events
from snnsim.datasets.events import EVENT, Recording, Sensor, make_events, validate
from snnsim.datasets.eventstore.cache import cache_key, cached
from snnsim.datasets.eventstore.checking import check_store
from snnsim.datasets.eventstore.cutting import cut
from snnsim.datasets.eventstore.packing import pack
from snnsim.datasets.eventstore.reading import EventStore, open_store
from snnsim.datasets.formats import FORMATS, Info, Stream, info, read, stream, write
from snnsim.datasets.loading import load
from snnsim.datasets.motion import Motion, estimate_motion, stabilise
from snnsim.datasets.nmnist import nmnist, read_nmnist, write_nmnist
from snnsim.datasets.pooling import Pool, pooled
from snnsim.datasets.shuffling import shuffle_steps
from snnsim.datasets.spoken import Sounds, read_spoken, spoken_digits, synthetic_spoken, write_spoken

__all__ = ["EVENT", "FORMATS", "Augment", "Camera", "Cochlea", "EventBatch", "EventDataset", "EventStore", "Info", "Motion",
           "Pool", "Recording", "Sensor", "Sounds", "Stream", "Voice", "adding", "bin_events", "cache_key", "cached",
           "check_store", "cut", "digits_events", "estimate_motion", "info", "load", "make_events", "nmnist", "open_store",
           "pack", "pooled", "read", "read_nmnist", "read_spoken", "shuffle_steps", "split", "spoken_digits", "stabilise",
           "stream", "synthetic_spoken", "validate", "write", "write_nmnist", "write_spoken"]
