"""A development stand-in for the telemetry backends and the mailbox.

One process answers the read APIs of Jaeger, Loki and Mailpit on their own ports, fed by OTLP/HTTP and SMTP.
Everything lives in bounded memory and is gone when the process ends: never run it where data matters.
"""
