"""The dialects that come with the package, one file each."""
