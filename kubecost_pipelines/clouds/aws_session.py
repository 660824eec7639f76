"""AWS sessions: the store's own key or the default chain, then one role after the other."""

from typing import TYPE_CHECKING

import boto3
from botocore.credentials import AssumeRoleCredentialFetcher, DeferredRefreshableCredentials
from botocore.session import Session as BotocoreSession
from botocore.session import get_session

from kubecost_pipelines.clouds import BillError
from kubecost_pipelines.settings import CloudStoreSettings

if TYPE_CHECKING:
    from boto3.session import Session


def open_session(settings: CloudStoreSettings) -> "Session":
    """Return a session that reads as the last of the store's roles; its credentials renew themselves.

    Nobody is asked until the session is used.
    """
    secret = settings.secret_access_key
    session = boto3.Session(
        aws_access_key_id=settings.access_key_id,
        aws_secret_access_key=secret.get_secret_value() if secret else None,
        region_name=settings.region,
    )
    for role in settings.role_arns:
        if session.get_credentials() is None:
            raise BillError(f"{settings.title}: no AWS credentials to assume {role} with. Set up the default chain.")
        session = boto3.Session(botocore_session=_assume(session, role, settings), region_name=session.region_name)
    return session


def _assume(session: "Session", role: str, settings: CloudStoreSettings) -> BotocoreSession:
    extra = {"RoleSessionName": "kubecost-pipelines"}
    if settings.external_id:
        extra["ExternalId"] = settings.external_id
    fetcher = AssumeRoleCredentialFetcher(
        client_creator=lambda *args, **kwargs: session.client(*args, **{"endpoint_url": settings.endpoint, **kwargs}),
        source_credentials=session.get_credentials(),
        role_arn=role,
        extra_args=extra,
    )
    assumed = get_session()
    renewing = DeferredRefreshableCredentials(method="assume-role", refresh_using=fetcher.fetch_credentials)
    # botocore has no public way to hand over credentials that renew themselves.
    assumed._credentials = renewing  # type: ignore[attr-defined]
    return assumed
