"""Why the Hugging Face hub gives or takes nothing, in our words."""

from __future__ import annotations

from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)


def why_no_hub(error: BaseException) -> str:
    """In a few words, without the hub's advice."""
    match error:
        case HFValidationError():
            return "no name of a repository"
        case GatedRepoError():
            return "it is for those whom its owner has given access"
        case RepositoryNotFoundError():
            return "there is no such repository, or it is private"
        case RevisionNotFoundError():
            return "there is no such revision"
        case HfHubHTTPError() if error.response is not None:
            return f"HTTP {error.response.status_code}"
        case OSError(strerror=str(words)):
            return words
    return type(error).__name__
