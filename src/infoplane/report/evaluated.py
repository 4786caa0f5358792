"""Read the evaluation of a run, which `infoplane evaluate` writes into its folder."""

from pydantic import ValidationError

from infoplane.errors import UserError, broken_rule
from infoplane.records.evaluation import EVALUATION, EVALUATION_FILE, Evaluation
from infoplane.runs.folder import RunFolder


def evaluation_of(run: RunFolder) -> Evaluation | None:
    """Return the evaluation in the folder of a run; None if there is none.

    Raises:
        UserError: the file was changed, or another version wrote it.
    """
    folder = RunFolder(run.path / EVALUATION)
    path = folder.path / EVALUATION_FILE
    if not path.is_file():
        return None
    try:
        return Evaluation.model_validate_json(folder.read_file(path, "give the command infoplane evaluate again"))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "all of it"
        raise UserError(
            f"{path} is not of this version ({where} {broken_rule(first)}); give the command infoplane evaluate again"
        ) from None
