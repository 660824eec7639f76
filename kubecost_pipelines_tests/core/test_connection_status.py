"""The six statuses and every way between them."""

import pytest

from kubecost_pipelines.core.connection_status import CURES, ConnectionEvent, ConnectionStatus, next_status

AFTER = {
    ConnectionEvent.NO_CONFIGURATION: ConnectionStatus.MISSING_CONFIGURATION,
    ConnectionEvent.MISSING_FIELDS: ConnectionStatus.INCOMPLETE_CONFIGURATION,
    ConnectionEvent.ERROR: ConnectionStatus.FAILED_CONNECTION,
    ConnectionEvent.EMPTY: ConnectionStatus.MISSING_DATA,
    ConnectionEvent.DATA: ConnectionStatus.SUCCESSFUL_CONNECTION,
}


@pytest.mark.parametrize("current", ConnectionStatus)
@pytest.mark.parametrize("event", ConnectionEvent)
def test_a_check_decides_and_only_success_outlives_an_empty_answer(
    current: ConnectionStatus, event: ConnectionEvent
) -> None:
    """Kubecost's documentation: MISSING_DATA is not set over SUCCESSFUL_CONNECTION; errors replace anything."""
    stays = current is ConnectionStatus.SUCCESSFUL_CONNECTION and event is ConnectionEvent.EMPTY

    status = next_status(current, event)

    assert status is (current if stays else AFTER[event])
    assert status is not ConnectionStatus.INITIAL_STATUS


def test_every_status_but_success_has_a_cure() -> None:
    assert {status for status in ConnectionStatus if not CURES[status]} == {ConnectionStatus.SUCCESSFUL_CONNECTION}
