"""The course's Jupyter server answers a browser without TCP's delay, and leaves other servers' connections alone."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from jupyter_server.services.kernels.connection.base import BaseKernelWebsocketConnection
from jupyter_server.services.kernels.connection.channels import ZMQChannelsWebsocketConnection
from jupyter_server.services.kernels.websocket import KernelWebsocketHandler

from rlcourse.operations import nodelay

SETTINGS = Path(nodelay.__file__).parent / "settings/etc/jupyter/jupyter_server_config.d/rlcourse.json"


def used(configured: type) -> Any:
    """The class that a server uses which was configured to have this one."""
    server = SimpleNamespace(web_app=SimpleNamespace(settings={"kernel_websocket_connection_class": configured}))
    nodelay._load_jupyter_server_extension(server)
    return server.web_app.settings["kernel_websocket_connection_class"]


def test_the_extension_is_switched_on_where_the_course_is_installed() -> None:
    assert json.loads(SETTINGS.read_text())["ServerApp"]["jpserver_extensions"][nodelay.__name__] is True


def test_the_servers_own_connections_are_replaced_and_no_others() -> None:
    assert used(ZMQChannelsWebsocketConnection) is nodelay.Connection
    assert used(BaseKernelWebsocketConnection) is BaseKernelWebsocketConnection


def test_a_connection_asks_for_no_delay_before_anything_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[object] = []
    monkeypatch.setattr(KernelWebsocketHandler, "set_nodelay", lambda handler, value: done.append(value))
    monkeypatch.setattr(ZMQChannelsWebsocketConnection, "connect", lambda connection: done.append("connected"))
    handler = KernelWebsocketHandler.__new__(KernelWebsocketHandler)
    nodelay.Connection(websocket_handler=handler).connect()
    assert done == [True, "connected"]
