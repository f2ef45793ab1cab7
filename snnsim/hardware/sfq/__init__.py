"""Superconducting single-flux-quantum circuits."""
