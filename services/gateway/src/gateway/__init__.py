"""Hopline's one public door: passes calls on, and answers some from several services at once."""
