"""What to tell the user of a failure of storage: what it is, and what to do."""

import os
from collections.abc import Iterator

BUSY = ("(503)", "SlowDown", "ServiceUnavailable", "InternalError", "please reduce your request rate")
EXPIRED = (
    "ExpiredToken",
    "TokenRefreshRequired",
    "token included in the request is expired",
    "token has expired",
)


def is_busy(error: BaseException) -> bool:
    """Whether the store says that it will answer later."""
    text = " ".join(str(e) for e in chain(error)).lower()
    return any(word.lower() in text for word in BUSY)


def expired(error: BaseException) -> str | None:
    """What to say of credentials that were good once; None where it is not that."""
    text = " ".join(str(e) for e in chain(error)).lower()
    if not any(word.lower() in text for word in EXPIRED):
        return None
    return (
        "the credentials have expired; renew them (AWS_SESSION_TOKEN, or the profile's login), then run again"
    )


def access(*, remote: bool) -> str:
    """What to look at where access is denied."""
    if remote:
        return "check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY (or the profile) and the bucket's policy"
    return "check the owner and mode of the directory"


def of(error: BaseException, *, remote: bool) -> str | None:
    """What to tell the user of a storage failure, of S3 (`remote`) or a disk; None when it is none."""
    names = {type(e).__name__ for e in chain(error)}
    text = " ".join(str(e) for e in chain(error))
    if names & {"NoCredentialsError", "PartialCredentialsError"}:
        return "no credentials found; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY or AWS_PROFILE"
    if (said := expired(error)) is not None:
        return said
    if any(
        code in text for code in ("InvalidAccessKeyId", "SignatureDoesNotMatch", "AccessDenied", "Forbidden")
    ):
        return f"access denied; {access(remote=remote)}"
    if "NoSuchBucket" in text:
        return "the bucket does not exist; check its name and AWS_ENDPOINT_URL"
    if names & {
        "EndpointConnectionError",
        "ConnectTimeoutError",
        "ReadTimeoutError",
        "ConnectionClosedError",
    }:
        endpoint = (
            os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or "AWS's default"
        )
        return f"the endpoint does not answer ({endpoint}); check AWS_ENDPOINT_URL and the network"
    if "ClientError" in names or isinstance(error, OSError):
        return f"{type(error).__name__}: {error}"
    return None


def chain(error: BaseException) -> Iterator[BaseException]:
    """An error and what led to it."""
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        seen = seen.__cause__ or seen.__context__
