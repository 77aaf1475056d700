"""Every way in which S3 refuses is told in words, with what to do, and whether to try again."""

from __future__ import annotations

import errno
import pickle
import socket
import ssl
from collections.abc import Mapping

import aiohttp
import pytest
from aiohttp.client_reqrep import ConnectionKey
from botocore import exceptions as raised
from botocore.parsers import ResponseParserError

from lineal_store.backends.s3_errors import Doubtful, RequestFailed

URL = "s3://ml/churn"
PUT = "http://user:word@127.0.0.1:9000/ml/churn/x?partNumber=1"
ENDPOINT = "http://127.0.0.1:9000"


def refused(
    code: str, status: int = 400, *, headers: Mapping[str, str] | None = None, **fields: str
) -> raised.ClientError:
    """What botocore raises for a reply."""
    error = {"Code": code, "Message": "No.", **fields}
    response = {
        "Error": error,
        "ResponseMetadata": {"HTTPStatusCode": status, "HTTPHeaders": dict(headers or {})},
    }
    return raised.ClientError(response, "PutObject")


def unconnected(reason: OSError) -> raised.EndpointConnectionError:
    key = ConnectionKey("127.0.0.1", 9000, False, True, None, None, None)
    return raised.EndpointConnectionError(endpoint_url=PUT, error=aiohttp.ClientConnectorError(key, reason))


UNTRUSTED = ssl.SSLCertVerificationError("certificate verify failed: self-signed certificate")
NAMELESS = socket.gaierror(socket.EAI_NONAME, "Name or service not known")
UNSURE = socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

# The error; words of the problem, words of the hint, whether trying again may help.
CASES: Mapping[str, tuple[BaseException, str, str, bool]] = {
    "bucket": (refused("NoSuchBucket", 404), "no bucket ml", "never creates", False),
    "access key": (refused("InvalidAccessKeyId", 403), "access key", "AWS_ACCESS_KEY_ID", False),
    "secret": (refused("SignatureDoesNotMatch", 403), "secret key", "AWS_SECRET_ACCESS_KEY", False),
    "expired": (refused("ExpiredToken"), "expired", "aws sso login", False),
    "token": (refused("InvalidToken"), "session token", "AWS_SESSION_TOKEN", False),
    "clock": (refused("RequestTimeTooSkewed", 403), "clock", "clock", False),
    "denied": (refused("AccessDenied", 403), "writing to it is denied", "s3:PutObject", False),
    "full": (refused("XMinioStorageFull", 507), "no room", "space", False),
    "quota": (refused("QuotaExceeded", 403), "quota", "quota", False),
    "full, in no words": (refused("507", 507), "no room", "space", False),
    "conditions": (refused("NotImplemented", 501), "If-None-Match", "single_writer", False),
    "method": (refused("MethodNotAllowed", 405), "does not allow", "policy", False),
    "name": (refused("InvalidBucketName"), "name of a bucket", "s3://bucket", False),
    "archived": (refused("InvalidObjectState", 403), "archived", "Restore", False),
    "redirect": (refused("PermanentRedirect", 301), "another region", "AWS_REGION", False),
    "region": (
        refused("AuthorizationHeaderMalformed", 400, Region="eu-central-1"),
        "region, eu-central-1",
        "AWS_REGION=eu-central-1",
        False,
    ),
    "region, by header": (
        refused("301", 301, headers={"x-amz-bucket-region": "eu-west-1"}),
        "region, eu-west-1",
        "AWS_REGION=eu-west-1",
        False,
    ),
    "throttled": (refused("SlowDown", 503), "fewer requests", "later", True),
    "too many": (refused("429", 429), "fewer requests", "later", True),
    "internal": (refused("InternalError", 500), "InternalError: No.", "later", True),
    "gateway": (refused("502", 502), "502", "later", True),
    "body time-out": (refused("RequestTimeout", 400), "RequestTimeout", "later", True),
    "damaged on the way": (refused("BadDigest", 400), "BadDigest", "later", True),
    "conflict": (refused("ConditionalRequestConflict", 409), "Conflict", "later", True),
    "aborted": (refused("NoSuchUpload", 404), "aborted", "later", True),
    "other": (refused("EntityTooLarge", 400), "EntityTooLarge: No.", "bucket", False),
    "no credentials": (raised.NoCredentialsError(), "no credentials", "AWS_PROFILE", False),
    "half of them": (
        raised.PartialCredentialsError(provider="env", cred_var="AWS_SECRET_ACCESS_KEY"),
        "no credentials",
        "AWS_SECRET_ACCESS_KEY",
        False,
    ),
    "no login": (
        raised.UnauthorizedSSOTokenError(),
        "expired",
        "aws sso login",
        False,
    ),
    "profile": (raised.ProfileNotFound(profile="ml"), "no profile ml", "AWS_PROFILE", False),
    "settings": (raised.ConfigParseError(path="config"), "configuration", "~/.aws", False),
    "endpoint": (ValueError("Invalid endpoint: minio:9000"), "invalid endpoint", "http://host:9000", False),
    "no listener": (
        unconnected(ConnectionRefusedError(errno.ECONNREFUSED, "Connect call failed")),
        f"nothing listens at {ENDPOINT}",
        "AWS_ENDPOINT_URL",
        True,
    ),
    "no route": (
        unconnected(OSError(errno.ENETUNREACH, "Network is unreachable")),
        f"{ENDPOINT} cannot be reached",
        "AWS_ENDPOINT_URL",
        True,
    ),
    "no such host": (unconnected(NAMELESS), f"the name of {ENDPOINT}", "AWS_ENDPOINT_URL", False),
    "no name server": (unconnected(UNSURE), f"the name of {ENDPOINT}", "AWS_ENDPOINT_URL", True),
    "connecting": (raised.ConnectTimeoutError(endpoint_url=PUT), "in time", "AWS_ENDPOINT_URL", True),
    "waiting": (raised.ReadTimeoutError(endpoint_url=PUT), "in time", "AWS_ENDPOINT_URL", True),
    "reset": (
        raised.EndpointConnectionError(endpoint_url=PUT, error=aiohttp.ClientOSError(104, "reset by peer")),
        f"the connection to {ENDPOINT} broke",
        "later",
        True,
    ),
    "closed": (raised.ConnectionClosedError(endpoint_url=PUT), "broke", "later", True),
    "cut off": (
        raised.IncompleteReadError(actual_bytes=1, expected_bytes=2),
        "cut off",
        "later",
        True,
    ),
    "cut off by aiohttp": (
        aiohttp.ClientPayloadError("not all"),
        "connection to its server broke",
        "later",
        True,
    ),
    "sum": (raised.FlexibleChecksumError(error_msg="1 is not 2"), "damaged", "later", True),
    "doubtful": (Doubtful("a reply without ETag came"), "without ETag", "later", True),
    "certificate": (
        raised.SSLError(endpoint_url=PUT, error=UNTRUSTED),
        "is not trusted",
        "AWS_CA_BUNDLE",
        False,
    ),
    "no TLS": (
        raised.SSLError(endpoint_url=PUT, error=ssl.SSLError("wrong version number")),
        "secure connection",
        "AWS_ENDPOINT_URL",
        False,
    ),
    "no bundle": (
        raised.HTTPClientError(error=FileNotFoundError(errno.ENOENT, "No such file", "ca.pem")),
        "ca.pem",
        "AWS_CA_BUNDLE",
        False,
    ),
    "proxy": (raised.ProxyConnectionError(proxy_url="http://proxy"), "proxy", "HTTPS_PROXY", True),
    "no S3": (ResponseParserError("Unable to parse response"), "as S3 does", "AWS_ENDPOINT_URL", True),
    "what nobody thought of": (TypeError("a mistake"), "TypeError: a mistake", "later", False),
}


@pytest.mark.parametrize("case", CASES)
def test_each_error_is_told_with_what_to_do(case: str) -> None:
    error, problem, hint, is_transient = CASES[case]

    told = RequestFailed("put_object", error).explained(URL)

    assert problem in told.problem
    assert told.hint is not None
    assert hint in told.hint
    assert told.transient == is_transient
    assert told.url == URL
    assert "word" not in str(told), "credentials of an endpoint are nobody's business"
    assert str(pickle.loads(pickle.dumps(told))) == str(told)


@pytest.mark.parametrize(
    ("operation", "doing", "right"),
    [
        ("get_object", "reading from it", "s3:GetObject"),
        ("head_object", "reading from it", "s3:ListBucket"),
        ("list_objects_v2", "listing it", "s3:ListBucket"),
        ("put_object", "writing to it", "s3:PutObject"),
        ("upload_part", "writing to it", "s3:AbortMultipartUpload"),
        ("delete_objects", "deleting from it", "s3:DeleteObject"),
    ],
)
def test_what_is_denied_names_the_right_to_ask_for(operation: str, doing: str, right: str) -> None:
    for code in ("AccessDenied", "403"):
        told = RequestFailed(operation, refused(code, 403)).explained(URL)

        assert told.problem == f"{doing} is denied"
        assert right in str(told.hint)


@pytest.mark.parametrize(
    ("error", "may_have_worked"),
    [
        (refused("InternalError", 500), True),
        (refused("504", 504), True),
        (refused("SlowDown", 503), False),
        (refused("ConditionalRequestConflict", 409), False),
        (refused("AccessDenied", 403), False),
        (raised.ConnectionClosedError(endpoint_url=PUT), True),
        (raised.ReadTimeoutError(endpoint_url=PUT), True),
        (Doubtful("a reply without ETag came"), True),
    ],
)
def test_a_server_that_did_not_answer_or_stumbled_may_have_done_it(
    error: Exception, may_have_worked: bool
) -> None:
    assert RequestFailed("put_object", error).may_have_worked == may_have_worked


def test_what_the_server_said_is_found_behind_s3fs_errors() -> None:
    translated = OSError(errno.EINVAL, "At least one of the pre-conditions did not hold")
    translated.__cause__ = refused("PreconditionFailed", 412)

    failed = RequestFailed("put_object", translated)

    assert (failed.code, failed.status) == ("PreconditionFailed", 412)
