"""How a job can fail, and what the runner does about it.

```
JobFailure
 ├─ JobImpossible     dead at once: no retry heals it
 ├─ OfAYoungerVersion tried again: a worker of that version may come
 ├─ DependencyAway    tried again with growing pauses; expected, so without a traceback
 │   └─ EmailInHand   another worker is handing this very email over
 ├─ LeaseLost         somebody else has the job now: what we found out is worth nothing
 └─ ReportClosed      orders wants no more of this report: the job ends, done
```
Any other exception is a bug: tried again like `DependencyAway`, and logged with its traceback.
"""


class JobFailure(Exception):
    """Base of what is expected to go wrong."""


class JobImpossible(JobFailure):
    """The job can never succeed: a payload that does not fit, a recipient that does not exist."""


class OfAYoungerVersion(JobFailure):
    """A field of the payload that this worker does not know, and the version that queued the job did.

    While a release rolls out both versions are there.
    """


class DependencyAway(JobFailure):
    """Something the job needs does not answer, or says that it cannot now."""


class EmailInHand(DependencyAway):
    """The email's row is locked by a worker that is alive, or frozen, in the middle of its SMTP dialogue."""


class LeaseLost(JobFailure):
    """The lease ran out and the sweeper gave the job to somebody else."""


class ReportClosed(JobFailure):
    """The report is finished, or so old that it is gone."""
