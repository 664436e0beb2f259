"""`python -m checks`: every validator of the infrastructure's files, without a network or a cluster."""
