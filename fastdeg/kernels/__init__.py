"""Compiled code only: no checks, no input or output, no allocation of results that the caller could pass in."""
