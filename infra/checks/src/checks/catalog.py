"""Every validator there is, in the order in which they run."""

from collections.abc import Sequence

from checks import kubernetes
from checks.validators import Validator

VALIDATORS: Sequence[Validator] = (*kubernetes.VALIDATORS,)
