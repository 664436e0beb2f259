"""Hopline on one machine: PostgreSQL and Valkey from wheels, and all processes under supervisord."""
