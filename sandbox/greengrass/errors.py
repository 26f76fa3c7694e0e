"""What the service refuses, by the names of its API."""

from typing import Any


class ServiceError(Exception):
    """A call that is not done. `code` is the exception of the API, `fields` what it has beside the message."""

    code = "InternalServerException"

    def __init__(self, message: str, **fields: Any) -> None:
        super().__init__(message)
        self.message = message
        self.fields = fields


class ValidationError(ServiceError):
    """What was asked has the wrong form."""

    code = "ValidationException"


class NotFoundError(ServiceError):
    """There is none of that name."""

    code = "ResourceNotFoundException"

    def __init__(self, message: str, kind: str, name: str) -> None:
        super().__init__(message, resourceId=name, resourceType=kind)


class ConflictError(ServiceError):
    """There is one of that name already, or it is not in the state for that."""

    code = "ConflictException"

    def __init__(self, message: str, kind: str, name: str) -> None:
        super().__init__(message, resourceId=name, resourceType=kind)


class AccessDeniedError(ServiceError):
    """It belongs to AWS."""

    code = "AccessDeniedException"
