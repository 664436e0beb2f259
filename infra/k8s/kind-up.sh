#!/usr/bin/env bash
# `make kind-up` creates a cluster of one node in Docker, builds the images, rolls out Hopline and runs the demo against it.
# Run it again to update the running cluster. OVERLAY=kind-telemetry adds Collector, Prometheus, Loki and Grafana.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
PATH=$(cd ../.. && pwd)/.venv/bin:$PATH # make check installs kubectl there

cluster=hopline
overlay=${OVERLAY:-kind}
images=(hopline/{gateway,users,orders,notifications,workers})

# require PROGRAM HINT: exit with one line if a program is missing.
require() {
  command -v "$1" >/dev/null || { echo "kind-up needs $1: $2" >&2; exit 1; }
}
require docker "install Docker Engine, and give this user access to it"
require kind "install kind, https://kind.sigs.k8s.io"
require kubectl "install kubectl, https://kubernetes.io/docs/tasks/tools"
docker info >/dev/null 2>&1 || { echo "kind-up needs a running Docker engine: start it" >&2; exit 1; }

running=" $(kind get clusters 2>/dev/null | tr '\n' ' ') "
[[ $running == *" $cluster "* ]] || kind create cluster --config kind.yaml --wait 180s

VERSION=dev make --directory ../.. images
kind load docker-image --name "$cluster" "${images[@]/%/:dev}"

./deploy.sh "overlays/$overlay" --context "kind-$cluster"
if [[ $running == *" $cluster "* ]]; then # the tag does not change, so only a restart loads the new images
  processes=(deployments --context "kind-$cluster" --namespace hopline --selector "app.kubernetes.io/component in (service, worker)")
  kubectl rollout restart "${processes[@]}"
  kubectl rollout status "${processes[@]}" --timeout 300s
fi

cat <<'URLS'
── Hopline in kind
   API      http://localhost:8000/v2/docs
   traces   http://localhost:16686
   mailbox  http://localhost:8025
URLS
[[ $overlay != kind-telemetry ]] || echo "   Grafana  http://localhost:3000"
make --directory ../.. demo
