"""What boto3 raises, as the few kinds of trouble that there are with AWS, each with its remedy."""

from typing import Any

from cli.errors.kind import ExitCode, Kind

_NO_CREDENTIALS = Kind(
    "no_credentials",
    ExitCode.UNREACHABLE,
    "there are no AWS credentials: run `aws configure` or `aws sso login`, or name a profile in AWS_PROFILE",
    (
        "botocore.exceptions.NoCredentialsError",
        "botocore.exceptions.PartialCredentialsError",
        "botocore.exceptions.CredentialRetrievalError",
        "botocore.exceptions.MetadataRetrievalError",
        "botocore.exceptions.NoAuthTokenError",
        "botocore.exceptions.LoginError",
    ),
)
_EXPIRED = Kind(
    "expired_credentials",
    ExitCode.UNREACHABLE,
    "the AWS credentials have expired: get new ones, by `aws sso login` for example",
    (
        "botocore.exceptions.SSOError",
        "botocore.exceptions.TokenRetrievalError",
        "botocore.exceptions.LoginRefreshRequired",
    ),
)
_INVALID = Kind(
    "invalid_credentials",
    ExitCode.UNREACHABLE,
    "AWS does not know these credentials: look at AWS_PROFILE and AWS_ACCESS_KEY_ID, and at this machine's clock",
)
_DENIED = Kind(
    "access_denied",
    ExitCode.UNREACHABLE,
    "these AWS credentials may not do this: ask for the permission that is named, or use another AWS_PROFILE",
)
_THROTTLED = Kind(
    "throttled", ExitCode.UNREACHABLE, "AWS takes no more calls for now: wait a minute, and give the command again"
)
_UNAVAILABLE = Kind(
    "aws_unavailable", ExitCode.UNREACHABLE, "AWS has failed on its side: wait a minute, and give the command again"
)
_MISSING = Kind(
    "missing_resource",
    ExitCode.FAILED,
    "AWS does not have what was asked for: if it is of the stack, `fedgrass doctor` says what mends it",
)
_ANY = Kind(
    "aws_error",
    ExitCode.FAILED,
    "AWS refused a call",
    ("botocore.exceptions.ClientError", "botocore.exceptions.BotoCoreError", "boto3.exceptions.Boto3Error"),
)

AWS_KINDS = (
    _NO_CREDENTIALS,
    _EXPIRED,
    _INVALID,
    _DENIED,
    Kind(
        "invalid_aws_configuration",
        ExitCode.UNREACHABLE,
        "your AWS configuration is wrong: look at AWS_PROFILE, AWS_DEFAULT_REGION, AWS_ENDPOINT_URL and ~/.aws/config",
        (
            "botocore.exceptions.ProfileNotFound",
            "botocore.exceptions.ConfigNotFound",
            "botocore.exceptions.ConfigParseError",
            "botocore.exceptions.InvalidConfigError",
            "botocore.exceptions.InvalidRegionError",
            "cli.commands.aws.InvalidEndpointError",
        ),
    ),
    Kind(
        "no_region",
        ExitCode.UNREACHABLE,
        "no AWS Region is set: name one in AWS_DEFAULT_REGION, or run `aws configure`",
        ("botocore.exceptions.NoRegionError",),
    ),
    Kind(
        "endpoint_unreachable",
        ExitCode.UNREACHABLE,
        "AWS can't be reached: look at the network, the proxy, AWS_DEFAULT_REGION and AWS_ENDPOINT_URL",
        (
            "botocore.exceptions.HTTPClientError",
            "botocore.exceptions.EndpointConnectionError",
            "botocore.exceptions.ConnectionError",
        ),
    ),
    Kind(
        "aws_timed_out",
        ExitCode.TIMED_OUT,
        "AWS has not answered in time: look at the network, and give the command again",
        ("botocore.exceptions.ReadTimeoutError",),
    ),
    _THROTTLED,
    _UNAVAILABLE,
    _MISSING,
    _ANY,
)

_BY_AWS_CODE = {
    **dict.fromkeys(
        ("ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired", "RequestExpired", "ExpiredCredentials"),
        _EXPIRED,
    ),
    **dict.fromkeys(
        (
            "InvalidClientTokenId",
            "UnrecognizedClientException",
            "InvalidAccessKeyId",
            "InvalidToken",
            "SignatureDoesNotMatch",
            "InvalidSignatureException",
            "IncompleteSignature",
            "MissingAuthenticationToken",
            "RequestTimeTooSkewed",
            "AuthFailure",
        ),
        _INVALID,
    ),
    **dict.fromkeys(
        (
            "AccessDenied",
            "AccessDeniedException",
            "AuthorizationError",
            "ForbiddenException",
            "Forbidden",
            "NotAuthorized",
            "OptInRequired",
            "UnauthorizedException",
            "UnauthorizedOperation",
            "403",
        ),
        _DENIED,
    ),
    **dict.fromkeys(
        (
            "LimitExceededException",
            "PriorRequestNotComplete",
            "ProvisionedThroughputExceededException",
            "RequestLimitExceeded",
            "RequestThrottled",
            "RequestThrottledException",
            "SlowDown",
            "ThrottledException",
            "Throttling",
            "ThrottlingException",
            "TooManyRequestsException",
        ),
        _THROTTLED,
    ),
    **dict.fromkeys(
        (
            "AWS.SimpleQueueService.NonExistentQueue",
            "NoSuchBucket",
            "NoSuchEntity",
            "QueueDoesNotExist",
            "ResourceNotFoundException",
        ),
        _MISSING,
    ),
}
_SERVER_ERROR = 500


def kind_of_answer(response: Any) -> Kind:
    """What an answer that is an error means; `response` is as boto3 has it."""
    code = str(response.get("Error", {}).get("Code", ""))
    if code in _BY_AWS_CODE:
        return _BY_AWS_CODE[code]
    status = response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return _UNAVAILABLE if status >= _SERVER_ERROR else _ANY
