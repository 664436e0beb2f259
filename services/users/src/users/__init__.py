"""Hopline's accounts and tokens."""
