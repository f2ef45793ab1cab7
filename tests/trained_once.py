"""Imported by the process from which those of tests.together are forked: whatever training loads is there."""

import torch

from snnsim.train import fit
from tests.test_train import OPTIONS, sides, small_net

torch.set_num_threads(1)
fit(small_net(), sides(10), **{**OPTIONS, "epochs": 1})
