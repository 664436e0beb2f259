"""Hopline on a Docker engine: the commands of `make … MODE=compose` for the stack in `infra/compose/compose.yaml`."""
