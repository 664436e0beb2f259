"""Hopline's benchmarks: each figure is a ratio or a bound, measured in one run on servers started for it."""
