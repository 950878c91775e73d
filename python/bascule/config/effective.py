"""A configuration with every default filled in: what would have to be written to say all of it."""

from bascule.config.model import Config


def effective(config: Config) -> dict[str, object]:
    """The whole configuration as it would be written, in its long forms.

    Reading it back gives an equal configuration, except that checks which are functions appear by
    their name.
    """
    return config.model_dump(mode="json", by_alias=True)
