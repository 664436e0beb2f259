"""Validation of untrusted input: numbers, text, times and email addresses."""
