"""`docs/asyncapi.yaml` documents the events and frames of the code, with the same members and kinds."""

from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from pydantic import BaseModel

from notifications.models import NotificationKind
from notifications.realtime import frames
from orders.events import REPORT_EVENTS
from orders.events import STREAM as ORDERS_STREAM
from orders.schemas import Order, OrderItem, StockLevel
from orders.states import OrderStatus
from shared.messaging import CloudEvent
from users.events import REGISTERED
from users.events import STREAM as USERS_STREAM

DOCUMENT: dict[str, Any] = yaml.safe_load((Path(__file__).parents[2] / "docs/asyncapi.yaml").read_text())
SCHEMAS: dict[str, Any] = DOCUMENT["components"]["schemas"]
MESSAGES: dict[str, Any] = DOCUMENT["components"]["messages"]

SERVER_FRAMES: tuple[type[BaseModel], ...] = get_args(frames.ServerFrame)
CLIENT_FRAMES: tuple[type[BaseModel], ...] = get_args(frames.ClientFrame)


def field_names(model: type[BaseModel]) -> set[str]:
    return set(model.model_fields)


class TestEnvelope:
    def test_envelope_has_the_documented_attributes(self) -> None:
        assert set(SCHEMAS["CloudEvent"]["properties"]) == field_names(CloudEvent)

    def test_event_has_the_required_attributes_when_it_has_no_trace(self) -> None:
        event = CloudEvent(source="/hopline/orders", type="x", subject="s", data={})
        sent = event.model_dump(exclude_none=True)
        assert set(sent) == set(SCHEMAS["CloudEvent"]["required"])


class TestEvents:
    def test_order_events_have_the_documented_data(self) -> None:
        documented = SCHEMAS["OrderData"]["properties"]
        assert set(documented) == field_names(Order) - {"id"} | {"order_id", "stock"}
        assert set(SCHEMAS["OrderItem"]["properties"]) == field_names(OrderItem)
        assert set(SCHEMAS["StockLevel"]["properties"]) == field_names(StockLevel)
        assert "stock" not in SCHEMAS["OrderData"]["required"]
        assert documented["status"]["enum"] == [status.value for status in OrderStatus]

    @pytest.mark.parametrize("model", REPORT_EVENTS, ids=lambda model: model.__name__)
    def test_report_events_have_the_documented_data(self, model: type[BaseModel]) -> None:
        schema = SCHEMAS[f"{model.__name__}Data"]
        assert set(schema["properties"]) == set(schema["required"]) == field_names(model)

    def test_every_event_type_and_stream_is_documented(self) -> None:
        types = {REGISTERED} | {f"hopline.order.{status.value}.v1" for status in OrderStatus}
        types |= {event.type for event in REPORT_EVENTS}
        assert {message["name"] for message in MESSAGES.values() if "name" in message} == types
        streams = {channel["address"] for channel in DOCUMENT["channels"].values()}
        assert streams == {USERS_STREAM, ORDERS_STREAM, "/ws"}


class TestFrames:
    @pytest.mark.parametrize("model", [*SERVER_FRAMES, *CLIENT_FRAMES], ids=lambda model: model.__name__)
    def test_frame_has_the_documented_members(self, model: type[BaseModel]) -> None:
        schema = SCHEMAS[model.__name__]
        assert set(schema["properties"]) == field_names(model)
        # The field `t` is always sent, but has a default, because each model has only one type.
        required = {name for name, field in model.model_fields.items() if field.is_required() or name == "t"}
        assert set(schema["required"]) == required

    def test_every_frame_is_a_documented_message(self) -> None:
        sent = {SCHEMAS[model.__name__]["properties"]["t"]["const"] for model in (*SERVER_FRAMES, *CLIENT_FRAMES)}
        names = {message["$ref"].rpartition("/")[2] for message in DOCUMENT["channels"]["socket"]["messages"].values()}
        schemas = {MESSAGES[name]["payload"]["$ref"].rpartition("/")[2] for name in names}
        assert {SCHEMAS[schema]["properties"]["t"]["const"] for schema in schemas} == sent

    def test_names_of_rooms_have_the_documented_pattern(self) -> None:
        for model in (frames.Join, frames.Leave):
            assert model.model_json_schema()["properties"]["room"]["pattern"] == SCHEMAS["Room"]["pattern"]

    def test_reasons_to_reject_a_join_are_documented(self) -> None:
        reasons = get_args(frames.JoinRejected.model_fields["reason"].annotation)
        assert SCHEMAS["JoinRejected"]["properties"]["reason"]["enum"] == [*reasons]

    def test_notification_kinds_are_documented(self) -> None:
        assert SCHEMAS["NotificationFrame"]["properties"]["kind"]["enum"] == [
            *(kind.value for kind in NotificationKind)
        ]
