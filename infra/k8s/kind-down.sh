#!/usr/bin/env bash
# `make kind-down`: deletes the cluster and all that is in it. The secrets go too: they fit its databases only.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

command -v kind >/dev/null || { echo "kind-down needs kind: install it, https://kind.sigs.k8s.io" >&2; exit 1; }
kind delete cluster --name hopline
rm -rf components/development-stores/stores/secrets overlays/kind/secrets
