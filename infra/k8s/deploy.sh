#!/usr/bin/env bash
# Rolls an overlay out in the order that its parts need: what everything stands on, then the migrations, then the
# processes. Ends when all of it is ready, or says what is not. Further arguments are kubectl's own.
#
#   infra/k8s/deploy.sh infra/k8s/overlays/prod --context production
set -euo pipefail

overlay=${1:?"which overlay? deploy.sh OVERLAY [kubectl's options]"}
shift
options=("$@")
here=(--namespace hopline)

migrations='app.kubernetes.io/component=migration'
processes='app.kubernetes.io/component in (service, worker)'
stores='app.kubernetes.io/component=store'
ground='app.kubernetes.io/component notin (service, worker, migration)'

rendered=$(mktemp)
trap 'rm -f "$rendered"' EXIT
kubectl kustomize "$overlay" >"$rendered"
if grep --quiet --extended-regexp 'image: .*@sha256:0{64}$' "$rendered"; then
  echo "$overlay: its images are not released yet: run pin-images.sh with their digests first" >&2
  exit 1
fi

cluster() { kubectl "${options[@]+"${options[@]}"}" "$@"; }

# ready SELECTOR SECONDS: wait for every Deployment and StatefulSet of it; show the pods of the one that fails to come.
ready() {
  local workloads workload
  workloads=$(cluster "${here[@]}" get deployments,statefulsets --selector "$1" --output name)
  for workload in $workloads; do
    cluster "${here[@]}" rollout status "$workload" --timeout "$2s" || { complain "$1"; return 1; }
  done
}

# complain SELECTOR: what a person would look at next.
complain() {
  cluster "${here[@]}" get pods --selector "$1" --output wide >&2
  cluster "${here[@]}" logs --selector "$1" --all-containers --prefix --tail 20 >&2 || true
}

echo "── settings, policies, stores"
cluster apply --filename "$rendered" --selector "$ground"
ready "$stores" 180

echo "── migrations"
cluster "${here[@]}" delete jobs --selector "$migrations" --ignore-not-found # a Job cannot be changed
cluster apply --filename "$rendered" --selector "$migrations"
cluster "${here[@]}" wait jobs --selector "$migrations" --for condition=Complete --timeout 660s \
  || { complain "$migrations"; exit 1; }

echo "── processes"
cluster apply --filename "$rendered"
ready "$processes" 300
