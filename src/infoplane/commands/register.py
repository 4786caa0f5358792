"""Command `infoplane register`: fix claims before a run, so that its report can say confirmed or refuted."""

import time
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import tyro

from infoplane.commands.common import Options, open_console
from infoplane.errors import UserError


class RegisterOptions(Options):
    """Fix claims, statistics, thresholds and seeds before a run; its report says what was confirmed or refuted."""

    claims: tyro.conf.Positional[Path]
    """TOML file with the claims."""
    runs: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="[RUN ...]")] = ()
    """New folders, in which the runs will be made. Without any, the file is only checked and its hash printed."""


def register(options: RegisterOptions) -> int:
    """Print the claims and their hash, and write them into the folders of the runs."""
    from infoplane.findings.registration import (
        Registration,
        claim_text,
        read_claims,
        registration_from,
    )
    from infoplane.findings.rules import rules_hash
    from infoplane.runs.folder import RunFolder
    from infoplane.runs.registration_file import read_registered, write_registered
    from infoplane.sweeping.folder import SweepFolder
    from infoplane.sweeping.together import TOGETHER

    claims = read_claims(options.claims)
    now = time.strftime("%Y-%m-%dT%H:%M:%S%z")
    made = Registration(claims=claims, rules=rules_hash(), infoplane=version("infoplane"), registered_at=now)
    console = open_console()
    lines = [f"{claims.title}: seeds {', '.join(map(str, claims.seeds))}"]
    lines += [f"  claim {one.claim} of the study is {one.expect}: {claim_text(one.claim)}" for one in claims.study]
    lines += [f"  {one.name}: {one.statistic}, is {one.expected}" for one in claims.claims]
    lines.append(f"sha256 {made.sha256}")
    for line in lines:
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    for path in options.runs:
        if SweepFolder(path).exists() or (path.parent.name == TOGETHER and SweepFolder(path.parents[1]).exists()):
            raise UserError(
                f"{path} is of a sweep, and claims are about one run: name a new folder for infoplane flow with --seeds"
            )
        run = RunFolder(path, option="RUN")
        with run.locked():
            before = read_registered(run)
            if before is not None and registration_from(before, path).sha256 != made.sha256:
                raise UserError(f"{path} already holds other registered claims; choose a new folder for these")
            if before is None:
                write_registered(run, made.model_dump(mode="json"))
        known = "was registered before" if before else "registered"
        console.print(f"{known}: {path}", highlight=False, markup=False, soft_wrap=True)
    return 0
