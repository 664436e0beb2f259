"""How often anybody may ask: by user, by address, and closer for logins and registrations.

Buckets are Redis's, one round trip for all of a request's, so that every gateway counts the same; without Redis each
process counts for itself.
"""
