"""The event store: recordings in sharded HDF5 files with checksums, read through memory maps."""
