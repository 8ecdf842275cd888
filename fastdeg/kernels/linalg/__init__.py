"""Elementary functions and small dense linear algebra."""
