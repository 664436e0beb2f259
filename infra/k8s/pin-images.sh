#!/usr/bin/env bash
# Pins the images of the production overlay by digest, so that exactly the attested images run, even if a tag moves.
#
#   infra/k8s/pin-images.sh registry.example/hopline gateway=sha256:… users=sha256:… orders=… notifications=… workers=…
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

processes=(gateway users orders notifications workers)
repository=${1:?"the repository is missing: pin-images.sh REPOSITORY NAME=sha256:DIGEST..."}
shift

declare -A digests
for pair in "$@"; do
  [[ $pair =~ ^([a-z]+)=(sha256:[0-9a-f]{64})$ ]] || { echo "$pair: expected NAME=sha256:<64 hexadecimal digits>" >&2; exit 2; }
  digests[${BASH_REMATCH[1]}]=${BASH_REMATCH[2]}
done

component="# Written by pin-images.sh at each release; a digest of zeros means that this image was never released.
apiVersion: kustomize.config.k8s.io/v1alpha1
kind: Component
images:"
for process in "${processes[@]}"; do
  component+="
  - name: hopline/$process
    newName: $repository/$process
    digest: ${digests[$process]:?"the digest of $process is missing: add $process=sha256:DIGEST"}"
done
printf '%s\n' "$component" >overlays/prod/images/kustomization.yaml
