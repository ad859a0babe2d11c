"""What a notebook's frontend would show of the things that are displayed, for tests without a kernel."""

from typing import Any

from IPython.core.displaypub import DisplayPublisher

Shown = tuple[dict[str, Any], dict[str, Any]]


class Screen(DisplayPublisher):
    """Collects what is displayed; an update takes the place of what it updates."""

    def __init__(self) -> None:
        super().__init__()
        self._shown: dict[str, Shown] = {}

    def now(self) -> dict[str, Shown]:
        """Data and metadata, in the order in which their places were first taken."""
        return dict(self._shown)

    def clear(self) -> None:
        self._shown.clear()

    def publish(
        self,
        data: dict[str, Any],
        metadata: dict[str, Any] | None = None,
        source: Any = None,
        *,
        transient: dict[str, str] | None = None,
        update: bool = False,
        **_: Any,
    ) -> None:
        place = (transient or {}).get("display_id", f"place {len(self._shown)}")
        if place in self._shown or not update:  # an update of what nobody sees changes nothing
            self._shown[place] = data, metadata or {}
