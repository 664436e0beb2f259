#!/usr/bin/env bash
# Rolls out an overlay in three steps: everything that the processes depend on, then the migrations, then the processes. Each step
# waits until its objects are ready. If a wait fails, the script prints the pods of that step and the end of their logs. It passes all
# arguments after the first one to kubectl.
#
#   infra/k8s/deploy.sh infra/k8s/overlays/prod --context production
set -euo pipefail

overlay=${1:?"the overlay is missing: deploy.sh OVERLAY [options of kubectl]"}
shift
options=("$@")
here=(--namespace hopline)

migrations='app.kubernetes.io/component=migration'
processes='app.kubernetes.io/component in (service, worker)'
prerequisites='app.kubernetes.io/component notin (service, worker, migration)' # stores, PgBouncer, telemetry, settings

rendered=$(mktemp)
trap 'rm -f "$rendered"' EXIT
kubectl kustomize "$overlay" >"$rendered"
if grep --quiet --extended-regexp 'image: .*@sha256:0{64}$' "$rendered"; then
  echo "the images of $overlay were never released (their digests are zeros): run pin-images.sh with the digests first" >&2
  exit 1
fi

cluster() { kubectl "${options[@]+"${options[@]}"}" "$@"; }

# wait_until_ready SELECTOR SECONDS: wait at most SECONDS for each Deployment and StatefulSet. If one of them does not become ready in
# time, print the pods of the selector and fail.
wait_until_ready() {
  local workloads workload
  workloads=$(cluster "${here[@]}" get deployments,statefulsets --selector "$1" --output name)
  for workload in $workloads; do
    cluster "${here[@]}" rollout status "$workload" --timeout "$2s" || { show_pods "$1"; return 1; }
  done
}

# escape_control_characters: copy stdin to stdout, and escape control characters except tabs and line breaks as JSON does (\u001b),
# because log records contain untrusted text. The ranges are those of shared/src/shared/validation/text.py; NUL is removed.
escape_control_characters() {
  local code bytes character script=''
  for code in {1..8} {11..31} {127..159} {8232..8238} {8294..8297}; do
    if ((code < 128)); then
      bytes=$(printf '\\x%x' "$code")
    elif ((code < 2048)); then
      bytes=$(printf '\\x%x' $((192 | code >> 6)) $((128 | code & 63)))
    else
      bytes=$(printf '\\x%x' $((224 | code >> 12)) $((128 | code >> 6 & 63)) $((128 | code & 63)))
    fi
    printf -v character '%b' "$bytes"
    printf -v script '%ss/%s/\\\\u%04x/g\n' "$script" "$character" "$code"
  done
  tr -d '\000' | LC_ALL=C sed "$script"
}

# show_pods SELECTOR: print the pods and the end of their logs.
show_pods() {
  {
    cluster "${here[@]}" get pods --selector "$1" --output wide
    cluster "${here[@]}" logs --selector "$1" --all-containers --prefix --tail 20 || true
  } 2>&1 | escape_control_characters >&2
}

# wait_for_migrations SECONDS: wait for every migration to complete. A failed Job ends the wait immediately; `kubectl wait` for Complete would
# continue until its timeout.
wait_for_migrations() {
  local states failed conditions='{range .status.conditions[?(@.status=="True")]} {.type}{end}'
  local deadline=$((SECONDS + $1))
  while true; do
    states=$(cluster "${here[@]}" get jobs --selector "$migrations" \
      --output "jsonpath={range .items[*]}{.metadata.name}$conditions{\"\\n\"}{end}")
    if failed=$(grep --max-count 1 --extended-regexp ' (Failed|FailureTarget)( |$)' <<<"$states"); then
      echo "migration ${failed%% *} has failed; the processes were not changed" >&2
      show_pods "batch.kubernetes.io/job-name=${failed%% *}"
      return 1
    fi
    grep --invert-match --quiet ' Complete' <<<"$states" || return 0
    if ((SECONDS >= deadline)); then
      echo "migrations have not ended after $1 s" >&2
      show_pods "$migrations"
      return 1
    fi
    sleep 2
  done
}

echo "── settings, policies, stores, telemetry"
cluster apply --filename "$rendered" --selector "$prerequisites"
wait_until_ready "$prerequisites" 300

echo "── migrations"
cluster "${here[@]}" delete jobs --selector "$migrations" --ignore-not-found # a Job cannot be changed
cluster apply --filename "$rendered" --selector "$migrations"
wait_for_migrations 660 # longer than activeDeadlineSeconds of the Jobs, which fails them first

echo "── processes"
cluster apply --filename "$rendered"
wait_until_ready "$processes" 300
