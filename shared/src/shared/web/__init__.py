"""FastAPI applications: the app factory, middleware, probes and error handlers.

Read `app` first: it lists the middleware and handlers of every service.
"""
