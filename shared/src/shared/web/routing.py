"""The route template of a request, and the allowed methods of a path."""

from weakref import WeakKeyDictionary

from fastapi.routing import RouteContext, iter_route_contexts
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.routing import Match
from starlette.types import Scope

_contexts_by_app: WeakKeyDictionary[Starlette, dict[int, list[RouteContext]]] = WeakKeyDictionary()


def get_route_template(scope: Scope) -> str | None:
    """Return the template of the matched route with its prefixes, for example `/v2/orders/{order_id}`, or None.

    None means that no route matched. For a router that is included several times, FastAPI has one object per route, and
    for each inclusion a `RouteContext` with the full path.
    """
    route = scope.get("route")
    if route is None:
        return None
    app: Starlette = scope["app"]
    contexts = (_contexts_by_app.get(app) or {}).get(id(route))
    if contexts is None:
        contexts = _contexts_by_app.setdefault(app, {})[id(route)] = [
            context for context in iter_route_contexts(app.routes) if context.original_route is route
        ]
    if len(contexts) > 1:
        contexts = [context for context in contexts if context.matches(scope)[0] is not Match.NONE]
    template = contexts[0].path if contexts else getattr(route, "path", None)
    return None if template is None else f"{scope.get('root_path', '')}{template}"


def get_allowed_methods(request: Request) -> str:
    """Return the `Allow` header of a 405 (RFC 9110 §15.5.6): the methods of all routes that match the request's path.

    Starlette lists only the methods of the first route that matches the path. HEAD is allowed with GET
    (`shared.web.head`).
    """
    path = request.scope["path"].removeprefix(request.scope.get("root_path", ""))
    methods: set[str] = set()
    for route in iter_route_contexts(request.app.routes):
        expression = getattr(route, "path_regex", None)
        if expression is not None and expression.match(path):
            methods |= set(route.methods or ())
    return ", ".join(sorted(methods | ({"HEAD"} if "GET" in methods else set())))
