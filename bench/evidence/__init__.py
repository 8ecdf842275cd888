"""The claim put to the test: networks trained under crafted and other distributions (`python -m bench.evidence`)."""
