"""What help texts show: commands to copy, verb by verb; folders are the user's own."""

EXAMPLES = {
    "": (
        ("see it work on photographs that are already installed", "fastdeg demo"),
        (
            "find what to train on, for a folder of real photos",
            "fastdeg craft --references photos/ --clean clean/ -o run/",
        ),
    ),
    "demo": (
        ("the next folder of fastdeg-runs/", "fastdeg demo"),
        ("other photos, a folder of your own", "fastdeg demo --seed 3 -o demo/"),
    ),
    "craft": (
        ("from unlabelled photos", "fastdeg craft --references photos/ --clean clean/ -o run/"),
        ("from a table with a column per axis", "fastdeg craft --annotations table.csv --space paper -o run/"),
        (
            "nearer to the photos than auto",
            "fastdeg craft --annotations table.csv --generalization 0.05 -o run/ --force",
        ),
    ),
    "estimate": (
        ("what the photos have suffered", "fastdeg estimate --references photos/ --clean clean/"),
        ("and keep it", "fastdeg estimate --references photos/ --clean clean/ --space own.yaml -o estimate/"),
    ),
    "select": (
        ("twenty among the images of a folder", "fastdeg select run/ --images more/ --n-references 20 -o chosen.csv"),
    ),
    "degrade": (("pairs for training, on four cores", "fastdeg degrade clean/ --run run/ -o pairs/ --workers 4"),),
    "space": (
        ("axes and ranges that the photos lie in", "fastdeg space --references photos/ --clean clean/ -o own.yaml"),
    ),
    "audit": (("what an options file trains on, against a run", "fastdeg audit options.yml --run run/"),),
    "export": (("a run as options of a framework", "fastdeg export run/ --to realesrgan -o options.yml"),),
    "report": (("the table again, and report.html anew", "fastdeg report run/"),),
    "warmup": (
        ("compile ahead what all verbs need", "fastdeg warmup"),
        ("as a layer of a container", "NUMBA_CACHE_DIR=/opt/fastdeg fastdeg warmup --rooms crafting images"),
    ),
    "info": (("for a bug report", "fastdeg info --json"),),
}


def examples_text(verb: str) -> str:
    """Return the examples of a verb, or of the command alone, as the end of its help text."""
    lines = [line for what, command in EXAMPLES.get(verb, ()) for line in (f"  {command}", f"      {what}")]
    return "\n".join(["examples:", *lines]) if lines else ""
