"""Which methods a path has: the `Allow` header of a 405 (RFC 9110 §15.5.6)."""

from fastapi.routing import iter_route_contexts
from starlette.requests import Request


def allowed_methods(request: Request) -> str:
    """All methods of all routes that have the request's path; the framework names those of the first alone."""
    path = request.scope["path"].removeprefix(request.scope.get("root_path", ""))
    methods: set[str] = set()
    for route in iter_route_contexts(request.app.routes):
        expression = getattr(route, "path_regex", None)
        if expression is not None and expression.match(path):
            methods |= set(route.methods or ())
    return ", ".join(sorted(methods | ({"HEAD"} if "GET" in methods else set())))
