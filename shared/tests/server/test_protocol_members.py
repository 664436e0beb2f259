"""The undocumented members of uvicorn's classes that the protocol classes use, and gunicorn with both classes."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from uvicorn import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState

from testkit.gunicorn import is_ready, run_gunicorn
from testkit.waiting import eventually

from .protocol_server import HEAD, UPGRADE, ProtocolServer, parse_problem

APPLICATION = """
from contextlib import asynccontextmanager
from shared.web.app import build_app
from shared.config import ServiceSettings, load_settings

@asynccontextmanager
async def lifespan(app):
    yield

def create_app():
    return build_app(
        name="hello", settings=load_settings(ServiceSettings), lifespan=lifespan, routers=[], summary="for tests"
    )
"""


async def test_gunicorn_uses_both_protocol_classes(tmp_path: Path) -> None:
    async with run_gunicorn(tmp_path, APPLICATION) as (_, url), httpx.AsyncClient(base_url=url) as client:
        await eventually(lambda: is_ready(client))
        server = ProtocolServer()
        server.url = url
        assert parse_problem(await server.exchange(HEAD + b"X: " + b"a" * 50_000_000))["status"] == 431
        assert parse_problem(await server.exchange(UPGRADE.replace(b"13", b"8") + b"\r\n"))["status"] == 400
        assert await is_ready(client)


class TestMembers:
    """The members are not documented. If one is missing, read uvicorn's release notes before you raise its version."""

    HTTP = (
        "connection_made connection_lost data_received eof_received on_message_begin on_header on_headers_complete"
        " on_body on_message_complete handle_websocket_upgrade send_400_response timeout_keep_alive_handler"
        " transport loop parser headers scope cycle pipeline flow server_state logger timeout_keep_alive"
        " timeout_keep_alive_task"
    )
    CYCLE = "keep_alive disconnected response_started response_complete message_event"
    WEBSOCKET = (
        "connection_made data_received receive send resume_writing handle_connect handle_ping handle_pong handle_text"
        " handle_bytes handle_cont send_receive_event_to_app handle_parser_exception transport loop conn queue frames"
        " writable curr_msg_data_type close_sent close_timer read_paused handshake_initiated handshake_complete"
        " default_headers"
    )

    @pytest.fixture
    def create_protocol(self) -> Callable[[type[Any]], Any]:
        def create_protocol(protocol: type[Any]) -> Any:
            config = Config(Starlette(), log_config=None)
            config.load()
            return protocol(config=config, server_state=ServerState(), app_state={}, _loop=asyncio.get_running_loop())

        return create_protocol

    async def test_http_class_has_the_used_members(self, create_protocol: Callable[[type[Any]], Any]) -> None:
        protocol = create_protocol(HttpToolsProtocol)
        assert [name for name in self.HTTP.split() if not hasattr(protocol, name)] == []
        assert protocol.timeout_keep_alive_task is None

    async def test_cycle_has_the_used_members(self, create_protocol: Callable[[type[Any]], Any]) -> None:
        protocol = create_protocol(HttpToolsProtocol)
        protocol.data_received(HEAD + b"\r\n")
        assert [name for name in self.CYCLE.split() if not hasattr(protocol.cycle, name)] == []
        assert (protocol.url, protocol.scope["headers"]) == (b"/echo", [(b"host", b"shop.example")])
        for task in list(protocol.tasks):
            task.cancel()

    async def test_websocket_class_has_the_used_members(self, create_protocol: Callable[[type[Any]], Any]) -> None:
        protocol = create_protocol(WebSocketsSansIOProtocol)
        assert [name for name in self.WEBSOCKET.split() if not hasattr(protocol, name)] == []
