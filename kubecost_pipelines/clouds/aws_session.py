"""The AWS session of one bill."""

from typing import TYPE_CHECKING

from kubecost_pipelines import aws
from kubecost_pipelines.clouds import BillError
from kubecost_pipelines.settings import CloudStoreSettings

if TYPE_CHECKING:
    from boto3.session import Session


def open_session(settings: CloudStoreSettings) -> "Session":
    """Return a session that reads as the last of the store's roles.

    Raises:
        BillError: there are no credentials to assume a role with.
    """
    try:
        return aws.open_session(settings)
    except aws.AwsError as error:
        raise BillError(f"{settings.title}: {error}") from error
