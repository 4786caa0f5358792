"""The one exception that the command line turns into a single line and exit status 2."""


class UserError(Exception):
    """A mistake that the user can mend: the message says what was wrong, where, and what to do."""
