"""Hopline on a Docker engine: what `make up MODE=compose` runs. The stack itself is `infra/compose/compose.yaml`."""
