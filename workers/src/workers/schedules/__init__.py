"""Schedules: their definitions, their repository, and the scheduler that adds their jobs."""
