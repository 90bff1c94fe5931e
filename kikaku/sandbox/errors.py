"""Stripe's errors: an exception with the status and the body of the error response."""

from typing import Any

DOC_URL = "https://docs.stripe.com/error-codes#"


class ApiError(Exception):
    """A refused request.

    `executed` says whether the endpoint had begun its work: only then is the answer stored under the
    request's idempotency key (https://docs.stripe.com/api/idempotent_requests: results of requests that fail
    validation are not saved).
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        error_type: str = "invalid_request_error",
        code: str | None = None,
        param: str | None = None,
        executed: bool = False,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.error_type = error_type
        self.code = code
        self.param = param
        self.executed = executed

    def body(self) -> dict[str, Any]:
        """Return the JSON document `{"error": {…}}` for the client."""
        error: dict[str, Any] = {"message": self.message, "type": self.error_type}
        if self.code is not None:
            error["code"] = self.code
            error["doc_url"] = DOC_URL + self.code.replace("_", "-")
        if self.param is not None:
            error["param"] = self.param
        return {"error": error}


def missing_object(noun: str, object_id: str, *, param: str = "id", status: int = 404) -> ApiError:
    """Return the `resource_missing` error: 404 for the object of the path, 400 for one in a parameter."""
    return ApiError(status, f"No such {noun}: '{object_id}'", code="resource_missing", param=param)


def unknown_route(method: str, path: str) -> ApiError:
    """Return the error of a path that the API does not have."""
    return ApiError(
        404,
        f"Unrecognized request URL ({method}: {path})."
        " Please see https://docs.stripe.com/api for what exists.",
    )
