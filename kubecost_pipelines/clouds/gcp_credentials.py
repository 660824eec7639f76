"""Google's credentials (a key, or what the default chain finds), and its words for what went wrong."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from google.api_core.exceptions import GoogleAPICallError
from google.auth.credentials import AnonymousCredentials
from google.auth.exceptions import GoogleAuthError
from google.oauth2 import service_account

from kubecost_pipelines.clouds import BillError
from kubecost_pipelines.settings import CloudStoreSettings

SCOPES = ("https://www.googleapis.com/auth/cloud-platform",)


def google_credentials(settings: CloudStoreSettings) -> Any:
    """Return the store's credentials; None leaves it to the default chain. A server of your own is asked as nobody."""
    if settings.service_account_key is None:
        return AnonymousCredentials() if settings.endpoint else None  # type: ignore[no-untyped-call]
    try:
        info = json.loads(settings.service_account_key.get_secret_value())
        return service_account.Credentials.from_service_account_info(info, scopes=SCOPES)  # type: ignore[no-untyped-call]
    except (ValueError, TypeError) as error:
        # The library's own words may quote the key.
        raise BillError(
            f"{settings.title}: the service account key cannot be read ({type(error).__name__}). Paste the whole JSON "
            "file that Google gave out."
        ) from None


@contextmanager
def in_google_words(place: str, cure_of: Callable[[Exception], str]) -> Iterator[None]:
    """Turn the clients' errors into `BillError`s: the place, the first line of Google's words, and the cure."""
    try:
        yield
    except (GoogleAPICallError, GoogleAuthError) as error:
        words = str(error).split("\n", 1)[0]
        raise BillError(f"{place}: {words}. {cure_of(error)}") from error
