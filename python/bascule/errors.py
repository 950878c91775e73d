"""What goes wrong in a way that an operator can mend."""


class BasculeError(Exception):
    """An error for people: it says what is wrong and, where we know it, what to do.

    Commands print `str(error)` and nothing else, so it must make sense without a traceback.
    """

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return self.message if self.hint is None else f"{self.message}\n  {self.hint}"
