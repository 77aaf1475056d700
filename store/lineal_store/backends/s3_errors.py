"""What S3 refuses, and why: failures of requests, and the words for them.

S3's own codes are in its reference ("Error responses", Amazon S3 API); other servers add some of theirs.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from lineal_store.errors import StoreUnavailable

ABSENT = {"NoSuchKey", "404"}
REFUSED_BY_CONDITION = {"PreconditionFailed", "412"}
CONDITION_UNKNOWN = {"NotImplemented", "501"}
BEYOND_THE_END = {"InvalidRange", "416"}

_THROTTLED = {
    "SlowDown",
    "Throttling",
    "ThrottlingException",
    "RequestThrottled",
    "RequestLimitExceeded",
    "TooManyRequests",
    "BandwidthLimitExceeded",
    "429",
}
# The server refused, but not for what was asked: the same may be granted the next time.
_PASSING = _THROTTLED | {
    "BadDigest",
    "ConditionalRequestConflict",
    "IncompleteBody",
    "InternalError",
    "OperationAborted",
    "RequestTimeout",
    "ServiceUnavailable",
    "XAmzContentChecksumMismatch",
    "XAmzContentSHA256Mismatch",
}
_FULL = {
    "InsufficientStorage",
    "InsufficientStorageSpace",
    "QuotaExceeded",
    "XMinioAdminBucketQuotaExceeded",
    "XMinioStorageFull",
    "507",
}
_LASTING_STATUSES = {501, 505, 507}


class Doubtful(Exception):
    """A reply that cannot be right, although it says that all went well."""


class RequestFailed(Exception):
    """A request that failed, by the name that botocore has for it; ``error`` is what botocore or aiohttp raised."""

    def __init__(self, operation: str, error: BaseException) -> None:
        # s3fs wraps what the server said into errors of the operating system's kind, not always the same ones.
        if error.__cause__ is not None and hasattr(error.__cause__, "response"):
            error = error.__cause__
        super().__init__(operation, error)
        self.operation, self.error = operation, error

    @property
    def code(self) -> str:
        """What the server calls the error; where a reply had no room to say, its status; empty without a reply."""
        return str(self._response.get("Error", {}).get("Code") or self.status or "")

    @property
    def status(self) -> int:
        """The HTTP status of the reply; 0 without one."""
        return int(self._response.get("ResponseMetadata", {}).get("HTTPStatusCode") or 0)

    @property
    def headers(self) -> Mapping[str, str]:
        """Those of the reply."""
        return self._response.get("ResponseMetadata", {}).get("HTTPHeaders") or {}

    @property
    def is_transient(self) -> bool:
        """Whether the same request may succeed if it is sent again."""
        if self._response:
            if self.code in _FULL or self.code in CONDITION_UNKNOWN:
                return False
            lasting = self.status < 500 or self.status in _LASTING_STATUSES
            return self.code in _PASSING or self.status in (408, 429) or not lasting
        return isinstance(self.error, _passing_errors()) and not self._is_misdirected

    @property
    def may_have_worked(self) -> bool:
        """Whether the server may have done what it was asked, and failed afterwards."""
        return self.status in (0, 200) or (self.status >= 500 and self.code not in _THROTTLED)

    @property
    def _response(self) -> Mapping[str, Any]:
        return getattr(self.error, "response", None) or {}

    @property
    def _is_misdirected(self) -> bool:
        """Whether the endpoint is one that no later try will reach."""
        from botocore.exceptions import SSLError

        reason = _reason(self.error)
        is_nameless = isinstance(reason, socket.gaierror) and reason.errno == socket.EAI_NONAME
        return is_nameless or isinstance(self.error, SSLError) or isinstance(reason, FileNotFoundError)

    def explained(self, url: str) -> StoreUnavailable:
        """The same for whoever uses the store at ``url``."""
        problem, hint = _told(self, url)
        return StoreUnavailable(url, problem, hint, self.is_transient or self.code == "NoSuchUpload")


def _passing_errors() -> tuple[type[BaseException], ...]:
    """What is raised when no reply came, or not all of one."""
    import aiohttp
    from botocore import exceptions as raised
    from botocore.parsers import ResponseParserError

    replies = (Doubtful, raised.FlexibleChecksumError, raised.IncompleteReadError, ResponseParserError)
    ways = (raised.ConnectionError, raised.HTTPClientError, aiohttp.ClientError, OSError, TimeoutError)
    return (*replies, *ways)


_READING = (
    "reading from it",
    "s3:GetObject, and s3:ListBucket, without which S3 calls denied what is merely absent",
)
_LARGE = ("writing to it", "s3:PutObject and s3:AbortMultipartUpload")
_USES = {
    "get_object": _READING,
    "head_object": _READING,
    "list_objects_v2": ("listing it", "s3:ListBucket"),
    "put_object": ("writing to it", "s3:PutObject"),
    "create_multipart_upload": _LARGE,
    "upload_part": _LARGE,
    "complete_multipart_upload": _LARGE,
    "abort_multipart_upload": _LARGE,
    "delete_objects": ("deleting from it", "s3:DeleteObject"),
}

_CONDITIONS = (
    "Use a server that does (AWS, MinIO, SeaweedFS, …), or, if you alone write to it, set single_writer = true in the "
    "configuration (LINEAL_SINGLE_WRITER=1)."
)
_WHOSE = "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or the profile that AWS_PROFILE names"
_WAIT = "Run the same again later: what is done is kept, and not done again."
_LOG_IN = "Get new ones, for example with `aws sso login`, and run the same again."
_CLOCK = "Set this machine's clock; time synchronisation (chrony, systemd-timesyncd) keeps it right."
_ENDPOINT = "Check AWS_ENDPOINT_URL, and that the server runs and can be reached from here."
_TRUST = "Set AWS_CA_BUNDLE to the certificate of the authority that signed the server's."

_BY_CODE = {
    "InvalidAccessKeyId": (
        "its server does not know the access key",
        f"Check {_WHOSE}, and that they belong to that server.",
    ),
    "SignatureDoesNotMatch": ("the secret key does not belong to the access key", f"Check {_WHOSE}."),
    "ExpiredToken": ("the credentials have expired", _LOG_IN),
    "InvalidToken": ("the session token is not valid", f"Check AWS_SESSION_TOKEN beside {_WHOSE}."),
    "RequestTimeTooSkewed": ("this machine's clock and the server's differ by too much", _CLOCK),
    "NotImplemented": ("its server does not know conditional writes (If-None-Match)", _CONDITIONS),
    "InvalidBucketName": ("that is no name of a bucket", "Write s3://bucket or s3://bucket/prefix."),
    "InvalidObjectState": (
        "an object of it is archived",
        "Restore it from its storage class, and try again.",
    ),
    "MethodNotAllowed": (
        "its server does not allow what was asked",
        "Check what retention or policy the bucket has, and that the server is not read-only.",
    ),
    "NoSuchUpload": ("an upload that was under way has been aborted by somebody", _WAIT),
}
_BY_CODE |= {
    "InvalidClientTokenId": _BY_CODE["InvalidAccessKeyId"],
    "UnrecognizedClientException": _BY_CODE["InvalidAccessKeyId"],
    "InvalidSecurity": _BY_CODE["SignatureDoesNotMatch"],
    "ExpiredTokenException": _BY_CODE["ExpiredToken"],
    "TokenRefreshRequired": _BY_CODE["ExpiredToken"],
    "RequestExpired": _BY_CODE["RequestTimeTooSkewed"],
    "405": _BY_CODE["MethodNotAllowed"],
    "501": _BY_CODE["NotImplemented"],
}
_DENIED = {
    "AccessDenied",
    "AccessDeniedException",
    "AccountProblem",
    "AllAccessDisabled",
    "Forbidden",
    "UnauthorizedAccess",
    "401",
    "403",
}
_ELSEWHERE = {
    "AuthorizationHeaderMalformed",
    "IllegalLocationConstraintException",
    "IncorrectEndpoint",
    "PermanentRedirect",
    "Redirect",
    "TemporaryRedirect",
    "301",
    "302",
    "307",
}


def _told(failed: RequestFailed, url: str) -> tuple[str, str]:
    """What keeps the store from being used, and what to do about it."""
    if failed.code:
        return _told_of_reply(failed, url)
    return _told_of_settings(failed.error) or _told_of_silence(failed.error)


def _told_of_reply(failed: RequestFailed, url: str) -> tuple[str, str]:
    code = failed.code
    using, right = _USES.get(failed.operation, (f"{failed.operation} on it", f"s3:{failed.operation}"))
    if code == "NoSuchBucket" or code in ABSENT:
        bucket = url.removeprefix("s3://").partition("/")[0]
        return (
            f"there is no bucket {bucket}",
            "Create it, or check its name and AWS_ENDPOINT_URL; Lineal never creates a bucket.",
        )
    if code in _DENIED:
        return (
            f"{using} is denied",
            f"Ask for {right} on that bucket, or use other credentials (AWS_PROFILE).",
        )
    if code in _ELSEWHERE:
        region = _region(failed)
        hint = f"Set AWS_REGION={region}." if region else "Set AWS_REGION to the region of the bucket."
        return f"the bucket is in another region{f', {region}' if region else ''}", hint
    if code in _FULL:
        return (
            "its server has no room left, or a quota is used up",
            "Free some space there, raise the quota, or set LINEAL_STORE to a place that has room.",
        )
    if code in _THROTTLED:
        return "its server asks for fewer requests, again and again", _WAIT
    if code in _BY_CODE:
        return _BY_CODE[code]
    message = _response_error(failed).get("Message") or "no reason given"
    told = f"{using} failed at its server, which says {code}: {message}"
    return told, _WAIT if failed.is_transient else "Check the server, and how the bucket is set up."


def _told_of_settings(error: BaseException) -> tuple[str, str] | None:
    """For an error that this machine's settings cause, before anything is sent."""
    from botocore import exceptions as raised

    expired = (raised.SSOTokenLoadError, raised.UnauthorizedSSOTokenError, raised.TokenRetrievalError)
    missing = (raised.NoCredentialsError, raised.PartialCredentialsError)
    files = (raised.ConfigNotFound, raised.ConfigParseError, raised.InvalidConfigError)
    if isinstance(error, missing):
        return "no credentials were found", f"Set {_WHOSE}."
    if isinstance(error, expired):
        return _BY_CODE["ExpiredToken"]
    if isinstance(error, (raised.CredentialRetrievalError, raised.MetadataRetrievalError)):
        return f"the credentials could not be obtained: {error}", f"Check {_WHOSE}."
    if isinstance(error, raised.ProfileNotFound):
        name = getattr(error, "kwargs", {}).get("profile", "")
        return f"there is no profile {name}", "Check AWS_PROFILE, and the files in ~/.aws."
    if isinstance(error, files):
        return f"the configuration of AWS cannot be read: {error}", "Check the files in ~/.aws."
    if isinstance(error, raised.ParamValidationError):
        return _BY_CODE["InvalidBucketName"]
    if isinstance(error, (raised.NoRegionError, raised.InvalidRegionError)):
        return "the region is not valid", "Set AWS_REGION to the region of the bucket."
    if isinstance(error, ValueError) and "endpoint" in str(error).lower():
        return str(error)[:1].lower() + str(error)[
            1:
        ], "Set AWS_ENDPOINT_URL to a URL such as http://host:9000."
    return None


def _told_of_silence(error: BaseException) -> tuple[str, str]:
    """For a request that got no reply, or none that can be made sense of."""
    import aiohttp
    from botocore import exceptions as raised
    from botocore.parsers import ResponseParserError

    where, reason = _endpoint(error), _reason(error)
    if isinstance(error, (raised.ConnectTimeoutError, raised.ReadTimeoutError, TimeoutError)):
        return f"{where} does not answer in time", _ENDPOINT
    if isinstance(error, raised.SSLError):
        if "certificate verify failed" in str(reason).lower():
            return f"the certificate of {where} is not trusted", _TRUST
        return f"no secure connection to {where} comes about: {reason}", _ENDPOINT
    if isinstance(error, raised.ProxyConnectionError):
        return "the proxy cannot be reached", "Check HTTP_PROXY, HTTPS_PROXY and NO_PROXY."
    if isinstance(error, raised.EndpointConnectionError):
        if isinstance(reason, socket.gaierror):
            return f"the name of {where} is not known", _ENDPOINT
        if isinstance(reason, ConnectionRefusedError):
            return f"nothing listens at {where}", _ENDPOINT
        if isinstance(getattr(error, "kwargs", {}).get("error"), aiohttp.ClientConnectorError):
            return f"{where} cannot be reached: {reason}", _ENDPOINT
    if isinstance(error, ResponseParserError):
        return "what answers there does not answer as S3 does", _ENDPOINT
    if isinstance(error, (Doubtful, raised.FlexibleChecksumError, raised.IncompleteReadError)):
        return f"what its server sends is damaged or cut off: {error}", _WAIT
    if isinstance(reason, FileNotFoundError):
        return f"a file that secure connections need is not there: {reason.filename or reason}", _TRUST
    if isinstance(error, _passing_errors()):
        return f"the connection to {where} broke: {reason or type(error).__name__}", _WAIT
    return f"asking its server failed: {type(error).__name__}: {error}", _WAIT


def _reason(error: BaseException) -> BaseException | None:
    """What the system said, as far as botocore and aiohttp have kept it."""
    cause = getattr(error, "kwargs", {}).get("error")
    return getattr(cause, "os_error", cause)


def _region(failed: RequestFailed) -> str:
    """The region that the server says the bucket is in, or nothing."""
    return _response_error(failed).get("Region") or failed.headers.get("x-amz-bucket-region") or ""


def _response_error(failed: RequestFailed) -> Mapping[str, str]:
    return getattr(failed.error, "response", {}).get("Error") or {}


def _endpoint(error: BaseException) -> str:
    """Where a request went, without what was asked of it, and without credentials."""
    target = urlsplit(str(getattr(error, "kwargs", {}).get("endpoint_url") or ""))
    if not target.hostname:
        return "its server"
    port = f":{target.port}" if target.port else ""
    return f"{target.scheme}://{target.hostname}{port}"
