"""No test of this folder leaves a native object behind."""

from tests.support.leaks import no_leaks

__all__ = ["no_leaks"]
