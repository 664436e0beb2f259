"""Schedules: definitions, repository, and the scheduler that adds their jobs."""
