"""The error that reaches the user as one line."""


class UserError(Exception):
    """Something in the input is wrong; the message says what and what to do."""
