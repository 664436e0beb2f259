"""The errors of jobs, and what the runner does about each.

```
JobError
 ├─ PermanentJobError            dead immediately: no retry can help
 ├─ UnknownFieldsError           retried: a worker of the newer version may run it
 ├─ JobTimeoutError              retried with backoff, logged without a traceback
 ├─ DependencyUnavailableError   retried with backoff; expected, so logged without a traceback
 │   └─ EmailLockedError         another worker is sending this email
 ├─ LeaseLostError               another worker has the job: the result is discarded
 └─ ReportClosedError            the report is finished or deleted: the job is done
```
Any other exception is a bug. It is retried like `DependencyUnavailableError` and logged with its traceback.
"""


class JobError(Exception):
    """Base of the expected errors."""


class PermanentJobError(JobError):
    """The job can never succeed, for example because the recipient does not exist."""


class UnknownFieldsError(JobError):
    """The payload has fields that this version does not have. During a rollout, newer workers queue such jobs."""


class JobTimeoutError(JobError):
    """The attempt exceeded the timeout of the job type and was cancelled."""


class DependencyUnavailableError(JobError):
    """A service, store or server that the job needs is unavailable."""


class EmailLockedError(DependencyUnavailableError):
    """Another worker holds the lock of the email's row during its SMTP dialogue."""


class LeaseLostError(JobError):
    """The lease of the job expired or was taken, so the result of this attempt is discarded."""


class ReportClosedError(JobError):
    """The report is finished or deleted."""
