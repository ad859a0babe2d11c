"""Homework: what students get (`release`), how they check themselves (`selfcheck`), how it is graded (`grade`)."""
