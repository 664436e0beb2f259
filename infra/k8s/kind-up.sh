#!/usr/bin/env bash
# `make kind-up`: a cluster of one node in Docker with all of Hopline in it, from images built here, and the demo as proof.
# Run again, it brings the running cluster to what the checkout says. With OVERLAY=kind-telemetry also Collector,
# Prometheus, Loki and Grafana.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
PATH=$(cd ../.. && pwd)/.venv/bin:$PATH # where make check has put a kubectl

cluster=hopline
overlay=${OVERLAY:-kind}
images=(hopline/{gateway,users,orders,notifications,workers})

# need PROGRAM HOW: end with one line where a program is missing.
need() {
  command -v "$1" >/dev/null || { echo "kind-up needs $1: $2" >&2; exit 1; }
}
need docker "install Docker Engine, and let this user reach it"
need kind "install kind, https://kind.sigs.k8s.io"
need kubectl "install kubectl, https://kubernetes.io/docs/tasks/tools"
docker info >/dev/null 2>&1 || { echo "kind-up needs a Docker engine that answers: start it" >&2; exit 1; }

running=" $(kind get clusters 2>/dev/null | tr '\n' ' ') "
[[ $running == *" $cluster "* ]] || kind create cluster --config kind.yaml --wait 180s

VERSION=dev make --directory ../.. images
kind load docker-image --name "$cluster" "${images[@]/%/:dev}"

./deploy.sh "overlays/$overlay" --context "kind-$cluster"
if [[ $running == *" $cluster "* ]]; then # the tag is the old one, so that only a restart brings the new images in
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
