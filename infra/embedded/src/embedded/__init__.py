"""Hopline on one machine: real PostgreSQL and Valkey from wheels, and every process under a supervisor."""
