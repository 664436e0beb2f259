"""`python -m checks`: validators of the repository's files. They need no network and no cluster."""
