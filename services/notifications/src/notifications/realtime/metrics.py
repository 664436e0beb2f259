"""What a process can tell about its sockets in numbers."""

from opentelemetry import metrics

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
