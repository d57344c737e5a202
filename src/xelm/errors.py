"""The one exception that means "the user can mend this": one line from the CLI, exit code 2."""


class UserError(ValueError):
    """A mistake in input, settings or files; the message names file, line or key and the cure."""
