"""Hopline's benchmarks. Each figure is a ratio or a limit, measured in one run on separate servers."""
