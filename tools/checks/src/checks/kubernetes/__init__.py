"""Validators of `infra/k8s`. They check each overlay with each set of components."""

from checks.kubernetes.defaults import check_defaults
from checks.kubernetes.hardening import check_hardening
from checks.kubernetes.images import check_images, check_versions
from checks.kubernetes.kind_cluster import check_kind_cluster
from checks.kubernetes.network import check_network
from checks.kubernetes.references import check_references
from checks.kubernetes.rendering import KUBECTL, check_rendered, for_each
from checks.kubernetes.scaling import check_scaling
from checks.kubernetes.schemas import check_schemas
from checks.kubernetes.secrets import check_secrets
from checks.kubernetes.selectors import check_selectors
from checks.kubernetes.volumes import check_volumes
from checks.validators import Validator

_NEEDS = (KUBECTL,)

VALIDATORS = (
    Validator(name="kubernetes: kustomize renders", check=check_rendered, needs=_NEEDS),
    Validator(name="kubernetes: schemas", check=for_each(check_schemas), needs=_NEEDS),
    Validator(name="kubernetes: defaults in lists", check=for_each(check_defaults), needs=_NEEDS),
    Validator(name="kubernetes: references", check=for_each(check_references), needs=_NEEDS),
    Validator(name="kubernetes: volumes", check=for_each(check_volumes), needs=_NEEDS),
    Validator(name="kubernetes: selectors and ports", check=for_each(check_selectors), needs=_NEEDS),
    Validator(name="kubernetes: network edges", check=for_each(check_network), needs=_NEEDS),
    Validator(name="kubernetes: hardening", check=for_each(check_hardening), needs=_NEEDS),
    Validator(name="kubernetes: secrets", check=for_each(check_secrets), needs=_NEEDS),
    Validator(name="kubernetes: scaling", check=for_each(check_scaling), needs=_NEEDS),
    Validator(name="kubernetes: images", check=for_each(check_images), needs=_NEEDS),
    Validator(name="kubernetes: versions as in Compose", check=check_versions, needs=_NEEDS),
    Validator(name="kubernetes: the kind cluster", check=check_kind_cluster, needs=_NEEDS),
)
