"""Gunicorn, its uvicorn worker and the server protocols."""
