"""Hopline's catalog, orders and reports."""
