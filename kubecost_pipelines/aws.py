"""AWS sessions: a key of one's own or the default chain (IRSA's web identity included), then role after role.

boto3 takes half a second to load, and not everybody is in AWS: it is imported where it is used. Bills, clusters and
exports all need them, and adapters do not import one another: this lies below them.
"""

import os
from typing import TYPE_CHECKING, Any, Protocol

from pydantic import SecretStr

if TYPE_CHECKING:
    from boto3.session import Session
    from botocore.config import Config
    from botocore.session import Session as BotocoreSession


class AwsError(Exception):
    """There is nobody to be in AWS, or AWS refuses. The message ends with the cure."""


class Identity(Protocol):
    """What the settings say of one identity."""

    @property
    def region(self) -> str | None: ...
    @property
    def endpoint(self) -> str | None: ...
    @property
    def access_key_id(self) -> str | None: ...
    @property
    def secret_access_key(self) -> SecretStr | None: ...
    @property
    def role_arns(self) -> tuple[str, ...]: ...
    @property
    def external_id(self) -> str | None: ...


def open_session(identity: Identity) -> "Session":
    """Return a session that works as the last of the roles; its credentials renew themselves.

    Nobody is asked until the session is used.

    Raises:
        AwsError: there are no credentials to assume a role with.
    """
    import boto3

    secret = identity.secret_access_key
    session = boto3.Session(
        aws_access_key_id=identity.access_key_id,
        aws_secret_access_key=secret.get_secret_value() if secret else None,
        region_name=identity.region or os.environ.get("AWS_REGION"),
    )
    for role in identity.role_arns:
        if session.get_credentials() is None:
            raise AwsError(f"no AWS credentials to assume {role} with. Set up the default chain.")
        session = boto3.Session(botocore_session=_assume(session, role, identity), region_name=session.region_name)
    return session


def open_client(
    session: "Session", service: str, identity: Identity, region: str | None = None, config: "Config | None" = None
) -> Any:
    """Return a client of `service` where the identity says that AWS is."""
    client: Any = session.client
    return client(service, endpoint_url=identity.endpoint, region_name=region, config=config)


def read_secret(identity: Identity, secret_id: str) -> str:
    """Return the text of a secret in Secrets Manager; an ARN names its own region.

    Raises:
        AwsError: there is no such secret, or it may not be read.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    region = secret_id.split(":")[3] if secret_id.startswith("arn:") else None
    try:
        client = open_client(open_session(identity), "secretsmanager", identity, region)
        found = client.get_secret_value(SecretId=secret_id)
    except (BotoCoreError, ClientError) as error:
        raise AwsError(
            f"{secret_id}: {error}. Check its name and region, and that secretsmanager:GetSecretValue is allowed."
        ) from error
    return str(found.get("SecretString") or found["SecretBinary"].decode())


def _assume(session: "Session", role: str, identity: Identity) -> "BotocoreSession":
    from botocore.credentials import (
        AssumeRoleCredentialFetcher,
        DeferredRefreshableCredentials,
    )
    from botocore.session import get_session

    extra = {"RoleSessionName": getattr(identity, "session_name", "kubecost-pipelines")}
    if identity.external_id:
        extra["ExternalId"] = identity.external_id
    fetcher = AssumeRoleCredentialFetcher(
        client_creator=lambda *args, **kwargs: session.client(*args, **{"endpoint_url": identity.endpoint, **kwargs}),
        source_credentials=session.get_credentials(),
        role_arn=role,
        extra_args=extra,
    )
    assumed = get_session()
    renewing = DeferredRefreshableCredentials(method="assume-role", refresh_using=fetcher.fetch_credentials)
    # botocore has no public way to hand over credentials that renew themselves.
    assumed._credentials = renewing  # type: ignore[attr-defined]
    return assumed
