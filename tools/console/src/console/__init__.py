"""Commands for a running stack, such as `demo` and `trace`.

They use the public API and the read APIs of the backends only, so they work with Compose and with the embedded
stack.
"""
