"""Which pages of other origins may call: Starlette's middleware, with its refusals as problems."""

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from gateway.answers import ERROR
from gateway.errors import PreflightRefused
from shared.errors import problem_response


class Cors(CORSMiddleware):
    """ASGI middleware. A preflight that asks for more than is allowed is answered 400, with all that is."""

    def preflight_response(self, request_headers: Headers) -> Response:
        """Starlette's answer, where it is a good one."""
        answer = super().preflight_response(request_headers)
        return answer if answer.status_code < ERROR else _Refusal(answer)


class _Refusal(Response):
    """A problem in the place of `refused`; it says on which path once it is sent there."""

    def __init__(self, refused: Response) -> None:
        super().__init__()
        self._refused = refused

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer; what is allowed (`Access-Control-*`) and `Vary` stay."""
        kept = {name: value for name, value in self._refused.headers.items() if not name.startswith("content-")}
        problem = PreflightRefused(bytes(self._refused.body).decode(), headers=kept)
        await problem_response(problem, instance=scope["path"])(scope, receive, send)
