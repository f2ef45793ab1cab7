"""Events in: one dtype, own readers, a simulated event camera, and the way from events to steps."""

from snnsim.datasets.adding import adding
from snnsim.datasets.augment import Augment
from snnsim.datasets.binning import EventBatch, bin_events
from snnsim.datasets.camera import Camera
from snnsim.datasets.catalogue.adopting import adopt
from snnsim.datasets.catalogue.archives import unpack
from snnsim.datasets.catalogue.checking import check_set
from snnsim.datasets.catalogue.entries import ENTRIES as CATALOGUE
from snnsim.datasets.cochlea import Cochlea, Voice
from snnsim.datasets.dataset import EventDataset, split
from snnsim.datasets.digits import digits_events
from snnsim.datasets.encoders import Delta, Direct, Latency, Phase, Rate
from snnsim.datasets.events import EVENT, Recording, Sensor, make_events, validate
from snnsim.datasets.eventstore.cache import cache_key, cached
from snnsim.datasets.eventstore.checking import check_store
from snnsim.datasets.eventstore.cutting import cut
from snnsim.datasets.eventstore.packing import pack
from snnsim.datasets.eventstore.reading import EventStore, open_store
from snnsim.datasets.formats import FORMATS, Info, Stream, info, read, stream, write
from snnsim.datasets.formats.sets import recordings
from snnsim.datasets.loading import load
from snnsim.datasets.motion import Motion, estimate_motion, stabilise
from snnsim.datasets.nmnist import nmnist, read_nmnist, write_nmnist
from snnsim.datasets.pooling import Pool, pooled
from snnsim.datasets.shuffling import shuffle_steps
from snnsim.datasets.spoken import Sounds, read_spoken, spoken_digits, synthetic_spoken, write_spoken
from snnsim.datasets.streaming import bin_stream
from snnsim.datasets.videocamera import VideoCamera
from snnsim.datasets.videofile import Video, read_video

__all__ = ["CATALOGUE", "EVENT", "FORMATS", "Augment", "Camera", "Cochlea", "Delta", "Direct", "EventBatch", "EventDataset",
           "EventStore", "Info", "Latency", "Motion", "Phase", "Pool", "Rate", "Recording", "Sensor", "Sounds", "Stream",
           "Video", "VideoCamera", "Voice", "adding", "adopt", "bin_events", "bin_stream", "cache_key", "cached", "check_set",
           "check_store", "cut", "digits_events", "estimate_motion", "info", "load", "make_events", "nmnist", "open_store",
           "pack", "pooled", "read", "read_nmnist", "read_spoken", "read_video", "recordings", "shuffle_steps", "split",
           "spoken_digits", "stabilise", "stream", "synthetic_spoken", "unpack", "validate", "write", "write_nmnist",
           "write_spoken"]
