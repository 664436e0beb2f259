#!/usr/bin/env bash
# `make kind-down`: deletes the cluster and everything in it.
set -euo pipefail

command -v kind >/dev/null || { echo "kind-down needs kind: install it, https://kind.sigs.k8s.io" >&2; exit 1; }
kind delete cluster --name hopline
