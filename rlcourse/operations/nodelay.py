"""A Jupyter server extension: a kernel's answers are sent to the browser at once.

A moved slider is answered by several small messages. By TCP's default (Nagle's algorithm) the second of them waits
until the browser has confirmed the first, and a browser that has nothing to send confirms after 40 milliseconds.
"""

from typing import Any

from jupyter_server.services.kernels.connection.channels import ZMQChannelsWebsocketConnection


class Connection(ZMQChannelsWebsocketConnection):
    """Jupyter Server's own between a kernel and a browser, with TCP_NODELAY."""

    def connect(self) -> Any:
        self.websocket_handler.set_nodelay(True)
        return super().connect()


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    return [{"module": __name__}]


def _load_jupyter_server_extension(server: Any) -> None:
    """Use it, except where the server was told to have another class, such as a gateway's."""
    settings = server.web_app.settings
    if settings["kernel_websocket_connection_class"] is ZMQChannelsWebsocketConnection:
        settings["kernel_websocket_connection_class"] = Connection
