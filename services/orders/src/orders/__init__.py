"""Hopline's catalog, its stock and its orders."""
