"""The metrics of sockets and rooms."""

import time

from opentelemetry import metrics

from notifications.realtime.frames import NotificationFrame

_meter = metrics.get_meter(__name__)

open_sockets = _meter.create_up_down_counter(
    "hopline.websocket.connections", unit="{connection}", description="WebSockets open now"
)
closed_sockets = _meter.create_counter(
    "hopline.websocket.closed", unit="{connection}", description="WebSockets closed by the server, by close code"
)
sent_notifications = _meter.create_counter(
    "hopline.notifications.sent", unit="{notification}", description="Notifications written to a socket"
)
pulls = _meter.create_counter(
    "hopline.notifications.pulls", unit="{pull}", description="Pages read for sockets that were behind, by source"
)
open_rooms = _meter.create_up_down_counter(
    "hopline.room.open", unit="{room}", description="Rooms with at least one socket of this process"
)
room_members = _meter.create_up_down_counter(
    "hopline.room.members", unit="{socket}", description="Memberships of this process's sockets in rooms"
)
room_joins = _meter.create_counter(
    "hopline.room.joins", unit="{join}", description="Requests to join a room, by outcome"
)
sent_room_frames = _meter.create_counter(
    "hopline.room.frames", unit="{frame}", description="Stock and viewers frames written to a socket"
)
_latency = _meter.create_histogram(
    "hopline.notification.latency",
    unit="s",
    description="Time from the event to the frame of its notification, for sockets that were open",
    explicit_bucket_boundaries_advisory=[0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.25, 0.5, 1, 2.5, 5, 15],
)


def record_latency(frame: NotificationFrame) -> None:
    """Record the latency of a frame that was written now. A negative value becomes 0, because clocks can differ."""
    seconds = max(time.time() - frame.at.timestamp(), 0.0)
    _latency.record(seconds, {"hopline.notification.kind": frame.kind})
