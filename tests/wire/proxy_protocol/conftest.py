"""What these tests share."""

from tests.support.folders import short_path

__all__ = ["short_path"]
