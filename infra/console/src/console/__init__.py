"""The terminal's view of a running stack: `demo` walks through the journey of one order, `trace` prints a trace.

Both talk to the public API and to the backends' own read APIs only, so they run alike on containers and on the
embedded stack.
"""
