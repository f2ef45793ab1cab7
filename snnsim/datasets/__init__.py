"""Events in: one dtype, own readers, a simulated event camera, and the way from events to steps."""

from snnsim.datasets.adding import adding
from snnsim.datasets.augment import Augment
from snnsim.datasets.binning import EventBatch, bin_events
from snnsim.datasets.camera import Camera
from snnsim.datasets.dataset import EventDataset, split
from snnsim.datasets.digits import digits_events
from snnsim.datasets.events import EVENT, Recording, Sensor, make_events, validate
from snnsim.datasets.loading import load
from snnsim.datasets.nmnist import nmnist, read_nmnist, write_nmnist
from snnsim.datasets.shuffling import shuffle_steps

__all__ = ["EVENT", "Augment", "Camera", "EventBatch", "EventDataset", "Recording", "Sensor", "adding", "bin_events",
           "digits_events", "load", "make_events", "nmnist", "read_nmnist", "shuffle_steps", "split", "validate",
           "write_nmnist"]
