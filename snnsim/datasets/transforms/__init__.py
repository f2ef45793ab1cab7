"""Events to events, to slices and to arrays: frozen dataclasses that are called on events, a recording or a data set."""

from snnsim.datasets.transforms.chance import Drop, DropArea, DropTime, Jitter
from snnsim.datasets.transforms.filters import Denoise, HotPixels, Refractory
from snnsim.datasets.transforms.frames import Frames
from snnsim.datasets.transforms.representation import Representation, Represented
from snnsim.datasets.transforms.slicing import SliceByCount, SliceByTime, Slicing
from snnsim.datasets.transforms.space import Crop, Downsample, Flip, MergePolarities
from snnsim.datasets.transforms.surface import TimeSurface
from snnsim.datasets.transforms.transform import Compose, Transform
from snnsim.datasets.transforms.voxels import VoxelGrid

__all__ = ["Compose", "Crop", "Denoise", "Downsample", "Drop", "DropArea", "DropTime", "Flip", "Frames", "HotPixels", "Jitter",
           "MergePolarities", "Refractory", "Representation", "Represented", "SliceByCount", "SliceByTime", "Slicing",
           "TimeSurface", "Transform", "VoxelGrid"]
