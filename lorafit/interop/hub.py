"""A folder onto the Hugging Face hub."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

from lorafit.errors import LorafitError, RecipeError, RunCommand


@dataclass(frozen=True)
class Upload:
    """The model repository to put a folder into; made where it is not there yet."""

    repo: str
    private: bool = False


def upload_folder(folder: Path, upload: Upload) -> str:
    """Upload every file in one commit; returns its address. The user's own token is used, as `hf auth login` left it.

    Raises RecipeError for a name that cannot be one, LorafitError where the hub is out of reach or refuses.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    from lorafit.hub import why_no_hub

    # Of the client that this huggingface_hub speaks through: httpx, or its successor.
    transport = (
        kind
        for kind in HfHubHTTPError.__mro__
        if kind.__name__ == "HTTPError" and issubclass(kind, Exception)
    )
    out_of_reach: tuple[type[Exception], ...] = (OSError, *transport)
    api = HfApi()
    try:
        api.create_repo(upload.repo, private=upload.private, exist_ok=True)
        done = api.upload_folder(repo_id=upload.repo, folder_path=folder, commit_message="Adapter by lorafit")
    except HFValidationError as error:
        raise RecipeError(f"{upload.repo}: {why_no_hub(error)}") from None
    except HfHubHTTPError as error:
        fault = f"{upload.repo}: the hub refuses: {why_no_hub(error)}; the export itself is done: {folder}"
        raise LorafitError(fault, RunCommand("hf auth login")) from None
    except out_of_reach as error:
        fault = f"{upload.repo}: the hub is out of reach ({why_no_hub(error)}); the export itself is done: {folder}"
        source = shlex.quote(str(folder))
        raise LorafitError(fault, RunCommand(f"hf upload {upload.repo} {source}", "later")) from None
    return str(done.commit_url)
