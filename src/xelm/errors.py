"""The one exception that means "the user can mend this": the CLI prints it in one line, exit code 2."""


class UserError(ValueError):
    """A mistake in input, settings or files; the message names the file, line or key and the cure."""
